"""How often the operator writes to the API server: for a new pool, at rest, after a restart, and for each sort of edit."""

import asyncio
import base64
import copy
import signal
from collections.abc import Callable
from typing import Any

from tests.api.cluster import PUBLIC_KEY
from tools.console import Console

from .audit import Request
from .bare import POOLS, Bench, bench
from .report import Figure, Results

PART = "writes"
RESTARTS = 3
RESYNC_SECONDS = 10
AT_REST_SECONDS = 25.0
"""More than two resyncs, jitter included."""
QUIET_SECONDS = 1.5
DEADLINE_SECONDS = 60.0
MERGE = "application/merge-patch+json"

Spec = dict[str, Any]
Edit = Callable[[Spec], None]

FULL: Spec = {
    "config": {"configMapRefs": [{"name": "knobs"}]},
    "manager": {"podLabels": {"team": "a"}},
    "submitter": {
        "storage": {"size": "2Gi"},
        "ssh": {
            "users": [
                {"name": "john", "authorizedKeysSecretRef": {"name": "john"}, "passwordSecretRef": {"name": "john"}}
            ]
        },
    },
    "executors": [
        {"name": "cpu", "replicas": 2},
        {"name": "big", "replicas": 1, "config": {"configMapRefs": [{"name": "big"}]}},
    ],
}

SPECS: dict[str, Spec] = {"an empty spec": {}, "ssh, configuration, two groups": FULL}


def _set(*path: str | int, value: Any) -> Edit:
    def edit(spec: Spec) -> None:
        target: Any = spec
        for step in path[:-1]:
            target = target.setdefault(step, {}) if isinstance(step, str) else target[step]
        target[path[-1]] = value

    return edit


def _add(*path: str | int, value: Any) -> Edit:
    def edit(spec: Spec) -> None:
        target: Any = spec
        for step in path:
            target = target[step]
        target.append(value)

    return edit


def _drop_group(spec: Spec) -> None:
    spec["executors"] = spec["executors"][:1]


def _drop_ssh(spec: Spec) -> None:
    del spec["submitter"]["ssh"]


EDITS: dict[str, Edit] = {
    "executors[].replicas": _set("executors", 0, "replicas", value=3),
    "executors[].drainTimeout": _set("executors", 0, "drainTimeout", value="1h"),
    "executors[].maxUnavailable": _set("executors", 0, "maxUnavailable", value=2),
    "executors[].resources": _set("executors", 0, "resources", value={"limits": {"cpu": 2, "memory": "2Gi"}}),
    "executors[].nodeSelector": _set("executors", 0, "nodeSelector", value={"disk": "ssd"}),
    "executors: a group more": _add("executors", value={"name": "more"}),
    "executors: a group less": _drop_group,
    "image.tag": _set("image", "tag", value="other"),
    "config: a reference more": _add("config", "configMapRefs", value={"name": "big"}),
    "manager.resources": _set("manager", "resources", value={"limits": {"memory": "2Gi"}}),
    "manager.podLabels": _set("manager", "podLabels", "team", value="b"),
    "submitter.resources": _set("submitter", "resources", value={"limits": {"memory": "3Gi"}}),
    "submitter.storage.size": _set("submitter", "storage", "size", value="3Gi"),
    "submitter.ssh.service.type": _set("submitter", "ssh", "service", value={"type": "ClusterIP"}),
    "submitter.ssh.users: one more": _add(
        "submitter", "ssh", "users", value={"name": "jane", "authorizedKeysSecretRef": {"name": "john"}}
    ),
    "submitter.ssh: off": _drop_ssh,
    "paused": _set("paused", value=True),
    "a default written out": _set("paused", value=False),
}
"""One edit of each sort."""

_CORE = "/api/v1/namespaces/{}"
_OTHER_KEY = base64.b64encode(f"{PUBLIC_KEY}y".encode()).decode()

OTHERS: dict[str, tuple[str, str, Any]] = {
    "a referenced ConfigMap": ("PATCH", f"{_CORE}/configmaps/knobs", {"data": {"a.conf": "FOO = 2\n"}}),
    "a referenced Secret with keys": ("PATCH", f"{_CORE}/secrets/john", {"data": {"authorized_keys": _OTHER_KEY}}),
    "a child: replicas by kubectl scale": (
        "PATCH",
        "/apis/apps/v1/namespaces/{}/statefulsets/demo-cpu/scale",
        {"spec": {"replicas": 7}},
    ),
    "a child: a Service deleted": ("DELETE", f"{_CORE}/services/demo-manager", None),
    "a child: a label added by somebody": (
        "PATCH",
        f"{_CORE}/services/demo-manager",
        {"metadata": {"labels": {"theirs": "x"}}},
    ),
}
"""Method, path and body of edits of what a pool refers to and of what it is made of."""


def split(requests: list[Request]) -> tuple[list[Request], str]:
    """Return the writes among requests, and in words what they were about."""
    writes = [one for one in requests if one.is_write]
    objects = sum(one.applies_object for one in writes)
    statuses = sum(one.resource == "condorpools" and one.subresource == "status" for one in writes)
    events = sum(one.resource == "events" for one in writes)
    return writes, f"{objects} objects, {statuses} status, {events} events"


async def until_quiet(place: Bench, seconds: float = QUIET_SECONDS) -> list[Request]:
    """Return the operator's requests since the last look, once it is at rest."""
    _, requests = await place.until_rest(seconds, DEADLINE_SECONDS)
    return requests


async def run(console: Console, results: Results) -> None:
    """Count."""
    async with bench(RESYNC_SECONDS) as place:
        place.operator.start()
        for number, (what, spec) in enumerate(SPECS.items()):
            results.add(*await _new_pool(place, f"new-{number}", what, spec))
        console.say(f"at rest for {AT_REST_SECONDS:.0f} s, a resync every {RESYNC_SECONDS} s")
        results.add(await _at_rest(place))
        for number in (signal.SIGTERM, signal.SIGKILL):
            results.add(await _restarts(place, number, results.repeats(RESTARTS)))
    async with bench() as place:
        place.operator.start()
        console.say(f"{len(EDITS)} edits of a field, each on a pool of its own")
        for turn, (what, edit) in enumerate(EDITS.items()):
            results.add(await _edit(place, f"edit-{turn}", what, edit))
        console.say("edits of what a pool refers to and of what it is made of")
        for turn, (what, request) in enumerate(OTHERS.items()):
            results.add(await _other(place, f"other-{turn}", what, *request))


async def _declare(place: Bench, namespace: str, spec: Spec) -> list[Request]:
    """Make a namespace with the objects that a spec may refer to, and a pool; return the operator's requests once it is at rest."""
    await place.admin.create_namespaces([namespace])
    base = _CORE.format(namespace)
    for name in ("knobs", "big"):
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        await place.admin.send("POST", f"{base}/configmaps", {**config_map, "data": {"a.conf": "FOO = 1\n"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "john"}}
    texts = {"authorized_keys": PUBLIC_KEY, "password": "correct horse"}
    await place.admin.send("POST", f"{base}/secrets", {**secret, "stringData": texts})
    place.audit.skip()
    await place.admin.create_pool(namespace, "demo", spec)
    await place.admin.settle(1, namespace)
    return await until_quiet(place)


async def _new_pool(place: Bench, namespace: str, what: str, spec: Spec) -> list[Figure]:
    writes, words = split(await _declare(place, namespace, spec))
    place.cluster.namespace = namespace
    objects = sum(not name.startswith("CondorPool/") for name in place.cluster.versions())
    note = f"{objects} objects; {words}"
    return [
        Figure(PART, f"new pool, {what}: writes", "", (len(writes),), objects + 3, note=note),
        Figure(PART, f"new pool, {what}: writes beside one per object", "", (len(writes) - objects,), 3),
    ]


async def _at_rest(place: Bench) -> Figure:
    place.audit.skip()
    await asyncio.sleep(AT_REST_SECONDS)
    await place.admin.mark("rested")
    requests = [one for one in place.audit.read_until("rested") if one.by_operator]
    writes, _ = split(requests)
    note = f"{len(SPECS)} pools, {AT_REST_SECONDS:.0f} s; {len(requests) - len(writes)} reads"
    return Figure(PART, "at rest over two resyncs: writes", "", (len(writes),), 0, note=note)


async def _restarts(place: Bench, number: signal.Signals, repeats: int) -> Figure:
    counts = []
    for _ in range(repeats):
        place.operator.stop(number)
        place.audit.skip()
        place.operator.start()
        writes, _words = split(await until_quiet(place, 2 * QUIET_SECONDS))
        counts.append(float(len(writes)))
    return Figure(PART, f"after an operator restart ({number.name}): writes", "", tuple(counts), 0)


async def _edit(place: Bench, namespace: str, what: str, edit: Edit) -> Figure:
    await _declare(place, namespace, FULL)
    path = f"{POOLS}/namespaces/{namespace}/condorpools/demo"
    pool = await place.admin.send("GET", path)
    pool["spec"] = copy.deepcopy(FULL)
    edit(pool["spec"])
    await place.admin.send("PUT", path, pool)
    await place.admin.settle(1, namespace)
    writes, words = split(await until_quiet(place))
    return Figure(PART, f"edit of {what}: writes", "", (len(writes),), note=words)


async def _other(place: Bench, namespace: str, what: str, method: str, path: str, body: Any) -> Figure:
    await _declare(place, namespace, FULL)
    await place.admin.send(method, path.format(namespace), body, MERGE)
    writes, words = split(await until_quiet(place))
    return Figure(PART, f"edit of {what}: writes", "", (len(writes),), note=words)

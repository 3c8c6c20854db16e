"""What happens to a pool: each scenario is a ring of steps, at the end of which the namespace is as it was before the first."""

import base64
import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from condorpool_operator.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from condorpool_operator.naming import EXECUTOR, Names

from ..cluster import PUBLIC_KEY
from .world import Obj, World

Step = Callable[[World], Awaitable[None]]

CLASS = "crash"
"""A StorageClass whose volumes can grow."""
IMPORTANT = "crash"
"""A PriorityClass."""
NAMES = Names("demo", "")


def user(name: str, **fields: Any) -> Obj:
    return {"name": name, "authorizedKeysSecretRef": {"name": name}, **fields}


BASE: Obj = {
    "submitter": {"storage": {"size": "1Gi", "storageClassName": CLASS}, "ssh": {"users": [user("john")]}},
    "executors": [{"name": "cpu", "replicas": 2}],
}
"""The pool to which things happen: somebody may log in, and there are two executors."""


def encoded(**data: str) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def user_objects() -> list[tuple[Any, Obj]]:
    """Return what the specs refer to, now or later."""
    key = PUBLIC_KEY
    return [
        (SECRET, {"metadata": {"name": "john"}, "data": encoded(authorized_keys=key)}),
        (SECRET, {"metadata": {"name": "jane"}, "data": encoded(keys=key, word="correct horse")}),
        (SECRET, {"metadata": {"name": "mounts"}, "data": encoded(access="a:b", token="t", other="u")}),
        (SECRET, {"metadata": {"name": "registry"}, "data": encoded(a="b")}),
        (CONFIG_MAP, {"metadata": {"name": "knobs"}, "data": {"knobs.conf": "MAX_JOBS_PER_OWNER = 10000\n"}}),
        (CONFIG_MAP, {"metadata": {"name": "more"}, "data": {"more.conf": "NUM_CPUS_EXTRA = 1\n"}}),
    ]


@dataclass(frozen=True)
class Scenario:
    """Steps by name; `pool` is whether there is one, as in BASE, before the first."""

    name: str
    steps: Mapping[str, Step]
    pool: bool = True
    remints: bool = False
    """Whether keys are lost in it, so that new ones have to be made."""
    specs: tuple[Obj, ...] = field(default=())
    """Specs that it puts in the place of BASE."""


def merged(base: Obj, changes: Mapping[str, Any]) -> Obj:
    """Return a spec with changes: mappings are merged, a list of groups by position, all else is replaced."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def cpu(**fields: Any) -> Obj:
    return {"executors": [{**BASE["executors"][0], **fields}]}


def to(spec: Obj) -> Step:
    """Return the step that gives the pool a spec."""

    async def step(world: World) -> None:
        await world.spec(spec)

    return step


def edited(name: str, *changes: Mapping[str, Any]) -> Scenario:
    """Return the scenario in which the spec is edited, perhaps more than once, and then edited back."""
    specs = tuple(merged(BASE, change) for change in changes)
    steps = {f"edit {number}" if len(specs) > 1 else "edit": to(spec) for number, spec in enumerate(specs, start=1)}
    return Scenario(name, {**steps, "edit back": to(BASE)}, specs=specs)


def placed(role: str) -> Obj:
    """Return all fields that place a pod and dress it."""
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    tolerations = [
        {"key": "batch", "operator": "Equal", "value": "x", "effect": "NoSchedule"},
        {"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 7},
    ]
    return {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": tolerations,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
        "topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": {"role": role}}}],
        "priorityClassName": IMPORTANT,
        "podLabels": {"role": role},
        "podAnnotations": {"note": role},
        "resources": {"limits": {"memory": "700Mi"}, "requests": {"memory": "90Mi"}},
    }


def refs(*names: str) -> Obj:
    return {"config": {"configMapRefs": [{"name": name} for name in names]}}


MOUNTS = [
    {
        "name": "bucket",
        "path": "/mnt/bucket",
        "command": ["s3fs", "b", "$(MOUNT_PATH)", "-f"],
        "secretRef": {"name": "mounts"},
    },
    {
        "name": "onedata",
        "path": "/mnt/onedata",
        "readOnly": True,
        "oneclient": {
            "provider": "provider.example.org",
            "tokenSecretRef": {"name": "mounts", "key": "other"},
            "space": "physics",
            "options": ["--force-proxy-io"],
        },
    },
]
PEERS = [
    {"ipBlock": {"cidr": "192.168.0.0/16", "except": ["192.168.7.0/24"]}},
    {"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {"matchLabels": {"c": "d"}}},
]
RULE = {"to": PEERS, "ports": [{"protocol": "TCP", "port": 8000, "endPort": 8099}]}


async def _ssh_service(world: World) -> None:
    port = 30000 + int(world.namespace.rpartition("-")[2])
    service = {"nodePort": port, "externalTrafficPolicy": "Local", "sourceRanges": ["10.0.0.0/8"]}
    service["annotations"] = {"note": "x"}
    await world.spec(merged(BASE, {"submitter": {"ssh": {"service": service}}}))


SERVICES: tuple[Obj, ...] = (
    {"submitter": {"ssh": {"service": {"nodePort": 1, "externalTrafficPolicy": "Local", "sourceRanges": ["::/0"]}}}},
    {"submitter": {"ssh": {"service": {"annotations": {"note": "x"}, "type": "ClusterIP"}}}},
)
"""What the fields of the ssh Service are edited to; the port depends on the namespace."""


def data(kind: Any, name: str, **values: str) -> Step:
    """Return the step in which a user edits an object of his own."""

    async def step(world: World) -> None:
        await world.patch(kind, name, {"data": encoded(**values) if kind == SECRET else values})

    return step


async def _drift(world: World) -> None:
    await world.patch(STATEFUL_SET, NAMES.group("cpu"), {"spec": {"replicas": 5}})
    await world.patch(SERVICE, NAMES.manager, {"spec": {"selector": {"condorpool.dev/component": "wrong"}}})
    await world.patch(CONFIG_MAP, NAMES.config("manager"), {"data": {"99-by-hand": "A = B\n"}})
    await world.delete(CONFIG_MAP, NAMES.config("submitter"))
    await world.delete(SERVICE, NAMES.submitter)


async def _stubborn_drift(world: World) -> None:
    """Change by hand what server-side apply cannot take back."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    await world.patch(DEPLOYMENT, NAMES.manager, {"spec": {"strategy": rolling}})
    ports = [{"name": "condor", "port": 1, "targetPort": 1}]
    await world.patch(SERVICE, NAMES.submitter, {"spec": {"ports": ports}})
    await world.patch(STATEFUL_SET, NAMES.group("cpu"), {"spec": {"updateStrategy": {"type": "RollingUpdate"}}})


async def _workloads_deleted(world: World) -> None:
    await world.delete(DEPLOYMENT, NAMES.manager)
    await world.delete(STATEFUL_SET, NAMES.group("cpu"))


def lost(*names: str) -> Step:
    """Return the step in which Secrets are deleted by hand."""

    async def step(world: World) -> None:
        for name in names:
            await world.delete(SECRET, name)

    return step


async def _foreign(world: World) -> None:
    await world.plant(CONFIG_MAP, {"metadata": {"name": NAMES.config("manager")}, "data": {"precious": "data"}})
    await world.plant(SECRET, {"metadata": {"name": NAMES.token(EXECUTOR)}, "data": encoded(precious="data")})
    await world.spec(BASE)


async def _foreign_goes(world: World) -> None:
    await world.uproot()


async def _end(world: World) -> None:
    await world.end_pool()


async def _reborn(world: World) -> None:
    await world.end_pool()
    await world.spec(BASE)


async def _pause(world: World) -> None:
    await world.spec(merged(BASE, {"paused": True, **cpu(replicas=1)}))
    await world.delete(SERVICE, NAMES.manager)


async def _bad_config(world: World) -> None:
    await world.patch(CONFIG_MAP, "knobs", {"data": {"knobs.conf": "include : /etc/passwd\n"}})


CONFIGURED = merged(BASE, refs("knobs"))

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("a pool comes and goes", {"create": to(BASE), "delete": _end}, pool=False),
    Scenario("a pool made anew at once", {"delete and create": _reborn}),
    edited("scale out and in", cpu(replicas=4), cpu(replicas=1), {"executors": []}),
    edited("groups", {"executors": [*BASE["executors"], {"name": "gpu"}]}, {"executors": None}),
    edited("executors' template", cpu(**placed("cpu"), privileged=False)),
    edited("drain and budget", cpu(drainTimeout="7m", maxUnavailable=2)),
    edited("mounts", cpu(mounts=MOUNTS)),
    edited("manager", {"manager": placed("manager")}),
    edited("submitter", {"submitter": {**placed("submitter"), "ssh": {"resources": placed("")["resources"]}}}),
    edited(
        "image",
        {
            "image": {
                "repository": "other/image",
                "tag": "new",
                "pullPolicy": "Always",
                "pullSecrets": ["registry"],
            }
        },
    ),
    edited(
        "configuration",
        refs("knobs"),
        {"manager": refs("more"), "submitter": refs("more"), **cpu(**refs("more"))},
    ),
    Scenario(
        "configuration's text",
        {
            "refer": to(CONFIGURED),
            "edit": data(CONFIG_MAP, "knobs", **{"knobs.conf": "MAX_JOBS_PER_OWNER = 5\n"}),
            "spoil": _bad_config,
            "mend": data(CONFIG_MAP, "knobs", **{"knobs.conf": "MAX_JOBS_PER_OWNER = 10000\n"}),
            "edit back": to(BASE),
        },
        specs=(CONFIGURED,),
    ),
    edited(
        "users",
        {
            "submitter": {
                "ssh": {
                    "users": [
                        user("john", authorizedKeysSecretRef={"name": "jane", "key": "keys"}),
                        user(
                            "jane",
                            authorizedKeysSecretRef={"name": "jane", "key": "keys"},
                            passwordSecretRef={"name": "jane", "key": "word"},
                        ),
                    ]
                }
            }
        },
    ),
    Scenario(
        "a user's key",
        {
            "edit": data(SECRET, "john", authorized_keys=PUBLIC_KEY.replace("john", "other")),
            "edit back": data(SECRET, "john", authorized_keys=PUBLIC_KEY),
        },
    ),
    Scenario(
        "ssh",
        {
            "edit": _ssh_service,
            "edit once more": to(merged(BASE, SERVICES[1])),
            "off": to(merged(BASE, {"submitter": {"ssh": None}})),
            "on": to(BASE),
        },
        specs=tuple(merged(BASE, change) for change in SERVICES),
    ),
    Scenario(
        "storage",
        {"grow": to(merged(BASE, {"submitter": {"storage": {"size": "2Gi"}}})), "delete": _end, "create": to(BASE)},
        specs=(merged(BASE, {"submitter": {"storage": {"size": "2Gi"}}}),),
    ),
    edited(
        "retention",
        {"submitter": {"storage": {"retentionPolicy": "Retain"}}},
        {"manager": {"storage": {"size": "2Gi", "storageClassName": CLASS, "retentionPolicy": "Retain"}}},
    ),
    edited("policies' mode", {"networkPolicy": {"mode": "Kubernetes"}}, {"networkPolicy": {"mode": "Disabled"}}),
    edited(
        "policies' rules",
        {"networkPolicy": {"egress": {"executors": [RULE], "submitter": [RULE]}, "monitoring": PEERS}},
    ),
    Scenario(
        "pause",
        {"pause": _pause, "go on": to(BASE)},
        specs=(merged(BASE, {"paused": True}),),
    ),
    Scenario("drift by hand", {"drift": _drift}),
    Scenario("drift that an apply cannot take back", {"drift": _stubborn_drift}),
    Scenario("workloads deleted", {"delete": _workloads_deleted}),
    Scenario("keys lost", {"delete": lost(NAMES.signing_keys)}, remints=True),
    Scenario(
        "other credentials lost",
        {"delete": lost(NAMES.agent, NAMES.host_keys, NAMES.token(EXECUTOR), NAMES.users)},
        remints=True,
    ),
    Scenario(
        "foreign objects",
        {"create": _foreign, "the others go": _foreign_goes, "delete": _end},
        pool=False,
    ),
)

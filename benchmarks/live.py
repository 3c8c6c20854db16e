"""How fast an edit takes effect in a running pool, and what the probes of its pods cost.

A loop in each pod asks its own daemon and notes the moment at which it has the new value, so nothing is asked over the network while
the clock runs; all pods are on one machine and share its clock.
"""

import base64
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tools.console import Console

from .firstjob import POOL_SPEC, USER, secret
from .nodes import Api, kubectl, program, proxy, remove_namespace, until
from .report import Figure, Results

PART = "live"
EDITS = 10
PROBES = 20
NAMESPACE = "bench-live"
KNOBS = "knobs"
CONFIG_LIMIT = 5.0
"""Seconds that an edit of a ConfigMap may take to be in force on all daemons."""

FOLLOW = 'until [ "$(condor_config_val -{daemon} BENCH 2>/dev/null)" = {value} ]; do sleep 0.1; done; date +%s.%N'
DAEMONS = {"manager": "collector", "submitter": "schedd", "executor": "startd"}
LOG_IN = "until ssh {options} -i {key} {user}@{node} true 2>/dev/null; do sleep 0.1; done; date +%s.%N"


def manifest(public_key: str) -> str:
    """Return the pool of the first-job benchmark with a ConfigMap for all roles, and its user."""
    pool = {
        "apiVersion": "condorpool.dev/v1alpha1",
        "kind": "CondorPool",
        "metadata": {"name": "pool"},
        "spec": {**POOL_SPEC, "config": {"configMapRefs": [{"name": KNOBS}]}},
    }
    objects = [knobs(0), secret(USER, authorized_keys=public_key.encode()), pool]
    return "---\n".join(json.dumps(one) + "\n" for one in objects)


def knobs(value: int) -> dict[str, Any]:
    """Return the ConfigMap that is edited."""
    data = {"bench.conf": f"BENCH = {value}\n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": KNOBS}, "data": data}


def moments(commands: Sequence[Sequence[str]], edit: Callable[[], object]) -> list[float]:
    """Start programs that print when they saw an edit, make it, and return after how many seconds each saw it."""
    seen: list[float] = []

    def follow(command: Sequence[str]) -> None:
        seen.append(float(program(*command)))

    threads = [threading.Thread(target=follow, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    time.sleep(1.0)  # until the loops run
    began = time.time()
    edit()
    for thread in threads:
        thread.join()
    if len(seen) < len(commands):
        raise RuntimeError("an edit was not seen")
    return [moment - began for moment in seen]


async def run(console: Console, results: Results) -> None:
    """Measure."""
    edits = results.repeats(EDITS)
    with proxy() as connect, tempfile.TemporaryDirectory() as directory:
        api, keys = connect(), [_key(directory, str(number)) for number in range(edits + 1)]
        try:
            kubectl("create", "namespace", NAMESPACE)
            kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=manifest(_public(keys[0])))
            kubectl("wait", "-n", NAMESPACE, "condorpool/pool", "--for=condition=Ready", "--timeout=170s")
            pods = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
            results.add(*_configuration(console, api, pods, edits))
            results.add(_users(console, api, keys))
            results.add(*_probes(pods))
        finally:
            remove_namespace(api, NAMESPACE)


def _configuration(console: Console, api: Api, pods: Sequence[Any], edits: int) -> list[Figure]:
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{KNOBS}"
    last, first = [], []
    for value in range(1, edits + 1):
        follow = [_inside(pod, FOLLOW.format(daemon=DAEMONS[_component(pod)], value=value)) for pod in pods]
        seconds = moments(follow, partial(api.merge, path, {"data": knobs(value)["data"]}))
        first.append(min(seconds))
        last.append(max(seconds))
        console.say(
            f"edit {value}: in force on the first of {len(pods)} pods after {min(seconds):.1f} s, on all after {max(seconds):.1f} s"
        )
    return [
        Figure(PART, "edit of a ConfigMap: in force on the first daemon", "s", tuple(first)),
        Figure(PART, "edit of a ConfigMap: in force on the daemons of all roles", "s", tuple(last), limit=CONFIG_LIMIT),
        Figure(PART, "edit of a ConfigMap: worst", "s", (max(last),), limit=CONFIG_LIMIT),
    ]


def _users(console: Console, api: Api, keys: Sequence[Path]) -> Figure:
    node = kubectl("get", "nodes", "-o", 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
    service = f"/api/v1/namespaces/{NAMESPACE}/services/pool-ssh"
    port = until(lambda: api.get(service)["spec"]["ports"][0].get("nodePort"), "ssh's port")
    settings = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=2",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
    )
    options = " ".join(["-q", "-F none", f"-p {port}", *(f"-o{one}" for one in settings)])
    seconds = []
    for key in keys[1:]:
        log_in = ("sh", "-c", LOG_IN.format(options=options, key=key, user=USER, node=node))
        data = {"authorized_keys": base64.b64encode(_public(key).encode()).decode()}
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{USER}"
        seconds += moments([log_in], partial(api.merge, path, {"data": data}))
        console.say(f"a changed key opens the door after {seconds[-1]:.1f} s")
    return Figure(PART, "edit of a user's key: log-in with the new one", "s", tuple(seconds))


def _probes(pods: Sequence[Any]) -> list[Figure]:
    """Return the processor time a minute of the probes that run for as long as a pod lives, without the runtime's share for each exec."""
    figures = []
    for component in DAEMONS:
        pod = next(pod for pod in pods if _component(pod) == component)
        container = next(one for one in pod["spec"]["containers"] if one["name"] == "condor")
        total = 0.0
        for probe in (container.get("readinessProbe"), container.get("livenessProbe")):
            if probe and "exec" in probe:
                total += _cost(pod, probe["exec"]["command"]) * 60 / probe["periodSeconds"]
        figures.append(Figure(PART, f"probes of the {component}: processor time a minute", "ms", (total * 1000,)))
    return figures


def _cost(pod: Any, command: Sequence[str]) -> float:
    """Return the seconds of processor time that a command takes in a pod, with its children."""
    script = f'for n in $(seq {PROBES}); do "$@" >/dev/null; done; cat /proc/$$/stat'
    fields = program(*_inside(pod, script, *command)).rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / 100 / PROBES


def _inside(pod: Any, script: str, *arguments: str) -> tuple[str, ...]:
    name = pod["metadata"]["name"]
    return ("kubectl", "exec", "-n", NAMESPACE, name, "-c", "condor", "--", "sh", "-c", script, "sh", *arguments)


def _component(pod: Any) -> str:
    return str(pod["metadata"]["labels"]["condorpool.dev/component"])


def _key(directory: str, name: str) -> Path:
    key = Path(directory) / name
    program("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key))
    return key


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text()

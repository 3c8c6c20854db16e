"""What jobs notice of a pool that changes: executors that leave, idle or busy, and a manager that is lost.

Times are the pod's own, or of the watching process; all are on one machine and share its clock. Jobs are submitted inside the
submitter's pod, and the job's log says when it began and ended.
"""

import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from tools.console import Console

from .nodes import Api, is_ready, kubectl, program, proxy, remove_namespace, until
from .report import Figure, Results

PART = "jobs"
TURNS = 3
NAMESPACE = "bench-jobs"
POOL = f"/apis/condorpool.dev/v1alpha1/namespaces/{NAMESPACE}/condorpools/pool"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SIZE = 3
JOB_SECONDS = 20
AGAIN_LIMIT = 15.0
"""Seconds that matching may be away after the new manager is ready."""

SUBMIT = """
cd /tmp && rm -f "$1.log"
printf '%s\\n' executable=/bin/sleep "arguments=$2" transfer_executable=false request_memory=32M request_disk=16M "log=$1.log" \
  "requirements=$3" queue >"$1.sub"
condor_submit -terse "$1.sub" >/dev/null
until grep -q ^001 "$1.log"; do sleep .05; done
date +%s.%N
"""
"""Submits a job of $2 seconds; prints when it began."""
ENDED = 'condor_wait "/tmp/$1.log" >/dev/null; date +%s.%N; grep -c ^004 "/tmp/$1.log" || true'
"""Prints when the job had ended, and how often it was evicted."""


def spec(replicas: int) -> dict[str, Any]:
    """Return the pool's spec."""
    resources = {
        "limits": {"cpu": 1, "memory": "1Gi"},
        "requests": {"cpu": "50m", "memory": "128Mi"},
    }
    return {"executors": [{"name": "cpu", "replicas": replicas, "maxUnavailable": SIZE, "resources": resources}]}


async def run(console: Console, results: Results) -> None:
    """Measure."""
    turns = results.repeats(TURNS)
    with proxy() as connect:
        api = connect()
        try:
            pool = {"apiVersion": "condorpool.dev/v1alpha1", "kind": "CondorPool", "metadata": {"name": "pool"}}
            kubectl("create", "namespace", NAMESPACE)
            kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(pool | {"spec": spec(SIZE)}))
            results.add(*_scale_in(console, api, turns), _manager(console, api, turns))
        finally:
            remove_namespace(api, NAMESPACE)


def _scale_in(console: Console, api: Api, turns: int) -> list[Figure]:
    idle, busy, evicted = [], [], 0
    for turn in range(turns):
        _settle(api)
        began = time.time()
        api.merge(POOL, {"spec": spec(1)})
        idle.append(_gone(api) - began)
        api.merge(POOL, {"spec": spec(SIZE)})
        _settle(api)
        name = f"busy{turn}"
        last = f'regexp("^pool-cpu-{SIZE - 1}[.]", Machine)'
        _inside(SUBMIT, name, str(JOB_SECONDS), last)
        api.merge(POOL, {"spec": spec(1)})
        ended, count = _inside(ENDED, name).split()
        busy.append(_gone(api) - float(ended))
        evicted += int(count)
        api.merge(POOL, {"spec": spec(SIZE)})
        console.say(f"{SIZE} executors to 1: idle {idle[-1]:.1f} s; busy, {busy[-1]:.1f} s after the end of the job")
    return [
        Figure(PART, f"scale-in of {SIZE} idle executors to 1: pods gone", "s", tuple(idle)),
        Figure(PART, "scale-in of a busy tail: pods gone after the end of the last job", "s", tuple(busy)),
        Figure(PART, "jobs evicted by it", "", (float(evicted),), limit=0.0),
    ]


def _manager(console: Console, api: Api, turns: int) -> Figure:
    seconds = []
    for turn in range(turns):
        _settle(api)
        (old,) = _pods(api, "manager")
        kubectl("delete", "pod", "-n", NAMESPACE, old["metadata"]["name"], "--wait=false")
        until(partial(_another, api, old["metadata"]["uid"]), "another manager")
        ready = time.time()
        seconds.append(float(_inside(SUBMIT, f"again{turn}", "1", "true")) - ready)
        console.say(f"a job began {seconds[-1]:.1f} s after the new manager was ready")
    return Figure(
        PART, "manager deleted: from its successor's readiness to a new job's begin", "s", tuple(seconds), AGAIN_LIMIT
    )


def _another(api: Api, uid: str) -> bool | None:
    found = [pod for pod in _pods(api, "manager") if pod["metadata"]["uid"] != uid and is_ready(pod)]
    return True if found else None


def _pods(api: Api, component: str) -> Sequence[Any]:
    label = "condorpool.dev/component"
    return [pod for pod in api.get(PODS)["items"] if pod["metadata"]["labels"].get(label) == component]


def _settle(api: Api) -> None:
    """Wait until all executors are in the collector, so that no start disturbs what is measured."""

    def complete() -> bool | None:
        slots = _inside("condor_status -compact -af Machine | wc -l", check=False)
        return True if slots.strip() == str(SIZE) else None

    until(
        lambda: True if api.get(POOL).get("status", {}).get("executorsReady") == f"{SIZE}/{SIZE}" else None, "executors"
    )
    until(complete, "slots")


def _gone(api: Api) -> float:
    """Wait until one executor is left; return when it was."""
    until(lambda: True if len(_pods(api, "executor")) == 1 else None, "the end of executors")
    return time.time()


def _inside(script: str, *arguments: str, check: bool = True) -> str:
    """Run a script as a user in the submitter's pod."""
    pod = ("kubectl", "exec", "-n", NAMESPACE, "pool-submitter-0", "-c", "condor", "--")
    return program(*pod, "runuser", "-u", "nobody", "--", "sh", "-c", script, "sh", *arguments, check=check)

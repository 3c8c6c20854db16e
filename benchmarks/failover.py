"""How long an edit waits that is made at the moment the operator goes: killed, its pod deleted, or restarted as planned.

The edit is a group's replicas, the sign that it was applied the StatefulSet's. The pool's pods fit no node: only the operator is
measured. Each kill finds a fresh pod, as a kubelet waits longer before each further restart of the same one.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from tools.console import RELEASE, SYSTEM_NAMESPACE, Console

from .nodes import Api, is_ready, kubectl, on_node, process_of, proxy, remove_namespace, until
from .report import Figure, Results

PART = "failover"
TURNS = 4
NAMESPACE = "bench-failover"
NOWHERE = {"nodeSelector": {"benchmark": "nowhere"}}
SPEC: dict[str, Any] = {
    "manager": NOWHERE,
    "submitter": NOWHERE,
    "executors": [{"name": "cpu", "replicas": 0, **NOWHERE}],
}
POOL = f"/apis/condorpool.dev/v1alpha1/namespaces/{NAMESPACE}/condorpools/pool"
STATEFUL_SET = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/pool-cpu"
SELECTOR = "app.kubernetes.io/name=condorpool-operator"
PODS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods?labelSelector={SELECTOR}"


def operator_pod(api: Api) -> Any:
    """Return the operator's one pod that runs and is ready, None where there is none or more than one."""
    pods = api.get(PODS)["items"]
    return pods[0] if len(pods) == 1 and is_ready(pods[0]) and "deletionTimestamp" not in pods[0]["metadata"] else None


def kill(pod: Any) -> None:
    """Kill the operator's process."""
    on_node(pod["spec"]["nodeName"], "kill", "-KILL", str(process_of(pod)))


def delete(pod: Any) -> None:
    """Delete the operator's pod."""
    kubectl("delete", "pod", "-n", SYSTEM_NAMESPACE, pod["metadata"]["name"], "--wait=false")


def restart(_pod: Any) -> None:
    """Restart the operator as an administrator does."""
    kubectl("rollout", "restart", "-n", SYSTEM_NAMESPACE, f"deployment/{RELEASE}")


WAYS: dict[str, tuple[Callable[[Any], None], float, float | None]] = {
    "operator's pod deleted": (delete, 15.0, None),
    "operator killed by SIGKILL": (kill, 15.0, None),
    "planned restart": (restart, 5.0, None),
}
"""What is done to the operator, the limit and the aim; a kill comes after a deletion, which leaves a fresh pod."""


async def run(console: Console, results: Results) -> None:
    """Measure."""
    with proxy() as connect:
        api = connect()
        remove_namespace(api, NAMESPACE)
        kubectl("create", "namespace", NAMESPACE)
        pool = {
            "apiVersion": "condorpool.dev/v1alpha1",
            "kind": "CondorPool",
            "metadata": {"name": "pool"},
            "spec": SPEC,
        }
        kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(pool))
        try:
            until(lambda: api.get(STATEFUL_SET), "the pool's StatefulSet")
            turns = results.repeats(TURNS)
            alive = [_edit(api, None) for _ in range(turns)]
            results.add(Figure(PART, "nothing happens to the operator: edit to its effect", "s", tuple(alive)))
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _turn in range(turns):
                for way, (act, _limit, _aim) in WAYS.items():
                    seconds[way].append(_edit(api, act))
                    console.say(f"{way}: {seconds[way][-1]:.1f} s")
            for way, (_act, limit, aim) in WAYS.items():
                results.add(Figure(PART, f"{way}: edit to its effect", "s", tuple(seconds[way]), limit, aim))
        finally:
            remove_namespace(api, NAMESPACE)


def _edit(api: Api, act: Callable[[Any], None] | None) -> float:
    """Act on the operator, edit at once, and return after how many seconds the edit was applied."""
    pod = until(lambda: operator_pod(api), "one ready operator")
    before = api.get(STATEFUL_SET)["spec"]["replicas"]
    if act is not None:
        act(pod)
    began = time.monotonic()
    api.merge(POOL, {"spec": {"executors": [{"name": "cpu", "replicas": 1 - before, **NOWHERE}]}})
    until(lambda: True if api.get(STATEFUL_SET)["spec"]["replicas"] != before else None, "the edit's effect")
    return time.monotonic() - began

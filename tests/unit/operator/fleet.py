"""An executor group as plans are made of it: its pods, what the agent tells of them, its StatefulSet."""

from collections.abc import Iterable
from typing import Any, Literal

from condorpool_operator.api.v1alpha1 import ExecutorGroup
from condorpool_operator.drains import Plan, plan_group
from condorpool_operator.labels import TEMPLATE_HASH
from condorpool_operator.seen import Executor, Jobs, State

NOW = 1_000_000
HOUR = 3600
ADDRESS = "10.0.0.{}"
NAME = "demo-cpu-{}"


def pod(
    ordinal: int,
    *,
    outdated: bool = False,
    ready: bool = True,
    terminating: bool = False,
    running: bool = True,
    node: str = "node-a",
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": NAME.format(ordinal),
        "annotations": {TEMPLATE_HASH: "old" if outdated else "new"},
    }
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    containers = [{"name": "condor", "state": {"running": {}} if running else {"waiting": {}}}]
    conditions = [{"type": "Ready", "status": str(ready and running)}]
    status = {"conditions": conditions, "containerStatuses": containers, "podIP": ADDRESS.format(ordinal)}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


def executor(ordinal: int, claimed: int = 0, drain: Literal["ours", "foreign"] | None = None, **more: Any) -> Executor:
    drained = drain is not None and claimed == 0
    return Executor(claimed, drain, drained, host=ADDRESS.format(ordinal), **more)


def told(*executors: Executor) -> State:
    return State(
        {}, Jobs(0, 0, 0), frozenset(), executors={NAME.format(one.host.rpartition(".")[2]): one for one in executors}
    )


def group(replicas: int, unavailable: int | str = 1, drain: str = "1h") -> ExecutorGroup:
    return ExecutorGroup(name="cpu", replicas=replicas, max_unavailable=unavailable, drain_timeout=drain)


def stateful_set(replicas: int) -> dict[str, Any]:
    return {"spec": {"replicas": replicas, "template": {"metadata": {"annotations": {TEMPLATE_HASH: "new"}}}}}


def plan(
    group_: ExecutorGroup,
    live: int,
    pods: Iterable[dict[str, Any]],
    state: State | None,
    unheard: Iterable[int] = (),
    cordoned: Iterable[str] | None = (),
    now: float = NOW,
) -> Plan:
    nodes = None if cordoned is None else set(cordoned)
    return plan_group(group_, stateful_set(live), list(pods), state, {NAME.format(one) for one in unheard}, nodes, now)


def drained(plan_: Plan) -> list[str]:
    return [one.pod.removeprefix("demo-cpu-") for one in plan_.drain if not one.quick]


def deleted(plan_: Plan) -> list[str]:
    return [one["metadata"]["name"].removeprefix("demo-cpu-") for one in plan_.delete]

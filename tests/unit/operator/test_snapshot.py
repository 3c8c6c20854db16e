"""What status needs is read rightly off live objects."""

from typing import Any

import pytest

from condorpool_operator.drains import Plan
from condorpool_operator.observe import Children
from condorpool_operator.seen import Executor, Group, Jobs, Sight, State
from condorpool_operator.snapshot import agent_is_ready, daemons_of, observe_pool, ssh_endpoint

from .factories import JOHN, make_context

LABELS = {"condorpool.dev/component": "submitter"}


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "demo-manager", "generation": 2, "labels": {}},
        "status": status,
    }


UP = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}
SIGHT = Sight(None, silent=False)
PLANS = {"executor": Plan(1)}


def pod(component: str, name: str, *, ends: bool = False, **ready: bool) -> dict[str, Any]:
    """Return a pod with containers that are ready or not."""
    labels = {"condorpool.dev/component": component, "condorpool.dev/group": "executor"}
    meta = {"name": name, "labels": labels, "annotations": {}} | ({"deletionTimestamp": "now"} if ends else {})
    statuses = [{"name": one, "ready": state} for one, state in ready.items()]
    conditions = [{"type": "Ready", "status": str(bool(ready) and all(ready.values()))}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "status": {"conditions": conditions, "containerStatuses": statuses},
    }


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        (UP, True),
        ({}, False),
        (UP | {"observedGeneration": 1}, False),
        (UP | {"updatedReplicas": 0}, False),
        (UP | {"replicas": 2}, False),
    ],
)
def test_the_manager_is_ready_at_this_generation_only(status: dict[str, Any], ready: bool) -> None:
    children = Children([deployment(**status), pod("manager", "demo-manager-x", condor=True, agent=True)])
    assert observe_pool(make_context(), children, (), SIGHT, {}, PLANS).manager.ready is ready


@pytest.mark.parametrize(
    ("containers", "ends", "ready", "asked"),
    [
        ({"condor": True, "agent": True}, False, True, True),
        ({"condor": True, "agent": False}, False, True, False),
        ({"condor": True}, False, True, False),
        ({"condor": False, "agent": True}, False, False, True),
        ({"condor": True, "agent": True}, True, False, False),
        ({}, False, False, False),
    ],
)
def test_the_agent_has_no_say_in_whether_the_manager_is_ready(
    containers: dict[str, bool], ends: bool, ready: bool, asked: bool
) -> None:
    children = Children([deployment(**UP), pod("manager", "demo-manager-x", ends=ends, **containers)])
    assert observe_pool(make_context(), children, (), SIGHT, {}, PLANS).manager.ready is ready
    assert agent_is_ready(children) is asked


def test_the_collector_is_expected_to_know_the_daemons_of_ready_pods() -> None:
    executors = [
        pod("executor", "demo-executor-0", condor=True),
        pod("executor", "demo-executor-1", condor=False),
        pod("executor", "demo-executor-2", ends=True, condor=True),
    ]
    manager = pod("manager", "demo-manager-x", condor=True, agent=False)
    children = Children([deployment(**UP), manager, *executors])
    assert daemons_of(make_context(), children) == {"demo-manager", "demo-executor-0"}


def service(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "demo-ssh", "labels": {}},
        "spec": {"type": kind, "ports": [{"port": 22, "nodePort": 30022}]},
        **fields,
    }


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "demo-submitter-0", "labels": LABELS},
    "status": {"hostIP": "10.0.0.7"},
}
INGRESS = {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}


@pytest.mark.parametrize(
    ("objects", "endpoint"),
    [
        ([], None),
        ([service("NodePort")], None),
        ([service("NodePort"), POD], "10.0.0.7:30022"),
        ([service("LoadBalancer"), POD], None),
        ([service("LoadBalancer", status=INGRESS), POD], "lb.example:22"),
        ([service("ClusterIP"), POD], "demo-ssh.physics.svc.cluster.local:22"),
    ],
)
def test_the_ssh_endpoint(objects: list[dict[str, Any]], endpoint: str | None) -> None:
    context = make_context({"submitter": {"ssh": {"users": [JOHN]}}})
    assert ssh_endpoint(context, Children(objects)) == endpoint


class TestGroup:
    """Of two executors that are ready."""

    @staticmethod
    def seen(*executors: tuple[str, Executor], replicas: int = 2, plan: Plan | None = None) -> Group:
        context = make_context({"executors": [{"name": "executor", "replicas": replicas}]})
        state = State({}, Jobs(0, 0, 0), frozenset(), executors=dict(executors))
        plans = {"executor": plan or Plan(replicas)}
        children = Children([pod("executor", f"demo-executor-{n}", condor=True) for n in range(2)])
        return observe_pool(context, children, (), Sight(state, silent=False), {}, plans).groups[0]

    def test_one_that_is_drained_is_neither_ready_nor_missing(self) -> None:
        found = self.seen(("demo-executor-1", Executor(1, "foreign")))
        assert (found.ready, found.draining, found.held_back) == (1, 1, 1)

    def test_one_that_leaves_is_not_counted_among_the_wanted(self) -> None:
        found = self.seen(("demo-executor-1", Executor(1, "ours")), replicas=1)
        assert (found.ready, found.draining, found.held_back) == (1, 1, 0)

    def test_what_is_planned_is_told(self) -> None:
        plan = Plan(2, leaving=frozenset({"demo-executor-1"}), foreign=frozenset({"demo-executor-0"}))
        found = self.seen(plan=plan)
        assert (found.ready, found.draining, found.leaving, found.foreign) == (2, 0, 1, plan.foreign)

"""What is wrong with a pool's pods is found where it is said, and asked for only where that is vague."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from condorpool_operator.api.status import Reason
from condorpool_operator.diagnosis import diagnose
from condorpool_operator.errors import ApiError
from condorpool_operator.kube import Kube
from condorpool_operator.observe import Children

from .factories import make_context

Obj = dict[str, Any]
CONTEXT = make_context({"executors": [{"name": "cpu", "replicas": 2}]})
TEMPLATE = "condorpool.dev/template-hash"


class Events:
    """A stand-in for the API server: events by the UID of what they are about, and what was asked for."""

    def __init__(self, events: dict[str, list[Obj]] | None = None, error: ApiError | None = None) -> None:
        self.events = events or {}
        self.error = error
        self.asked: list[str] = []

    async def events_about(self, _namespace: str, uid: str) -> AsyncIterator[Obj]:
        self.asked.append(uid)
        if self.error is not None:
            raise self.error
        for event in self.events.get(uid, ()):
            yield event


def stamp(seconds_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, component: str, *, template: str = "new", **status: Any) -> Obj:
    labels = {"condorpool.dev/component": component} | (
        {"condorpool.dev/group": "cpu"} if component == "executor" else {}
    )
    meta = {"name": name, "uid": name, "labels": labels, "annotations": {TEMPLATE: template}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status}


def silent(name: str, component: str, seconds: float = 300) -> Obj:
    conditions = [
        {"type": kind, "status": status, "lastTransitionTime": stamp(seconds + 5)}
        for kind, status in (("PodScheduled", "True"), ("Ready", "False"))
    ]
    container = {"name": "condor", "ready": False, "state": {"running": {"startedAt": stamp(seconds)}}}
    return pod(name, component, conditions=conditions, containerStatuses=[container])


def ready(name: str, component: str, seconds: float = 900) -> Obj:
    return pod(name, component, conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": stamp(seconds)}])


def stateful_set(name: str, replicas: int, generation: int = 1, seen: int | None = 1) -> Obj:
    spec = {"replicas": replicas, "template": {"metadata": {"annotations": {TEMPLATE: "new"}}}}
    meta = {"name": name, "uid": name, "generation": generation, "labels": {}}
    status = {} if seen is None else {"observedGeneration": seen}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec, "status": status}


MANAGER, SUBMITTER = ready("demo-manager-x", "manager"), ready("demo-submitter-0", "submitter")


async def findings(events: Events, *objects: Obj) -> tuple[dict[str, tuple[Reason, str]], float]:
    found, later = await diagnose(cast("Kube", events), CONTEXT, Children(objects))
    return {name: (one.reason, one.told.message) for name, one in found.items()}, later


async def test_a_pool_that_is_well_costs_no_request() -> None:
    events = Events()
    objects = [ready(f"demo-cpu-{ordinal}", "executor") for ordinal in range(2)]
    found, later = await findings(events, MANAGER, SUBMITTER, *objects, stateful_set("demo-cpu", 2))
    assert (found, later, events.asked) == ({}, math.inf, [])


async def test_a_pool_that_has_just_begun_costs_none() -> None:
    events = Events()
    found, later = await findings(events, stateful_set("demo-cpu", 2, seen=None))
    assert (found, later, events.asked) == ({}, math.inf, [])


async def test_who_does_not_join_is_not_blamed_while_the_manager_is_away() -> None:
    lost = silent("demo-cpu-0", "executor")
    assert (await findings(Events(), lost, silent("demo-manager-x", "manager", 5)))[0] == {}
    found, later = await findings(Events(), lost, ready("demo-manager-x", "manager", 20))
    assert found == {}
    assert 20 < later < 30
    found, _ = await findings(Events(), lost, MANAGER)
    assert found["demo-cpu"][0] is Reason.NOT_JOINED


async def test_executors_that_are_to_be_replaced_are_not_judged() -> None:
    old = silent("demo-cpu-0", "executor") | {"metadata": pod("demo-cpu-0", "executor", template="old")["metadata"]}
    assert (await findings(Events(), MANAGER, old, stateful_set("demo-cpu", 1)))[0] == {}


async def test_a_probe_says_why_a_submitter_is_not_ready() -> None:
    probe = {
        "reason": "Unhealthy",
        "message": "Readiness probe failed: SpoolFull: no room",
        "metadata": {},
        "lastTimestamp": stamp(9),
    }
    events = Events({"demo-submitter-0": [probe]})
    found, _ = await findings(events, MANAGER, silent("demo-submitter-0", "submitter"))
    reason, message = found["demo-submitter"]
    assert reason is Reason.SPOOL_FULL
    assert message.startswith("pod demo-submitter-0: no room")
    assert events.asked == ["demo-submitter-0"]


@pytest.mark.parametrize("known", [True, False])
async def test_pods_that_cannot_be_made(known: bool) -> None:
    message = (
        'create Pod demo-cpu-1 in StatefulSet demo-cpu failed error: pods "demo-cpu-1" is forbidden: exceeded quota: q'
    )
    refusal = {"reason": "FailedCreate", "message": message, "metadata": {}, "lastTimestamp": stamp(9)}
    events = Events({"demo-cpu": [refusal]} if known else {})
    objects = (MANAGER, SUBMITTER, ready("demo-cpu-0", "executor"), stateful_set("demo-cpu", 2))
    found, later = await findings(events, *objects)
    assert events.asked == ["demo-cpu"]
    if known:
        assert found["demo-cpu"][0] is Reason.POD_NOT_CREATED
        assert found["demo-cpu"][1].startswith("pod demo-cpu-1: cannot be created: exceeded quota: q; raise")
        assert later == math.inf
    else:
        assert found == {}
        assert later < 60


async def test_events_that_cannot_be_read_leave_the_finding_vague() -> None:
    found, _ = await findings(Events(error=ApiError(403, "Forbidden", "no")), MANAGER, silent("demo-cpu-0", "executor"))
    assert found["demo-cpu"][0] is Reason.NOT_JOINED


def claim(seconds: float, component: str = "submitter") -> Obj:
    labels = {"condorpool.dev/component": component}
    meta = {"name": f"demo-{component}", "uid": "claim", "labels": labels, "creationTimestamp": stamp(seconds)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": {},
        "status": {"phase": "Pending"},
    }


@pytest.mark.parametrize(
    ("message", "seconds", "reason"),
    [
        ("pod has unbound immediate PersistentVolumeClaims", 90, Reason.CLAIM_PENDING),
        ("pod has unbound immediate PersistentVolumeClaims", 30, None),
        ("3 Insufficient cpu", 90, Reason.UNSCHEDULABLE),
    ],
)
async def test_a_claim_is_blamed_for_what_it_keeps_from_running(
    message: str, seconds: float, reason: Reason | None
) -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": message, "lastTransitionTime": stamp(seconds)}
    found, later = await findings(
        Events(), MANAGER, claim(seconds), pod("demo-submitter-0", "submitter", phase="Pending", conditions=[condition])
    )
    assert found.get("demo-submitter", (None,))[0] is reason
    assert (later < math.inf) is (reason is None)


@pytest.mark.parametrize("asked_for", [True, False])
async def test_the_managers_claim_is_blamed_only_while_it_is_asked_for(asked_for: bool) -> None:
    context = make_context({"manager": {"storage": {}}} if asked_for else {})
    message = "pod has unbound immediate PersistentVolumeClaims"
    stuck = {"type": "PodScheduled", "status": "False", "message": message, "lastTransitionTime": stamp(90)}
    children = Children([claim(90, "manager"), pod("demo-manager-x", "manager", phase="Pending", conditions=[stuck])])
    found, _ = await diagnose(cast("Kube", Events()), context, children)
    assert found["demo-manager"].reason is (Reason.CLAIM_PENDING if asked_for else Reason.UNSCHEDULABLE)

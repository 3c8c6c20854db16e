"""Executors are emptied before they go, a few at a time, and called back where nothing was taken from them yet."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condorpool_operator.api.v1alpha1 import ExecutorGroup
from condorpool_operator.drains import Drain, Plan, max_unavailable, plan_group
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


@pytest.mark.parametrize(
    ("replicas", "value", "expected"),
    [(4, "25%", 1), (10, "25%", 2), (1, "25%", 1), (3, 2, 2), (3, "100%", 3), (0, "25%", 1)],
)
def test_max_unavailable(replicas: int, value: int | str, expected: int) -> None:
    assert max_unavailable(group(replicas, value)) == expected


class TestScaleIn:
    """Of three executors to one, where nothing else is said."""

    @staticmethod
    def to_one(state: State | None, *pods: dict[str, Any], unheard: Iterable[int] = ()) -> Plan:
        return plan(group(1), 3, pods or [pod(n) for n in range(3)], state, unheard)

    def test_the_end_is_drained_first(self) -> None:
        found = self.to_one(told(*(executor(n, claimed=n) for n in range(3))))
        assert (found.replicas, drained(found), found.delete) == (3, ["1", "2"], ())
        assert found.under_way

    def test_it_shrinks_as_far_as_its_end_is_empty(self) -> None:
        found = self.to_one(told(executor(0), executor(1, 1, "ours"), executor(2, 0, "ours")))
        assert (found.replicas, found.drain) == (2, ())
        found = self.to_one(told(executor(0), executor(1, 0, "ours"), executor(2, 1, "ours")))
        assert (found.replicas, found.drain) == (3, ())
        found = self.to_one(told(executor(0), executor(1, 0, "ours"), executor(2, 0, "foreign")))
        assert found.replicas == 1

    def test_without_an_answer_it_waits(self) -> None:
        found = self.to_one(None)
        assert (found.replicas, found.drain, len(found.leaving)) == (3, (), 2)
        assert self.to_one(told(executor(0), executor(1, 0, "ours"))).replicas == 3

    def test_what_runs_no_container_needs_no_answer(self) -> None:
        assert self.to_one(None, pod(0), pod(1), pod(2, running=False)).replicas == 2
        assert self.to_one(None, pod(0)).replicas == 1

    @pytest.mark.parametrize("ready", [True, False])
    def test_what_the_collector_has_not_heard_of_for_a_while_may_go(self, ready: bool) -> None:
        state = told(executor(0), executor(1, 0, "ours"))
        pods = (pod(0), pod(1), pod(2, ready=ready))
        assert self.to_one(state, *pods).replicas == 3
        assert self.to_one(state, *pods, unheard=[2]).replicas == 1
        assert self.to_one(None, *pods, unheard=[2]).replicas == 3

    def test_what_a_predecessor_told_counts_for_nothing(self) -> None:
        former = Executor(0, "ours", drained=True, host="10.9.9.9")
        state = State({}, Jobs(0, 0, 0), frozenset(), executors={NAME.format(2): former, NAME.format(1): executor(1)})
        found = self.to_one(state)
        assert (found.replicas, drained(found)) == (3, ["1"])

    def test_an_admins_drain_is_waited_for(self) -> None:
        found = self.to_one(told(executor(0), executor(1, 0, "ours"), executor(2, 1, "foreign")))
        assert (found.replicas, found.drain, found.undrain) == (3, (), ())

    def test_at_the_end_of_the_drain_time_jobs_are_evicted(self) -> None:
        early, late = NOW - HOUR + 1, NOW - HOUR - 1
        busy = [
            executor(n, 1, "ours", drain_since=since, drain_reason="scale-in") for n, since in ((1, early), (2, late))
        ]
        assert self.to_one(told(executor(0), *busy)).drain == (Drain("demo-cpu-2", "scale-in", quick=True),)

    @pytest.mark.parametrize("reason", ["rollout", "its node is cordoned"])
    def test_a_drain_for_another_reason_begins_anew(self, reason: str) -> None:
        long_ago = NOW - 2 * HOUR
        busy = [executor(n, 1, "ours", drain_since=long_ago, drain_reason=reason) for n in (1, 2)]
        found = self.to_one(told(executor(0), *busy))
        assert (found.replicas, found.drain) == (3, (Drain("demo-cpu-1", "scale-in"), Drain("demo-cpu-2", "scale-in")))

    def test_a_drain_of_an_older_agent_that_tells_no_reason_has_no_end(self) -> None:
        busy = [executor(n, 1, "ours", drain_since=NOW - 2 * HOUR) for n in (1, 2)]
        found = self.to_one(told(executor(0), *busy))
        assert (found.replicas, found.drain) == (3, ())

    def test_out_again_calls_back(self) -> None:
        state = told(executor(0), executor(1, 1, "ours"), executor(2, 0, "ours"), executor(3, 0, "foreign"))
        found = plan(group(4), 4, [pod(n) for n in range(4)], state)
        assert (found.replicas, found.undrain) == (4, ("demo-cpu-1", "demo-cpu-2"))
        assert plan(group(5), 4, [pod(n) for n in range(4)], state).replicas == 5

    def test_where_the_agent_cannot_drain_sigterm_does(self) -> None:
        state = replace(told(*(executor(n, 1) for n in range(3))), drains=False)
        assert self.to_one(state) == Plan(1, leaving=frozenset({"demo-cpu-1", "demo-cpu-2"}))
        found = plan(group(2), 2, [pod(0, outdated=True), pod(1, outdated=True)], state)
        assert (deleted(found), found.drain) == (["1"], ())

    def test_one_that_was_told_to_end_holds_nothing_up(self) -> None:
        assert self.to_one(None, pod(0), pod(1, terminating=True), pod(2, terminating=True)).replicas == 1

    def test_where_pods_cannot_be_listed_nothing_shrinks(self) -> None:
        live, state = stateful_set(3), told(*(executor(n) for n in range(3)))
        assert plan_group(group(1), live, None, state, (), (), NOW) == Plan(3)
        assert plan_group(group(5), live, None, state, (), (), NOW) == Plan(5)

    def test_what_kubectl_scale_added_is_emptied_too(self) -> None:
        found = plan(group(1), 2, [pod(0), pod(1)], told(executor(0), executor(1, 1)))
        assert (found.replicas, drained(found)) == (2, ["1"])
        assert plan(group(3), 1, [pod(0)], None).replicas == 3


class TestRollout:
    """Of a changed template."""

    def test_current_pods_stay(self) -> None:
        found = plan(group(2), 2, [pod(0), pod(1, ready=False)], told(executor(0)))
        assert found == Plan(2)

    def test_idle_ones_go_first_and_then_those_at_the_end(self) -> None:
        pods = [pod(0, outdated=True), pod(1, outdated=True), pod(2, outdated=True)]
        assert drained(plan(group(3), 3, pods, told(executor(0), executor(1, 1), executor(2, 1)))) == ["0"]
        assert drained(plan(group(3), 3, pods, told(executor(0), executor(1), executor(2, 1)))) == ["1"]

    def test_a_drained_one_is_deleted(self) -> None:
        pods = [pod(0, outdated=True), pod(1, outdated=True)]
        found = plan(group(2), 2, pods, told(executor(0), executor(1, 0, "ours")))
        assert (deleted(found), found.drain, found.undrain) == (["1"], (), ())

    def test_nothing_goes_while_another_is_away(self) -> None:
        old = [pod(0, outdated=True), pod(1, outdated=True)]
        for away in ([pod(2, terminating=True)], [], [pod(2, ready=False)]):
            assert not plan(group(3), 3, old + away, told(executor(0), executor(1))).leaving

    def test_one_new_executor_has_to_work_before_more_are_replaced(self) -> None:
        pods = [pod(n, outdated=True) for n in range(8)]
        everybody = [executor(n) for n in range(8)]
        assert drained(plan(group(8, 4), 8, pods, told(*everybody))) == ["7"]
        pods[7] = pod(7, running=False)
        assert not plan(group(8, 4), 8, pods, told(*everybody[:7])).drain
        pods[7] = pod(7)
        assert drained(plan(group(8, 4), 8, pods, told(*everybody))) == ["6", "5", "4", "3"]

    def test_what_somebody_else_drains_does_not_count_as_the_first_new_one(self) -> None:
        pods = [pod(n, outdated=True) for n in range(3)]
        state = told(executor(0, 0, "foreign"), executor(1), executor(2))
        assert drained(plan(group(3, 2), 3, pods, state)) == ["2"]
        assert drained(plan(group(3, 1), 3, pods, state)) == []
        state = told(executor(0, 0, "foreign"), executor(1), executor(2, 1, "ours"))
        assert drained(plan(group(3, 3), 3, pods, state)) == []

    def test_a_broken_one_goes_whatever_the_budget(self) -> None:
        pods = [pod(0, outdated=True), pod(1, outdated=True, running=False), pod(2, ready=False)]
        assert deleted(plan(group(3), 3, pods, None)) == ["1"]
        pods[1] = pod(1, outdated=True, ready=False)
        assert deleted(plan(group(3), 3, pods, told(executor(0)), unheard=[1])) == ["1"]
        assert deleted(plan(group(3), 3, pods, told(executor(0)))) == []
        assert deleted(plan(group(3), 3, pods, None)) == []

    def test_none_goes_when_a_collector_that_comes_back_knows_nobody_yet(self) -> None:
        pods = [pod(n, outdated=True, ready=False) for n in range(3)]
        found = plan(group(3), 3, pods, told())
        assert (found.delete, found.drain, found.undrain) == ((), (), ())

    def test_a_change_that_is_taken_back_calls_back(self) -> None:
        assert plan(group(1), 1, [pod(0)], told(executor(0, 1, "ours"))).undrain == ("demo-cpu-0",)

    def test_an_admins_drain_outlives_a_change(self) -> None:
        found = plan(group(1), 1, [pod(0, outdated=True)], told(executor(0, 0, "foreign")))
        assert (found.delete, found.drain, found.foreign) == ((), (), frozenset({"demo-cpu-0"}))


class TestRolloutUnderCordon:
    """Of three executors, the last two on a node that has been cordoned for long."""

    def plan(
        self, *claimed: int, new: bool = False, unavailable: int = 3, reason: str | None = "its node is cordoned"
    ) -> Plan:
        pods = [pod(0, outdated=not new), *(pod(n, outdated=True, node="node-b") for n in (1, 2))]
        more = {"drain_since": NOW - 2 * HOUR, "drain_reason": reason}
        under = [executor(n, jobs, "ours", **more) for n, jobs in zip((1, 2), claimed, strict=True)]
        return plan(group(3, unavailable), 3, pods, told(executor(0), *under), cordoned=["node-b"])

    def test_the_time_under_the_cordon_does_not_count(self) -> None:
        assert self.plan(1, 1, new=True).drain == (Drain("demo-cpu-2", "rollout"), Drain("demo-cpu-1", "rollout"))

    def test_one_goes_before_a_new_one_is_ready(self) -> None:
        found = self.plan(1, 1)
        assert (found.drain, found.undrain, found.delete) == ((Drain("demo-cpu-2", "rollout"),), (), ())
        assert deleted(self.plan(0, 0)) == ["2"]
        assert deleted(self.plan(0, 1)) == ["1"]

    def test_not_more_go_than_may_be_away(self) -> None:
        assert deleted(self.plan(0, 0, new=True, unavailable=1)) == ["2"]
        assert deleted(self.plan(0, 0, new=True, unavailable=2)) == ["2", "1"]

    def test_once_begun_it_has_its_end(self) -> None:
        quick = [Drain(f"demo-cpu-{n}", "rollout", quick=True) for n in (1, 2)]
        assert list(self.plan(1, 1, reason="rollout").drain) == quick

    def test_an_older_agent_tells_no_reason_and_evicts_nobody(self) -> None:
        found = self.plan(1, 1, reason=None)
        assert (found.drain, found.undrain, found.delete) == ((), (), ())
        assert deleted(self.plan(0, 0, reason=None)) == ["2"]


class TestCordon:
    """Of a node with one of two executors."""

    PODS = (pod(0), pod(1, node="node-b"))

    def test_executors_there_are_drained_and_stay(self) -> None:
        found = plan(group(2), 2, self.PODS, told(executor(0), executor(1)), cordoned=["node-b"])
        assert (found.replicas, found.drain, found.delete) == (2, (Drain("demo-cpu-1", "its node is cordoned"),), ())
        found = plan(group(2), 2, self.PODS, told(executor(0), executor(1, 0, "ours")), cordoned=["node-b"])
        assert (found.drain, found.undrain, found.delete) == ((), (), ())

    def test_no_job_is_evicted_for_it(self) -> None:
        since = NOW - 2 * HOUR
        for reason in ("its node is cordoned", None):
            state = told(executor(0), executor(1, 1, "ours", drain_since=since, drain_reason=reason))
            assert plan(group(2), 2, self.PODS, state, cordoned=["node-b"]).drain == ()

    def test_what_has_drained_for_something_else_drains_for_it_from_now_on(self) -> None:
        state = told(executor(0), executor(1, 1, "ours", drain_since=NOW, drain_reason="rollout"))
        found = plan(group(2), 2, self.PODS, state, cordoned=["node-b"])
        assert found.drain == (Drain("demo-cpu-1", "its node is cordoned"),)

    def test_uncordoned_they_are_called_back_once_that_is_known(self) -> None:
        state = told(executor(0), executor(1, 1, "ours"))
        assert plan(group(2), 2, self.PODS, state, cordoned=None).undrain == ()
        assert plan(group(2), 2, self.PODS, state, cordoned=[]).undrain == ("demo-cpu-1",)


@dataclass
class Machine:
    """An executor as it is, whoever knows."""

    outdated: bool
    jobs: int = 0
    drain: Literal["ours", "foreign"] | None = None
    running: bool = True
    known: bool = True
    """To the collector, without which it is not ready either."""
    cordoned: bool = False
    reason: str | None = None
    """What our drain is for, and since when."""
    since: int = 0
    leaves: dict[str, int] = field(default_factory=dict)
    """Why it has to leave, and since when."""


@dataclass
class World:
    """A group on a cluster where plans are carried out at once, and the agent tells the truth or nothing."""

    machines: list[Machine]
    group: ExecutorGroup
    lost: list[str] = field(default_factory=list)
    now: int = NOW

    def look(self, *, answers: bool) -> State | None:
        if not answers:
            return None
        return told(
            *(
                executor(n, one.jobs, one.drain, drain_since=one.since, drain_reason=one.reason)
                for n, one in enumerate(self.machines)
                if one.running and one.known
            )
        )

    def step(self, *, answers: bool) -> Plan:
        pods = [
            pod(n, outdated=one.outdated, ready=one.known, running=one.running, node=f"node-{n}")
            for n, one in enumerate(self.machines)
        ]
        cordoned = [f"node-{n}" for n, one in enumerate(self.machines) if one.cordoned]
        self._count_time(answers=answers)
        found = plan(self.group, len(self.machines), pods, self.look(answers=answers), cordoned=cordoned, now=self.now)
        for order in found.drain:
            self._drain(self.at(order.pod), order)
        for name in found.undrain:
            assert self.at(name).drain == "ours"
            self.at(name).drain = self.at(name).reason = None
        for gone in found.delete:
            self._end(self.at(gone["metadata"]["name"]))
            self.machines[int(gone["metadata"]["name"].rpartition("-")[2])] = Machine(outdated=False)
        for one in self.machines[found.replicas :]:
            self._end(one)
        del self.machines[found.replicas :]
        self.machines += [Machine(outdated=False) for _ in range(found.replicas - len(self.machines))]
        return found

    def _count_time(self, *, answers: bool) -> None:
        """Note since when executors have to leave; a reason that comes again before anybody could be called back has not ended."""
        for n, one in enumerate(self.machines):
            reasons = {"scale-in": n >= (self.group.replicas or 0), "rollout": one.outdated}
            holding = {why for why, holds in reasons.items() if holds} | (set() if answers else one.leaves.keys())
            one.leaves = {why: one.leaves.get(why, self.now) for why in holding}

    def _drain(self, machine: Machine, order: Drain) -> None:
        assert machine.drain != "foreign"
        if order.quick and machine.jobs:
            if self.now - machine.leaves.get(order.reason, self.now) < HOUR or machine.reason != order.reason:
                self.lost.append(f"{machine}: {order}")
            machine.jobs = 0
        machine.drain, machine.reason, machine.since = "ours", order.reason, self.now

    def at(self, name: str) -> Machine:
        return self.machines[int(name.rpartition("-")[2])]

    def _end(self, machine: Machine) -> None:
        if machine.running and (machine.jobs or machine.drain is None):
            self.lost.append(f"{machine}")

    def settle(self) -> None:
        for one in self.machines:
            one.known = True
            one.jobs, one.drain, one.cordoned = 0, None if one.drain == "foreign" else one.drain, False


def happen(what: str, machine: Machine) -> None:
    """Let something happen to an executor that nobody planned."""
    match what:
        case "job" if machine.running and machine.drain is None:
            machine.jobs += 1
        case "end":
            machine.jobs = 0
        case "drain" if machine.drain is None:
            machine.drain = "foreign"
        case "die" | "live":
            machine.running, machine.jobs, machine.drain, machine.reason = what == "live", 0, None, None
        case "unheard" | "heard":
            machine.known = what == "heard"
        case "cordon" | "uncordon":
            machine.cordoned = what == "cordon"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["job", "end", "drain", "die", "live", "change", "back", "scale", "cordon", "uncordon", "unheard", "heard"]
        ),
        st.integers(0, 7),
        st.booleans(),
    ),
    min_size=20,
    max_size=40,
)


@settings(max_examples=300)
@given(st.integers(1, 6), st.integers(1, 3), STEPS)
def test_no_executor_goes_that_has_or_may_get_a_job_and_all_plans_end(
    size: int, unavailable: int, steps: list[tuple[str, int, bool]]
) -> None:
    world = World([Machine(outdated=False) for _ in range(size)], group(size, unavailable))
    for what, number, answers in steps:
        world.now += (number + 1) * HOUR // 4
        if what in ("change", "back"):
            for one in world.machines:
                one.outdated = what == "change"
        elif what == "scale":
            world.group = group(number, unavailable)
        elif world.machines:
            happen(what, world.machines[number % len(world.machines)])
        away = sum(
            not one.running or not one.known or one.drain is not None for one in world.machines[: world.group.replicas]
        )
        before = world.group.replicas or 0
        serving = {NAME.format(n) for n, one in enumerate(world.machines) if one.drain is None}
        begun = {NAME.format(n) for n, one in enumerate(world.machines) if one.reason == "rollout"}
        running = {NAME.format(n) for n, one in enumerate(world.machines) if one.running}
        found = world.step(answers=answers)
        taken = [one for one in found.drain if one.reason == "rollout" and one.pod in serving]
        assert not taken or away + max(0, before - len(world.machines)) + len(taken) <= unavailable
        replaced = {one["metadata"]["name"] for one in found.delete} & running
        leaving = [one for one in world.machines[:before] if one.running and one.reason == "rollout"]
        fresh = {one.pod for one in found.drain if one.reason == "rollout" and not one.quick} | replaced - begun
        assert not fresh or len(replaced) + len(leaving) <= unavailable
        assert not world.lost
    for _ in range(4 * len(world.machines) + 4):
        world.settle()
        for one in world.machines:
            one.running = True
        world.step(answers=True)
    assert len(world.machines) == world.group.replicas
    assert not [one for one in world.machines if one.outdated or one.drain]

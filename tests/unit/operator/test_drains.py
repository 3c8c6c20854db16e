"""Executors are emptied before they go, a few at a time, and called back where nothing was taken from them yet."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from condorpool_operator.drains import Drain, Plan, max_unavailable, plan_group
from condorpool_operator.seen import Executor, Jobs, State

from .fleet import HOUR, NAME, NOW, deleted, drained, executor, group, plan, pod, stateful_set, told


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

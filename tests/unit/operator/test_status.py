"""Status is a pure function of what was seen, and tells each truth once."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condorpool_operator.api.status import ConditionType, Reason
from condorpool_operator.seen import Fault, Group, Jobs, Observation, Problem, Sight, Slots, State, Workload
from condorpool_operator.status import compute_status, invalid_status, paused_status, transitions

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
UP = Workload(ready=True, message="up", daemon="demo-manager")
DOWN = Workload(ready=False, message="down", daemon="demo-manager")
SCHEDD = Workload(ready=True, message="up", daemon="demo-submitter-0")
FULL = Group("cpu", desired=2, ready=2, draining=0, outdated=0, pods=frozenset({"demo-cpu-0", "demo-cpu-1"}))
TOLD = State({"cpu": Slots(4, 1, 0), "gone": Slots(2, 2, 2)}, Jobs(5, 3, 1), frozenset())
UNHEARD, SILENT = Sight(None, silent=False), Sight(None, silent=True)


def observation(**changes: Any) -> Observation:
    values: dict[str, Any] = {
        "manager": UP,
        "submitter": SCHEDD,
        "groups": (FULL,),
        "problems": (),
        "image": "i",
        "collector": "c:9618",
        "policy_mode": "Calico",
        "storage": "10Gi",
        "manager_storage": None,
        "ssh_endpoint": "1.2.3.4:30022",
        "sight": Sight(TOLD, silent=False),
    }
    return Observation(**(values | changes))


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]}


def executors_ready(**changes: Any) -> dict[str, Any]:
    status = compute_status(1, observation(**changes), {}, NOW)
    return next(one for one in status["conditions"] if one["type"] == "ExecutorsReady")


def problem(condition: ConditionType = ConditionType.USERS_VALID, reason: Reason = Reason.SECRET_NOT_FOUND) -> Problem:
    return Problem(condition, reason, "field: what, fix")


def sick(reason: Reason, message: str = "pod p: why") -> Workload:
    return Workload(ready=False, message="down", daemon="demo-manager", fault=Fault(reason, message))


def group(reason: Reason, message: str = "pod p: why") -> Group:
    return Group("cpu", 2, 1, 0, 0, fault=Fault(reason, message))


def test_a_whole_pool_is_ready() -> None:
    status = compute_status(3, observation(), {}, NOW)
    states = conditions(status)
    assert states["Ready"] == ("True", "Available")
    assert states["Reconciling"][0] == states["Stalled"][0] == "False"
    assert status["executorsReady"] == "2/2"
    assert status["submitter"]["ssh"]["endpoint"] == "1.2.3.4:30022"


@pytest.mark.parametrize(
    ("changes", "condition", "reason", "stalled"),
    [
        ({"manager": DOWN}, "ManagerReady", "PodsNotReady", False),
        ({"submitter": DOWN}, "SubmitterReady", "PodsNotReady", False),
        ({"groups": (Group("cpu", 2, 1, 0, 0),)}, "ExecutorsReady", "PodsNotReady", False),
        ({"groups": (Group("cpu", 2, 1, 0, 1),)}, "ExecutorsReady", "RollingOut", False),
        ({"problems": (problem(),)}, "UsersValid", "SecretNotFound", True),
        ({"manager": sick(Reason.IMAGE_PULL_FAILED)}, "ManagerReady", "ImagePullFailed", True),
        ({"submitter": sick(Reason.NOT_JOINED)}, "SubmitterReady", "NotJoined", False),
        ({"groups": (group(Reason.UNSCHEDULABLE),)}, "ExecutorsReady", "Unschedulable", False),
        (
            {"groups": (group(Reason.UNSCHEDULABLE), group(Reason.CRASH_LOOPING))},
            "ExecutorsReady",
            "CrashLooping",
            True,
        ),
        (
            {"problems": (problem(ConditionType.CONFIG_VALID, Reason.CONFIG_MAP_NOT_FOUND),)},
            "ConfigValid",
            "ConfigMapNotFound",
            True,
        ),
        (
            {"problems": (problem(ConditionType.MANAGER_READY, Reason.API_UNAVAILABLE),)},
            "ManagerReady",
            "ApiUnavailable",
            False,
        ),
    ],
)
def test_one_thing_missing_makes_a_pool_not_ready(
    changes: dict[str, Any], condition: str, reason: str, stalled: bool
) -> None:
    states = conditions(compute_status(1, observation(**changes), {}, NOW))
    assert states[condition] == ("False", reason)
    assert states["Ready"] == ("False", reason)
    assert states["Stalled"][0] == str(stalled)
    assert states["Reconciling"][0] == str(not stalled)


def test_faults_of_executors_follow_their_counts() -> None:
    seen = observation(
        groups=(group(Reason.UNSCHEDULABLE, "pod a: no room"), group(Reason.CRASH_LOOPING, "pod b: ends"))
    )
    status = compute_status(1, seen, {}, NOW)
    (message,) = [one["message"] for one in status["conditions"] if one["type"] == "ExecutorsReady"]
    assert message == "cpu: 1 of 2 ready; cpu: 1 of 2 ready; pod a: no room; pod b: ends"


def test_executors_that_are_kept_from_jobs_do_not_count_against_readiness() -> None:
    group = Group("cpu", 2, 1, 1, 0, held_back=1)
    found = executors_ready(groups=(group,))
    assert (found["status"], found["message"]) == ("True", "cpu: 1 of 2 ready, 1 draining")


def test_those_who_are_to_leave_wait_for_a_silent_agent() -> None:
    group = Group("cpu", 1, 1, 0, 0, leaving=2)
    for silent, expected in (
        (True, "; the pool's agent does not answer, so the 2 that are to leave wait for it"),
        (False, ""),
    ):
        found = executors_ready(groups=(group,), sight=Sight(None, silent=silent))
        assert found["message"] == f"cpu: 1 of 1 ready{expected}"


def test_a_drain_of_somebody_else_is_told() -> None:
    group = Group("cpu", 1, 0, 1, 1, foreign=frozenset({"demo-cpu-0"}))
    message = executors_ready(groups=(group,))["message"]
    assert "somebody else drains demo-cpu-0: not replaced before condor_drain -cancel, or kubectl delete pod" in message


def test_draining_executors_do_not_count_against_readiness() -> None:
    status = compute_status(1, observation(groups=(Group("cpu", 2, 2, 3, 0),)), {}, NOW)
    assert conditions(status)["Ready"][0] == "True"


def test_every_condition_is_about_this_generation() -> None:
    status = compute_status(7, observation(manager=DOWN), {}, NOW)
    assert {condition["observedGeneration"] for condition in status["conditions"]} == {7}


def test_the_same_sight_is_the_same_status() -> None:
    first = compute_status(1, observation(), {}, NOW)
    assert compute_status(1, observation(), first, LATER) == first


def test_only_a_turn_moves_the_time() -> None:
    first = compute_status(1, observation(), {}, NOW)
    second = compute_status(2, observation(manager=DOWN), first, LATER)
    times = {condition["type"]: condition["lastTransitionTime"] for condition in second["conditions"]}
    assert times["ManagerReady"] == times["Ready"] == LATER
    assert times["SubmitterReady"] == NOW


def test_an_invalid_spec_keeps_what_is_known_of_the_running_pool() -> None:
    good = compute_status(1, observation(), {}, NOW)
    bad = invalid_status(2, "spec.x: wrong", good, LATER)
    assert conditions(bad)["Accepted"] == ("False", "InvalidSpec")
    assert conditions(bad)["Ready"] == ("False", "InvalidSpec")
    assert conditions(bad)["ManagerReady"][0] == "Unknown"
    assert bad["executors"] == good["executors"]
    assert bad["observedGeneration"] == 2


def test_a_paused_pool_says_so() -> None:
    states = conditions(paused_status(2, {}, NOW))
    assert states["Ready"] == ("Unknown", "Paused")
    assert states["Reconciling"][0] == states["Stalled"][0] == "False"


class TestEvents:
    def test_ready_once(self) -> None:
        waiting = compute_status(1, observation(manager=DOWN), {}, NOW)
        ready = compute_status(1, observation(), waiting, NOW)
        assert transitions({}, waiting) == []
        assert [event[:2] for event in transitions(waiting, ready)] == [("Normal", "Ready")]
        assert transitions(ready, compute_status(1, observation(), ready, LATER)) == []

    def test_a_finding_on_a_ready_pool_is_one_warning(self) -> None:
        ready = compute_status(1, observation(), {}, NOW)
        bad = compute_status(2, observation(problems=(problem(),)), ready, NOW)
        assert transitions(ready, bad) == [("Warning", "SecretNotFound", "field: what, fix")]
        again = compute_status(2, observation(problems=(problem(),)), bad, LATER)
        assert transitions(bad, again) == []

    @pytest.mark.parametrize("reason", [Reason.CRASH_LOOPING, Reason.UNSCHEDULABLE])
    def test_a_fault_of_pods_is_one_warning_whatever_their_number(self, reason: Reason) -> None:
        starting = compute_status(1, observation(manager=DOWN, groups=(Group("cpu", 2, 1, 0, 0),)), {}, NOW)
        one = compute_status(1, observation(manager=DOWN, groups=(group(reason, "pod a: x"),)), starting, NOW)
        assert [event[:2] for event in transitions(starting, one)] == [("Warning", reason.value)]
        two = compute_status(1, observation(manager=DOWN, groups=(group(reason, "pod a and 1 more: x"),)), one, NOW)
        assert transitions(one, two) == []
        other = compute_status(1, observation(manager=DOWN, groups=(group(Reason.NOT_JOINED),)), two, NOW)
        assert [event[:2] for event in transitions(two, other)] == [("Warning", "NotJoined")]

    def test_lost_readiness_is_told(self) -> None:
        ready = compute_status(1, observation(), {}, NOW)
        lost = compute_status(1, observation(submitter=DOWN), ready, NOW)
        assert [event[:2] for event in transitions(ready, lost)] == [("Warning", "PodsNotReady")]

    def test_progress_is_not_told(self) -> None:
        one = compute_status(1, observation(groups=(Group("cpu", 3, 1, 0, 0),)), {}, NOW)
        two = compute_status(1, observation(groups=(Group("cpu", 3, 2, 0, 0),)), one, NOW)
        assert transitions(one, two) == []


@given(st.lists(st.sampled_from([UP, DOWN]), min_size=2, max_size=2), st.integers(0, 3), st.integers(0, 3))
def test_ready_is_the_conjunction_of_all_conditions(workloads: list[Workload], ready: int, outdated: int) -> None:
    group = Group("cpu", 3, ready, 0, outdated)
    seen = observation(manager=workloads[0], submitter=workloads[1], groups=(group,))
    states = conditions(compute_status(1, seen, {}, NOW))
    parts = ("Accepted", "ConfigValid", "UsersValid", "ManagerReady", "SubmitterReady", "ExecutorsReady")
    assert (states["Ready"][0] == "True") == all(states[part][0] == "True" for part in parts)
    assert (states["Reconciling"][0] == "True") == (states["Ready"][0] != "True")


class TestAgent:
    def test_slots_and_jobs_are_shown(self) -> None:
        status = compute_status(1, observation(), {}, NOW)
        assert status["slots"] == {"total": 6, "claimed": 3, "draining": 2}
        assert status["jobs"] == {"idle": 5, "running": 3, "held": 1}
        assert status["executors"][0]["slots"] == {"total": 4, "claimed": 1, "draining": 0}
        assert conditions(status)["StateKnown"] == ("True", "Answering")

    def test_a_group_that_the_collector_does_not_know_has_no_slots(self) -> None:
        groups = (FULL, Group("new", 1, 0, 0, 0))
        status = compute_status(1, observation(groups=groups), {}, NOW)
        assert status["executors"][1]["slots"] == {"total": 0, "claimed": 0, "draining": 0}

    @pytest.mark.parametrize("sight", [Sight(TOLD, silent=False), SILENT])
    def test_a_restart_of_the_operator_changes_nothing_before_the_agent_has_answered(self, sight: Sight) -> None:
        before = compute_status(1, observation(sight=sight), {}, NOW)
        assert compute_status(1, observation(sight=UNHEARD), before, LATER) == before

    def test_a_silent_agent_is_told_and_harms_nothing(self) -> None:
        before = compute_status(1, observation(), {}, NOW)
        status = compute_status(1, observation(sight=SILENT), before, LATER)
        assert conditions(status)["StateKnown"] == ("False", "AgentSilent")
        assert conditions(status)["Ready"] == ("True", "Available")
        assert conditions(status)["Reconciling"][0] == "False"
        assert "slots" not in status
        assert "jobs" not in status
        assert "slots" not in status["executors"][0]
        assert transitions(before, status) == []

    def test_nobody_is_blamed_for_an_agent_whose_manager_is_down(self) -> None:
        before = compute_status(1, observation(), {}, NOW)
        status = compute_status(1, observation(sight=SILENT, manager=DOWN), before, LATER)
        assert conditions(status)["StateKnown"] == ("Unknown", "Progressing")

    def test_a_paused_pool_keeps_its_figures_and_goes_on_from_them(self) -> None:
        before = compute_status(1, observation(), {}, NOW)
        paused = paused_status(2, before, NOW)
        assert conditions(paused)["StateKnown"] == ("Unknown", "Paused")
        assert paused["jobs"] == before["jobs"]
        resumed = compute_status(3, observation(sight=UNHEARD), paused, LATER)
        assert conditions(resumed)["StateKnown"] == ("Unknown", "Progressing")
        assert resumed["jobs"] == before["jobs"]

    @pytest.mark.parametrize(
        ("absent", "condition", "words"),
        [
            ("demo-manager", "ManagerReady", "the negotiator of demo-manager"),
            ("demo-submitter-0", "SubmitterReady", "the schedd of demo-submitter-0"),
            ("demo-cpu-1", "ExecutorsReady", "the startd of demo-cpu-1"),
        ],
    )
    def test_a_daemon_that_the_collector_does_not_know_turns_its_condition(
        self, absent: str, condition: str, words: str
    ) -> None:
        sight = Sight(TOLD, silent=False, absent=frozenset({absent}))
        status = compute_status(1, observation(sight=sight), {}, NOW)
        turned = {kind for kind, state in conditions(status).items() if state == ("False", "NotInCollector")}
        assert turned == {condition, "Ready"}
        assert words in next(one["message"] for one in status["conditions"] if one["type"] == condition)

    @pytest.mark.parametrize(
        "sight", [UNHEARD, Sight(TOLD, silent=False, doubted=frozenset({"demo-cpu-1"}))], ids=["unheard", "doubted"]
    )
    def test_what_was_missed_stays_so_until_it_is_decided(self, sight: Sight) -> None:
        missed = Sight(TOLD, silent=False, absent=frozenset({"demo-cpu-1"}))
        before = compute_status(1, observation(sight=missed), {}, NOW)
        assert compute_status(1, observation(sight=sight), before, LATER) == before
        assert conditions(compute_status(1, observation(), before, LATER))["ExecutorsReady"][0] == "True"
        assert conditions(compute_status(1, observation(sight=SILENT), before, LATER))["ExecutorsReady"][0] == "True"

    def test_a_broken_mount_turns_executors(self) -> None:
        state = replace(TOLD, broken={"demo-cpu-1": ("data", "onedata"), "elsewhere-0": ("data",)})
        before = compute_status(1, observation(sight=Sight(state, silent=False)), {}, NOW)
        assert conditions(before)["ExecutorsReady"] == ("False", "MountBroken")
        assert conditions(before)["Stalled"][0] == "False"
        (message,) = [one["message"] for one in before["conditions"] if one["type"] == "ExecutorsReady"]
        assert "take no job: data of demo-cpu-1, onedata of demo-cpu-1: see" in message
        assert compute_status(1, observation(sight=UNHEARD), before, LATER) == before
        assert conditions(compute_status(1, observation(), before, LATER))["ExecutorsReady"][0] == "True"
        assert conditions(compute_status(1, observation(sight=SILENT), before, LATER))["ExecutorsReady"][0] == "True"

    def test_a_doubt_alone_turns_nothing(self) -> None:
        doubt = Sight(TOLD, silent=False, doubted=frozenset({"demo-cpu-1", "demo-manager"}))
        assert conditions(compute_status(1, observation(sight=doubt), {}, NOW))["Ready"][0] == "True"

    def test_pods_that_are_not_ready_come_before_what_the_collector_says(self) -> None:
        group = Group("cpu", 2, 1, 0, 0, frozenset({"demo-cpu-0"}))
        sight = Sight(TOLD, silent=False, absent=frozenset({"demo-cpu-0"}))
        states = conditions(compute_status(1, observation(groups=(group,), sight=sight), {}, NOW))
        assert states["ExecutorsReady"] == ("False", "PodsNotReady")

    def test_a_long_list_of_pods_is_cut(self) -> None:
        pods = frozenset(f"demo-cpu-{number}" for number in range(9))
        sight = Sight(TOLD, silent=False, absent=pods)
        status = compute_status(1, observation(groups=(Group("cpu", 9, 9, 0, 0, pods),), sight=sight), {}, NOW)
        (message,) = [one["message"] for one in status["conditions"] if one["type"] == "ExecutorsReady"]
        assert "demo-cpu-4 and 4 more" in message


def test_the_managers_claim_is_told_while_there_is_one() -> None:
    assert compute_status(1, observation(), {}, NOW)["manager"] == {"address": "c:9618"}
    told = compute_status(1, observation(manager_storage="1Gi"), {}, NOW)["manager"]
    assert told == {"address": "c:9618", "storage": {"size": "1Gi"}}

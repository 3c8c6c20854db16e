"""What condor_status really wrote, as state and as metrics."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from condorpool_agent.ads import Ad, read_ads
from condorpool_agent.metrics import MOST_GROUPS, MOST_OWNERS, Health, render
from condorpool_agent.state import STALE_SECONDS, State, build_state, tag

RECORDED = (Path(__file__).parent / "recorded" / "pool.json").read_text()
"""`condor_status -json` of HTCondor 25.14.1: two executors, of four CPUs and of two that drain, all busy; two users; two held jobs."""
HEALTH = Health(queries=3, failures=1, query_seconds=0.02, cpu_seconds=1.5, resident_bytes=28_000_000)


def recorded_ads() -> list[Ad]:
    return list(read_ads(RECORDED.splitlines(keepends=True)))


NOW = max(int(ad["LastHeardFrom"]) for ad in recorded_ads()) + 5


def state(*more: Ad, now: int = NOW) -> State:
    return build_state([*recorded_ads(), *more], now)


def test_every_ad_is_read_as_the_json_that_it_is() -> None:
    assert recorded_ads() == json.loads(RECORDED)


@pytest.mark.parametrize("text", ["", "[\n]\n", "\n"])
def test_no_ads_are_none(text: str) -> None:
    assert list(read_ads(text.splitlines(keepends=True))) == []


def test_a_broken_ad_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        list(read_ads(["[\n", "{\n", '  "Name": \n', "}\n"]))


def test_slots_are_cpus_by_executor_and_group() -> None:
    found = state()
    assert found["slots"] == {"total": 6, "claimed": 6, "draining": 2}
    assert found["groups"] == {"cpu": {"executors": 2, "total": 6, "claimed": 6, "draining": 2}}
    figures = {
        pod: (one["group"], one["total"], one["claimed"], one["draining"]) for pod, one in found["executors"].items()
    }
    assert figures == {"demo-cpu-0": ("cpu", 4, 4, 0), "demo-cpu-1": ("cpu", 2, 2, 2)}


def test_jobs_are_those_of_the_queue_in_total_and_by_owner() -> None:
    jobs = state()["jobs"]
    owners = jobs.pop("owners")
    assert jobs == {"idle": 0, "running": 6, "held": 2}
    assert owners == {
        "john": {"idle": 0, "running": 5, "held": 0},
        "mary": {"idle": 0, "running": 1, "held": 2},
    }


def test_dags_count_as_condor_q_counts_them() -> None:
    schedd = {"MyType": "Scheduler", "TotalSchedulerJobsRunning": 2, "TotalLocalJobsIdle": 1}
    owner = {"MyType": "Submitter", "Name": "ann@x", "SchedulerJobsRunning": 2, "LocalJobsIdle": 1}
    jobs = state(schedd, owner)["jobs"]
    assert (jobs["idle"], jobs["running"]) == (1, 8)
    assert jobs["owners"]["ann"] == {"idle": 1, "running": 2, "held": 0}


def test_daemons_have_pod_age_and_start() -> None:
    daemons = {one["type"]: one for one in state()["daemons"]}
    assert daemons.keys() == {"Collector", "Negotiator", "Scheduler"}
    assert daemons["Scheduler"]["pod"] == "demo-submitter-0"
    assert daemons["Negotiator"]["pod"] == daemons["Collector"]["pod"] == "demo-manager"
    assert all(one["age"] >= 0 for one in daemons.values())
    assert all(one["started"] > NOW - 86400 and one["address"].startswith("<") for one in daemons.values())


def test_who_has_been_silent_for_five_minutes_is_stale_but_the_collector_itself() -> None:
    fresh, late = state(), state(now=NOW + STALE_SECONDS)
    assert not any(one["stale"] for one in (*fresh["daemons"], *fresh["executors"].values()))
    assert all(one["stale"] for one in late["executors"].values())
    assert {one["type"] for one in late["daemons"] if not one["stale"]} == {"Collector"}


@pytest.mark.parametrize(
    ("interval", "age", "stale"), [(20, 50, False), (20, 51, True), (300, 700, False), ("x", 299, False)]
)
def test_a_startd_is_stale_when_the_negotiator_gives_it_no_more_jobs(interval: Any, age: int, stale: bool) -> None:
    ad = PARTITIONABLE | {"CondorPoolUpdateInterval": interval, "LastHeardFrom": NOW - age}
    assert build_state([ad], NOW)["executors"]["d-0"]["stale"] is stale


PARTITIONABLE = {"MyType": "Machine", "Machine": "d-0.d.ns", "PartitionableSlot": True, "TotalSlotCpus": 4, "Cpus": 4}
STATIC = {"MyType": "Machine", "Machine": "d-0.d.ns", "TotalSlotCpus": 2, "Cpus": 2}


@pytest.mark.parametrize(
    ("ad", "claimed", "draining"),
    [
        (PARTITIONABLE, 0, 0),
        (PARTITIONABLE | {"ChildState": [], "ChildCpus": []}, 0, 0),
        (PARTITIONABLE | {"ChildState": ["Claimed", "Preempting"], "ChildCpus": [3, 1]}, 3, 0),
        (PARTITIONABLE | {"Draining": True}, 0, 4),
        (PARTITIONABLE | {"State": "Drained"}, 0, 4),
        (PARTITIONABLE | {"ChildActivity": ["Busy", "Retiring"]}, 0, 4),
        (STATIC | {"State": "Claimed", "Activity": "Busy"}, 2, 0),
        (STATIC | {"State": "Unclaimed"}, 0, 0),
        (STATIC | {"State": "Claimed", "Activity": "Retiring"}, 2, 2),
    ],
)
def test_what_a_slot_counts(ad: Ad, claimed: int, draining: int) -> None:
    executor = build_state([ad], NOW)["executors"]["d-0"]
    assert (executor["claimed"], executor["draining"]) == (claimed, draining)


BY_US = {"Draining": True, "DrainReason": "condorpool: scale-in", "DrainingRequestId": "7", "LastDrainStartTime": 1700}


@pytest.mark.parametrize(
    ("ads", "drain", "drained"),
    [
        ([PARTITIONABLE | {"State": "Unclaimed"}], None, False),
        ([PARTITIONABLE | {"ChildState": ["Claimed"], "ChildActivity": ["Retiring"]}], None, False),
        ([PARTITIONABLE | {"State": "Drained"}], None, False),
        ([PARTITIONABLE | BY_US | {"State": "Unclaimed"}], "ours", False),
        ([PARTITIONABLE | BY_US | {"State": "Drained", "ChildState": ["Claimed"]}], "ours", False),
        ([PARTITIONABLE | BY_US | {"State": "Drained", "ChildState": ["Preempting"]}], "ours", False),
        ([PARTITIONABLE | BY_US | {"State": "Drained", "ChildState": []}], "ours", True),
        ([PARTITIONABLE | BY_US | {"State": "Drained", "DrainReason": "by root"}], "foreign", True),
        ([PARTITIONABLE | BY_US | {"State": "Drained", "DrainReason": "not condorpool:"}], "foreign", True),
        ([PARTITIONABLE | {"Draining": True, "State": "Drained"}], "foreign", True),
        ([STATIC | BY_US | {"State": "Drained"}, STATIC | BY_US | {"State": "Claimed"}], "ours", False),
        ([STATIC | BY_US | {"State": "Drained"}, STATIC | BY_US | {"State": "Drained"}], "ours", True),
    ],
)
def test_whose_drain_it_is_and_whether_it_is_over(ads: list[Ad], drain: str | None, drained: bool) -> None:
    executor = build_state(ads, NOW)["executors"]["d-0"]
    assert (executor["drain"], executor["drained"]) == (drain, drained)
    assert executor["drainReason"] == ("scale-in" if drain == "ours" else None)


def test_since_when_and_by_which_name_an_executor_drains() -> None:
    executor = build_state([PARTITIONABLE | BY_US | {"Name": "slot1@d-0.d.ns"}], NOW)["executors"]["d-0"]
    assert (executor["drainSince"], executor["drainRequest"], executor["slot"]) == (1700, "7", "slot1@d-0.d.ns")
    slow = PARTITIONABLE | BY_US | {"LastHeardFrom": NOW, "MyCurrentTime": NOW - 3600}
    assert build_state([slow], NOW)["executors"]["d-0"]["drainSince"] == 1700 + 3600
    late = PARTITIONABLE | BY_US | {"LastHeardFrom": NOW, "MyCurrentTime": NOW - 2}
    assert build_state([late], NOW)["executors"]["d-0"]["drainSince"] == 1700
    after = build_state([PARTITIONABLE | {"LastDrainStartTime": 1700}], NOW)["executors"]["d-0"]
    assert (after["drainSince"], after["drainRequest"]) == (None, None)


@pytest.mark.parametrize(("said", "broken"), [("", []), ("data", ["data"]), ("data,onedata", ["data", "onedata"])])
def test_broken_mounts_are_told(said: str, broken: list[str]) -> None:
    executor = build_state([PARTITIONABLE | {"CondorPoolBrokenMounts": said}], NOW)["executors"]["d-0"]
    assert executor["brokenMounts"] == broken
    assert build_state([PARTITIONABLE], NOW)["executors"]["d-0"]["brokenMounts"] == []


class TestTag:
    def test_stays_while_only_time_passes(self) -> None:
        assert tag(state(now=NOW + 40)) == tag(state())

    def test_stays_over_a_cycle_of_the_negotiator(self) -> None:
        ads = [dict(ad) for ad in recorded_ads()]
        for ad in ads:
            if ad["MyType"] == "Negotiator":
                ad["LastNegotiationCycleEnd0"] += 5
        assert tag(build_state(ads, NOW)) == tag(state())

    @pytest.mark.parametrize(
        ("kind", "change"),
        [
            ("Machine", {"ChildState": ["Claimed"], "ChildCpus": [1]}),
            ("Scheduler", {"TotalHeldJobs": 7}),
            ("Scheduler", {"DaemonStartTime": 7}),
            ("Submitter", {"IdleJobs": 7}),
        ],
    )
    def test_turns_with_what_is_told(self, kind: str, change: dict[str, Any]) -> None:
        ads = [{**ad, **(change if ad["MyType"] == kind else {})} for ad in recorded_ads()]
        assert tag(build_state(ads, NOW)) != tag(state())

    def test_turns_when_somebody_falls_silent(self) -> None:
        assert tag(state(now=NOW + STALE_SECONDS)) != tag(state())


def samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class TestMetrics:
    def test_say_what_the_state_says(self) -> None:
        found = samples(render(state(), HEALTH))
        assert found['condorpool_slots{group="cpu"}'] == 6
        assert found['condorpool_slots_draining{group="cpu"}'] == 2
        assert found['condorpool_jobs{state="running"}'] == 6
        assert found['condorpool_owner_jobs{owner="mary",state="held"}'] == 2
        assert found['condorpool_daemons{type="Startd"}'] == 2
        assert found["condorpool_negotiation_cycle_end_timestamp_seconds"] > 1e9
        assert found["condorpool_collector_up"] == 1

    def test_without_a_collector_are_those_of_the_agent(self) -> None:
        found = samples(render(None, HEALTH))
        assert found["condorpool_collector_up"] == 0
        assert found["condorpool_agent_query_failures_total"] == 1
        assert not any(name.startswith("condorpool_jobs") for name in found)

    def test_each_is_described_once_before_its_samples(self) -> None:
        text = render(state(), HEALTH)
        described = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(described) == len(set(described))
        for name in samples(text):
            assert name.partition("{")[0] in described

    def test_labels_are_bounded_and_nothing_is_lost(self) -> None:
        many = copy.deepcopy(state())
        many["groups"] = {
            f"g{number:04}": {"executors": 1, "total": 1, "claimed": 0, "draining": 0} for number in range(500)
        }
        many["jobs"]["owners"] = {f"u{number:04}": {"idle": 1, "running": 0, "held": 0} for number in range(500)}
        found = samples(render(many, HEALTH))
        groups = [value for name, value in found.items() if name.startswith("condorpool_slots{")]
        owners = [
            value for name, value in found.items() if name.startswith("condorpool_owner_jobs{") and "idle" in name
        ]
        assert (len(groups), sum(groups)) == (MOST_GROUPS + 1, 500)
        assert (len(owners), sum(owners)) == (MOST_OWNERS + 1, 500)

    def test_what_a_user_named_does_not_break_a_line(self) -> None:
        hostile = {"MyType": "Submitter", "Name": 'a"\\\n} 1', "IdleJobs": 1}
        text = render(build_state([hostile], NOW), HEALTH)
        assert r'condorpool_owner_jobs{owner="a\"\\\n} 1",state="idle"} 1' in text

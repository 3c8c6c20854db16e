"""What each look at an executor tells of its end, and what is told of it to the pool."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from condorpool_operator.ends import (
    GONE,
    KEPT_SECONDS,
    LOST,
    MISSED_SECONDS,
    MOST,
    OUT_OF_SERVICE,
    End,
    Ledger,
    Life,
    Run,
    events_of,
    is_gone,
    life_of,
    merged,
    read,
    text_of,
)

POOL = ("physics", "demo")
NOW = 1_800_000_000


def stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


RUN = Run("u1", NOW - 500, "demo-cpu-0", "n1", "10.0.0.1")


def life(
    running: int | None = RUN.since,
    *ended: tuple[int, int, int],
    ready: bool = True,
    ending: int | None = None,
    address: str = RUN.address,
) -> Life:
    return Life(RUN.uid, RUN.pod, RUN.node, address, running, ready, ended, ending)


def test_a_startd_that_was_born_after_the_last_look_is_lost_with_a_pod_that_was_told_to_end_later(
    ledger: Ledger,
) -> None:
    ledger.listed(POOL, [life()], NOW - 90)
    ledger.deleted(POOL, life(ending=NOW - 5))
    assert [end.last for end in told(ledger)] == [NOW - 5]


def told(ledger: Ledger, before: str = "") -> list[End]:
    return list(read(ledger.due(POOL, before, NOW)))


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.listed(POOL, [life()], NOW - 9)
    return ledger


def test_a_container_that_was_killed_is_gone(ledger: Ledger) -> None:
    ledger.seen(POOL, life(None, (RUN.since, NOW - 5, 137)))
    assert told(ledger) == [End(RUN, NOW - 6, GONE)]


def test_a_container_that_was_started_again_elsewhere_is_gone_where_it_was(ledger: Ledger) -> None:
    ledger.seen(POOL, life(NOW - 5, (RUN.since, NOW - 5, 137), address="10.0.0.9"))
    assert told(ledger) == [End(RUN, NOW - 6, GONE)]


def test_one_that_ended_in_peace_is_worth_no_word(ledger: Ledger) -> None:
    ledger.deleted(POOL, life(None, (RUN.since, NOW - 5, 0)))
    assert told(ledger) == []


def test_a_pod_that_vanishes_is_lost_until_its_node_is_gone(ledger: Ledger) -> None:
    ledger.deleted(POOL, life())
    assert ledger.doubtful() == {"n1"}
    before = ledger.due(POOL, "", NOW)
    assert before == f"lost 10.0.0.1 {NOW - 500} {NOW - 9} demo-cpu-0 u1 n1\n"
    later = Ledger()
    assert later.due(POOL, before, NOW) == before
    assert later.doubtful() == {"n1"}
    assert later.node_gone("n2") == set()
    assert later.node_gone("n1") == {POOL}
    assert told(later, before) == [End(RUN, NOW - 9, GONE)]
    assert later.due(POOL, text_of(told(later, before)), NOW) == text_of([End(RUN, NOW - 9, GONE)])


def test_the_end_of_a_node_takes_its_executors_along(ledger: Ledger) -> None:
    assert ledger.hosts("n1")
    assert not ledger.hosts("n2")
    assert ledger.pools_on({"n1", "n2"}) == {POOL}
    assert ledger.pools_on({"n2"}) == set()
    assert ledger.node_gone("n1") == {POOL}
    assert told(ledger) == [End(RUN, NOW - 9, GONE)]


def test_only_nodes_of_executors_that_are_not_well_are_in_doubt(ledger: Ledger) -> None:
    assert ledger.doubtful() == set()
    ledger.seen(POOL, life(ready=False))
    assert ledger.doubtful() == {"n1"}
    ledger.listed(POOL, [life()], NOW)
    assert ledger.doubtful() == set()
    ledger.seen(POOL, life(ready=False))
    ledger.listed(POOL, [], NOW)
    ledger.listed(POOL, [], NOW + MISSED_SECONDS)
    assert ledger.doubtful() == set()
    assert not ledger.hosts("n1")


def test_a_list_that_overtakes_the_watch_hides_no_end(ledger: Ledger) -> None:
    ledger.listed(POOL, [], NOW - 4)
    ledger.listed(POOL, [], NOW - 4 + MISSED_SECONDS - 1)
    ledger.deleted(POOL, life(None, (RUN.since, NOW - 5, 137), ready=False, ending=RUN.since))
    assert told(ledger) == [End(RUN, NOW - 6, GONE)]


def test_one_that_is_seen_again_is_not_missing(ledger: Ledger) -> None:
    ledger.listed(POOL, [], NOW - 4)
    ledger.seen(POOL, life())
    ledger.listed(POOL, [], NOW + MISSED_SECONDS)
    assert ledger.hosts("n1")


def test_an_executor_that_was_never_ready_has_no_job_to_lose() -> None:
    """Nor does a crash loop cost a write for each of its turns."""
    ledger = Ledger()
    for began in range(NOW - 90, NOW, 10):
        ledger.listed(POOL, [life(began, (began - 10, began - 5, 1), ready=False)], began)
    ledger.deleted(POOL, life(NOW - 10, ready=False))
    assert ledger.node_gone("n1") == set()
    assert told(ledger) == []
    assert ledger.doubtful() == set()


@pytest.mark.parametrize("ready", [True, False])
def test_one_that_was_told_to_end_before_the_operator_looked_may_have_jobs(ready: bool) -> None:
    ledger = Ledger()
    ledger.listed(POOL, [life(ready=ready, ending=RUN.since)], NOW - 9)
    assert ledger.doubtful() == {"n1"}
    ledger.deleted(POOL, life(None, (RUN.since, NOW - 5, 137), ready=False, ending=RUN.since))
    assert told(ledger) == [End(RUN, NOW - 6, GONE)]


def test_a_crash_loop_is_told_to_end_without_a_word() -> None:
    ledger = Ledger()
    ledger.listed(POOL, [life(ready=False)], NOW - 9)
    ledger.seen(POOL, life(ready=False, ending=RUN.since))
    ledger.deleted(POOL, life(None, (RUN.since, NOW - 5, 137), ready=False, ending=RUN.since))
    assert told(ledger) == []


def test_a_pool_that_is_gone_is_forgotten(ledger: Ledger) -> None:
    ledger.deleted(POOL, life())
    ledger.forget(POOL)
    assert told(ledger) == []
    assert ledger.doubtful() == set()


def test_what_was_told_is_told_until_it_is_old(ledger: Ledger) -> None:
    ledger.seen(POOL, life(None, (RUN.since, NOW - 5, 137)))
    before = ledger.due(POOL, "", NOW)
    assert ledger.due(POOL, before, NOW + KEPT_SECONDS - 7) == before
    assert ledger.due(POOL, before, NOW + KEPT_SECONDS) == ""


def test_the_file_is_bounded() -> None:
    ends = [End(Run(f"u{number}", 1, "p", "n", "10.0.0.1"), NOW + number, GONE) for number in range(MOST + 5)]
    kept = merged([], ends, NOW)
    assert len(kept) == MOST
    assert min(end.last for end in kept) == NOW + 5
    assert len(text_of(kept)) < 200_000


def test_other_lines_are_passed_over() -> None:
    assert list(read("gone\nGONE a 1 2 b c d\ngone a x 2 b c d\n")) == []


def test_a_container_of_which_the_kubelet_knows_nothing_proves_nothing() -> None:
    unknown = {
        "terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}
    }
    pod = {
        "metadata": {"uid": "u1", "name": "p"},
        "status": {"containerStatuses": [{"name": "condor", "state": unknown}]},
    }
    assert life_of(pod).ended == ()
    assert life_of({"metadata": {"uid": "u1", "name": "p"}}).run() is None


def test_the_end_of_an_injected_container_is_none_of_the_executors() -> None:
    sidecar = {"terminated": {"exitCode": 1, "startedAt": stamp(NOW - 9), "finishedAt": stamp(NOW)}}
    running = {"running": {"startedAt": stamp(RUN.since)}}
    statuses = [{"name": "aaa", "state": sidecar}, {"name": "condor", "state": running}]
    life = life_of({"metadata": {"uid": "u1", "name": "p"}, "status": {"containerStatuses": statuses}})
    assert (life.running, life.ended) == (RUN.since, ())


@pytest.mark.parametrize(
    ("node", "gone"),
    [
        (None, True),
        ({"spec": {}}, False),
        ({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}}, False),
        ({"spec": {"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]}}, True),
    ],
)
def test_a_node_is_gone_by_its_object_or_by_the_word_of_its_administrator(
    node: dict[str, Any] | None, gone: bool
) -> None:
    assert is_gone(node) is gone


def test_an_event_is_due_until_it_was_recorded(ledger: Ledger) -> None:
    """Of what a former process left, a loss is due again: it may not have come to its event."""
    gone, lost = End(replace(RUN, uid="u2"), NOW - 9, GONE), End(RUN, NOW - 9, LOST)
    ledger.deleted(POOL, life())
    written = ledger.due(POOL, "", NOW)
    for _ in range(2):
        ledger.due(POOL, written, NOW)
        assert [reason for _, reason, _ in events_of(ledger.announced(POOL), written)] == ["ExecutorLost"]
    ledger.announce(POOL, written)
    ledger.due(POOL, written, NOW)
    assert list(events_of(ledger.announced(POOL), written)) == []
    later = Ledger()
    both = later.due(POOL, text_of([gone, lost]), NOW)
    assert [reason for _, reason, _ in events_of(later.announced(POOL), both)] == ["ExecutorLost"]


def test_each_executor_is_told_once() -> None:
    ends = [End(Run(f"u{number}", 1, f"p-{number}", "n", "10.0.0.1"), NOW, GONE) for number in range(5)]
    lost = End(RUN, NOW, LOST)
    before = text_of(ends[:1])
    events = list(events_of(before, text_of([*ends, lost])))
    assert [(kind, str(reason)) for kind, reason, _ in events] == [
        ("Warning", "ExecutorGone"),
        ("Warning", "ExecutorLost"),
    ]
    assert events[0][2].startswith("p-1, p-2, p-3 and 1 more: gone for good")
    assert events[1][2].startswith("demo-cpu-0: the pod vanished")
    assert list(events_of(before, before)) == []

"""Outdated executors go a few at a time, broken ones at once, and current ones never."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condorpool_operator.api.v1alpha1 import ExecutorGroup
from condorpool_operator.labels import TEMPLATE_HASH
from condorpool_operator.replace import is_stuck, max_unavailable, pods_to_replace

STATEFUL_SET = {"spec": {"template": {"metadata": {"annotations": {TEMPLATE_HASH: "new"}}}}}


def pod(ordinal: int, *, outdated: bool = False, ready: bool = True, terminating: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": f"demo-cpu-{ordinal}",
        "annotations": {TEMPLATE_HASH: "old" if outdated else "new"},
    }
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def group(replicas: int, unavailable: int | str = 1) -> ExecutorGroup:
    return ExecutorGroup(name="cpu", replicas=replicas, max_unavailable=unavailable)


def replaced(group_: ExecutorGroup, *pods: dict[str, Any]) -> list[str]:
    return [
        one["metadata"]["name"].removeprefix("demo-cpu-") for one in pods_to_replace(group_, STATEFUL_SET, list(pods))
    ]


@pytest.mark.parametrize(
    ("replicas", "value", "expected"),
    [(4, "25%", 1), (10, "25%", 2), (1, "25%", 1), (3, 2, 2), (3, "100%", 3), (0, "25%", 1)],
)
def test_max_unavailable(replicas: int, value: int | str, expected: int) -> None:
    assert max_unavailable(group(replicas, value)) == expected


def test_current_pods_stay() -> None:
    assert replaced(group(2), pod(0), pod(1, ready=False)) == []


def test_the_tail_goes_first() -> None:
    assert replaced(group(11), *(pod(n, outdated=True) for n in range(11))) == ["10"]


def test_nothing_goes_while_another_is_away() -> None:
    assert replaced(group(3), pod(0, outdated=True), pod(1, outdated=True), pod(2, terminating=True)) == []
    assert replaced(group(3), pod(0, outdated=True), pod(1, outdated=True)) == []
    assert replaced(group(3), pod(0, outdated=True), pod(1, outdated=True), pod(2, ready=False)) == []


def test_a_broken_outdated_pod_goes_whatever_the_budget() -> None:
    assert replaced(group(3), pod(0, outdated=True), pod(1, outdated=True, ready=False), pod(2, ready=False)) == ["1"]


@pytest.mark.parametrize(
    ("revision", "ready", "terminating", "seen", "stuck"),
    [
        ("old", False, False, 2, True),
        ("new", False, False, 2, False),
        ("old", True, False, 2, False),
        ("old", False, True, 2, False),
        ("old", False, False, 1, False),
    ],
)
def test_only_an_outdated_submitter_that_cannot_start_is_taken_out(
    revision: str, ready: bool, terminating: bool, seen: int, stuck: bool
) -> None:
    one = pod(0, ready=ready, terminating=terminating)
    one["metadata"]["labels"] = {"controller-revision-hash": revision}
    stateful_set = {"metadata": {"generation": 2}, "status": {"observedGeneration": seen, "updateRevision": "new"}}
    assert is_stuck(one, stateful_set) is stuck


PODS = st.builds(pod, st.just(0), outdated=st.booleans(), ready=st.booleans(), terminating=st.booleans())


@given(st.lists(PODS, max_size=8), st.integers(1, 4))
def test_replacement_never_takes_more_ready_executors_than_allowed(
    pods: list[dict[str, Any]], unavailable: int
) -> None:
    for ordinal, one in enumerate(pods):
        one["metadata"]["name"] = f"demo-cpu-{ordinal}"
    serving = [
        one
        for one in pods
        if "deletionTimestamp" not in one["metadata"] and one["status"]["conditions"][0]["status"] == "True"
    ]
    gone = pods_to_replace(group(len(pods), unavailable), STATEFUL_SET, pods)
    assert not [one for one in gone if "deletionTimestamp" in one["metadata"]]
    assert all(one["metadata"]["annotations"][TEMPLATE_HASH] == "old" for one in gone)
    taken = [one for one in gone if one in serving]
    away_before = len(pods) - len(serving)
    assert not taken or away_before + len(taken) <= unavailable

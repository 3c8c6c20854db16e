"""A submitter that cannot start is taken out of the way of its successor."""

from typing import Any

import pytest

from condorpool_operator.replace import is_stuck


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
    metadata: dict[str, Any] = {"name": "demo-submitter-0", "labels": {"controller-revision-hash": revision}}
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    one = {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}
    stateful_set = {"metadata": {"generation": 2}, "status": {"observedGeneration": seen, "updateRevision": "new"}}
    assert is_stuck(one, stateful_set) is stuck

"""Plans are carried out: orders are given a few at a time, and a submitter that cannot start is taken out of its successor's way."""

from typing import Any, cast

import pytest

from condorpool_operator.agentclient import AgentClient, AgentError, Target
from condorpool_operator.drains import Drain, Plan
from condorpool_operator.replace import MOST_ORDERS, is_stuck, order


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


class Agent:
    """Notes its orders, and takes none that is about one executor."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def drain(self, target: Target, pod: str, reason: str, *, quick: bool = False) -> str:
        self.told.append((pod, f"{reason}, quick" if quick else reason))
        if pod == "bad":
            raise AgentError("status 503")
        return "ours"

    async def undrain(self, target: Target, pod: str) -> None:
        self.told.append((pod, "back"))


async def test_orders_are_given_a_few_at_a_time_and_one_that_fails_keeps_no_other_back() -> None:
    agent, target = Agent(), Target("h", b"f", "t")
    plans = [Plan(3, drain=(Drain("bad", "x"), Drain("a", "x", quick=True))), Plan(3, undrain=("b",))]
    await order(cast("AgentClient", agent), target, plans)
    assert agent.told == [("b", "back"), ("bad", "x"), ("a", "x, quick")]
    agent.told.clear()
    await order(cast("AgentClient", agent), target, [Plan(99, drain=tuple(Drain(f"{n}", "x") for n in range(99)))])
    assert len(agent.told) == MOST_ORDERS

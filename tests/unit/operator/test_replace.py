"""Plans are carried out: orders are given a few at a time, and a submitter that cannot start is taken out of its successor's way."""

from typing import Any, cast

import pytest

from condorpool_operator.agentclient import AgentClient, AgentError, Target
from condorpool_operator.drains import Drain, Plan
from condorpool_operator.kinds import Kind
from condorpool_operator.kube import Kube
from condorpool_operator.labels import TEMPLATE_HASH
from condorpool_operator.observe import Children
from condorpool_operator.replace import MOST_ORDERS, Orders, is_stuck, replace_pods

from .factories import make_context


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
        self.words = "status 503: no identity"

    async def drain(self, target: Target, pod: str, reason: str, *, quick: bool = False) -> None:
        self.told.append((pod, f"{reason}, quick" if quick else reason))
        if pod == "bad" and self.words:
            raise AgentError(self.words)

    async def undrain(self, target: Target, pod: str) -> None:
        self.told.append((pod, "back"))


class Cluster:
    """Notes what is deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self.deleted.append(name)


async def test_an_executor_that_a_fresh_answer_shows_to_be_current_stays() -> None:
    """The plan was made of a list from before the change, in which the StatefulSet had the former template."""

    def made_of(template: str, **metadata: Any) -> dict[str, Any]:
        return {"metadata": {"uid": "u", "annotations": {TEMPLATE_HASH: template}, **metadata}}

    context, cluster = make_context({"executors": [{"name": "cpu"}]}), Cluster()
    applied = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": context.names.group("cpu")},
        "spec": {"template": made_of("new")},
    }
    plan = Plan(2, delete=(made_of("new", name="demo-cpu-0"), made_of("old", name="demo-cpu-1")))
    await replace_pods(cast("Kube", cluster), context.pool, context.names, Children([applied]), {"cpu": plan})
    assert cluster.deleted == ["demo-cpu-1"]


async def test_orders_are_given_a_few_at_a_time_and_one_that_fails_keeps_no_other_back() -> None:
    agent, target = Agent(), Target("h", b"f", "t")
    orders = Orders(cast("AgentClient", agent))
    plans = [Plan(3, drain=(Drain("bad", "x"), Drain("a", "x", quick=True))), Plan(3, undrain=("b",))]
    await orders.give(("n", "p"), target, plans)
    assert agent.told == [("b", "back"), ("bad", "x"), ("a", "x, quick")]
    agent.told.clear()
    await orders.give(("n", "p"), target, [Plan(99, drain=tuple(Drain(f"{n}", "x") for n in range(99)))])
    assert len(agent.told) == MOST_ORDERS


async def test_what_an_agent_refuses_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    agent, target = Agent(), Target("h", b"f", "t")
    orders = Orders(cast("AgentClient", agent))
    said: list[int] = []
    for words in ("a", "a", "b", "", "b"):
        agent.words = words
        await orders.give(("n", "p"), target, [Plan(1, drain=(Drain("bad", "x"),))])
        said.append(len(caplog.messages))
    assert said == [1, 1, 2, 2, 3]
    assert caplog.messages[0] == "n/p: bad is not drained, or not called back: a"

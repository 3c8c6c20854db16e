"""Agents are asked often enough and no more; what they say is told when it is news."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest

from condorpool_operator import poolstate
from condorpool_operator.agentclient import AgentClient, AgentError, Answer, Target
from condorpool_operator.poolstate import (
    HURRY_SECONDS,
    LEASE_SECONDS,
    LEAST_SECONDS,
    LONGEST_SECONDS,
    SILENCE_SECONDS,
    Poller,
)
from condorpool_operator.seen import Executor, Jobs, Sight, Slots, State

KEY = ("physics", "demo")
TARGET = Target("demo-manager", b"f", "t")
ALL = frozenset({"demo-manager", "demo-submitter-0", "demo-cpu-0"})
ONE = State({"cpu": Slots(4, 0, 0)}, Jobs(0, 0, 0), ALL)
BUSY = State({"cpu": Slots(4, 1, 0)}, Jobs(0, 1, 0), ALL)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


class Agents:
    """A poller on a clock that the test winds, with agents that say what the test says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.says: State | None = ONE
        self.asked: list[float] = []
        self.told: list[float] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.poller = Poller(cast("AgentClient", self), lambda _: self.told.append(self.now), lambda: self.now)

    async def ask(self, _: Target, tag: str) -> Answer:
        self.asked.append(self.now)
        if self.says is None:
            raise AgentError("nobody")
        self.meanwhile()
        new = str(self.says)
        return (None if new == tag else self.says), new

    def sight(
        self,
        expected: frozenset[str] = ALL,
        target: Target | None = TARGET,
        running: frozenset[str] = frozenset(),
    ) -> Sight:
        return self.poller.sight(KEY, target, expected, running)

    async def run(self, seconds: float) -> None:
        """Do what the queue does, for so long: ask, wait as long as told, ask again."""
        end = self.now + seconds
        while (delay := await self.poller._ask(KEY)) is not None and self.now + delay <= end:
            self.now += delay
        self.now = end


@pytest.fixture
def agents() -> Agents:
    return Agents()


async def test_what_an_agent_says_is_known_and_told_once(agents: Agents) -> None:
    assert agents.sight() == Sight(None, silent=False, look_again=SILENCE_SECONDS)
    await agents.run(300)
    assert agents.sight().state == ONE
    assert agents.told == [1000.0]


async def test_questions_grow_rare_while_nothing_changes(agents: Agents) -> None:
    agents.sight()
    await agents.run(600)
    assert gaps(agents.asked)[-1] == LONGEST_SECONDS
    assert gaps(agents.asked) == sorted(gaps(agents.asked))
    agents.says = BUSY
    await agents.run(200)
    assert len(agents.told) == 2
    assert agents.sight().state == BUSY


async def test_nobody_is_asked_more_often_than_every_quarter_of_a_minute(agents: Agents) -> None:
    agents.sight()
    for step in range(20):
        agents.says = (ONE, BUSY)[step % 2]
        agents.sight(target=None)
        agents.sight()
        await agents.run(3)
    assert min(gaps(agents.asked)) >= LEAST_SECONDS
    assert len(agents.told) <= len(agents.asked)


async def test_the_queues_jitter_leaves_the_least_time(agents: Agents) -> None:
    """The queue comes up to a tenth early."""
    assert poolstate.ASK_SECONDS * 0.9 >= LEAST_SECONDS
    agents.sight()
    await agents.poller._ask(KEY)
    agents.now += 1
    early = await agents.poller._ask(KEY)
    assert early is not None
    assert early * 0.9 >= LEAST_SECONDS - 1
    assert len(agents.asked) == 1


FREE = Executor(claimed=0, drain=None, drained=False, drain_since=None)
DRAINING = Executor(claimed=1, drain="ours", drained=False, drain_since=2000)
DRAINED = replace(DRAINING, claimed=0, drained=True)


class TestHurry:
    async def test_makes_questions_frequent_for_a_while(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(300)
        agents.asked.clear()
        agents.poller.hurry(KEY)
        await agents.run(LEASE_SECONDS)
        assert set(gaps(agents.asked)) == {HURRY_SECONDS}
        agents.poller.hurry(KEY)
        await agents.run(LEASE_SECONDS)
        assert set(gaps(agents.asked)) == {HURRY_SECONDS}
        agents.asked.clear()
        await agents.run(100)
        assert min(gaps(agents.asked)) >= LEAST_SECONDS

    async def test_is_asked_of_the_queue_once(self, agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
        added: list[object] = []
        agents.sight()
        monkeypatch.setattr(agents.poller._queue, "add", added.append)
        for _ in range(3):
            agents.poller.hurry(KEY)
        assert added == [KEY]

    async def test_of_a_pool_that_nobody_follows_is_nothing(self, agents: Agents) -> None:
        agents.poller.hurry(KEY)
        assert await agents.poller._ask(KEY) is None

    async def test_tells_of_drains_at_once(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(300)
        agents.poller.hurry(KEY)
        for one in (DRAINING, DRAINED, FREE, replace(FREE, host="10.0.0.8")):
            agents.told.clear()
            agents.says = replace(ONE, executors={"demo-cpu-0": one})
            began = agents.now
            await agents.run(HURRY_SECONDS)
            assert len(agents.told) == 1
            assert agents.told[0] - began <= HURRY_SECONDS
            state = agents.sight().state
            assert state is not None
            assert state.executors == {"demo-cpu-0": one}

    async def test_tells_nobody_of_jobs_that_come_and_go(self, agents: Agents) -> None:
        agents.says = replace(ONE, executors={"demo-cpu-0": FREE})
        agents.sight()
        await agents.run(300)
        agents.poller.hurry(KEY)
        agents.told.clear()
        agents.says = replace(ONE, executors={"demo-cpu-0": replace(FREE, claimed=1)})
        await agents.run(10)
        assert agents.told == []
        assert agents.sight().state == agents.says

    async def test_gives_status_no_more_figures_than_before(self, agents: Agents) -> None:
        agents.sight()
        agents.poller.hurry(KEY)
        figures: list[tuple[float, Jobs]] = []
        for step in range(50):
            busy = BUSY if step % 2 else ONE
            agents.says = replace(busy, executors={"demo-cpu-0": replace(DRAINING, drain_since=step)})
            await agents.run(1)
            state = agents.sight().state
            assert state is not None
            if not figures or figures[-1][1] != state.jobs:
                figures.append((agents.now, state.jobs))
        assert len(figures) > 2
        assert min(gaps([moment for moment, _ in figures])) >= LEAST_SECONDS
        assert len(agents.told) > len(figures)

    async def test_loses_no_figures_when_it_is_over(self, agents: Agents) -> None:
        agents.sight()
        agents.poller.hurry(KEY)
        await agents.run(LEASE_SECONDS - 7)
        agents.says = BUSY
        await agents.run(HURRY_SECONDS)
        last = replace(BUSY, jobs=Jobs(5, 5, 5))
        agents.says = last
        await agents.run(HURRY_SECONDS)
        held_back = agents.sight().state
        assert held_back is not None
        assert held_back.jobs == BUSY.jobs
        await agents.run(2 * LEAST_SECONDS)
        assert agents.sight().state == last


class TestSilence:
    async def test_of_a_restart_is_no_news(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(100)
        agents.says = None
        await agents.run(50)
        sight = agents.sight()
        assert (sight.state, sight.silent, sight.failing) == (ONE, False, True)
        agents.says = ONE
        await agents.run(30)
        assert (agents.sight().look_again, agents.sight().failing) == (math.inf, False)
        assert agents.sight(target=None).failing

    async def test_of_a_minute_is_told(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(100)
        agents.says = None
        count = len(agents.told)
        await agents.run(70)
        assert len(agents.told) == count + 1, "so that somebody looks when the minute is over"
        began = agents.told[-1]
        agents.now = began + 1
        assert agents.sight().look_again == pytest.approx(SILENCE_SECONDS - 1)
        agents.now = began + SILENCE_SECONDS
        assert agents.sight() == Sight(None, silent=True)

    async def test_ends_with_an_answer_although_it_is_the_former_one(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(100)
        agents.says = None
        await agents.run(200)
        assert agents.sight().silent
        agents.says = ONE
        await agents.run(60)
        assert agents.sight().state == ONE

    async def test_that_is_over_while_it_is_told_loses_nothing(self, agents: Agents) -> None:
        """An unchanged answer to a question from before is worth what was known then."""
        agents.sight()
        await agents.run(100)
        agents.says = None
        await agents.run(20)
        agents.says = ONE

        def silent_meanwhile() -> None:
            agents.now += SILENCE_SECONDS
            assert agents.sight().silent

        agents.meanwhile = silent_meanwhile
        agents.now += LEAST_SECONDS
        count = len(agents.asked)
        await agents.run(0)
        assert len(agents.asked) == count + 1
        assert agents.sight().state == ONE

    async def test_is_that_of_an_agent_that_is_not_ready_too_and_costs_no_question(self, agents: Agents) -> None:
        assert not agents.sight(target=None).silent
        assert await agents.poller._ask(KEY) is None
        agents.now += SILENCE_SECONDS
        assert agents.sight(target=None).silent
        assert agents.asked == []

    async def test_of_a_ready_agent_that_ends_begins_with_its_end(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(100)
        assert agents.sight(target=None).state == ONE
        agents.now += SILENCE_SECONDS
        assert agents.sight(target=None) == Sight(None, silent=True)

    async def test_of_a_pool_that_is_gone_is_forgotten(self, agents: Agents) -> None:
        agents.sight()
        await agents.run(20)
        agents.poller.forget(KEY)
        assert await agents.poller._ask(KEY) is None
        assert agents.sight().state is None


class TestAbsence:
    async def test_is_doubted_first_and_told_after_a_minute(self, agents: Agents) -> None:
        agents.says = State(ONE.slots, ONE.jobs, ALL - {"demo-cpu-0"})
        agents.sight(frozenset())
        await agents.run(300)
        first = agents.sight()
        assert (first.absent, first.doubted) == (frozenset(), frozenset({"demo-cpu-0"}))
        assert first.look_again < SILENCE_SECONDS
        await agents.run(40)
        assert agents.sight().doubted == {"demo-cpu-0"}
        await agents.run(30)
        assert agents.sight().absent == {"demo-cpu-0"}

    async def test_is_never_told_by_an_answer_from_before(self, agents: Agents) -> None:
        agents.says = State(ONE.slots, ONE.jobs, ALL - {"demo-cpu-0"})
        agents.sight(frozenset())
        await agents.run(20)
        agents.sight()
        agents.now += SILENCE_SECONDS
        assert agents.sight().doubted == {"demo-cpu-0"}

    async def test_that_ends_is_forgotten(self, agents: Agents) -> None:
        agents.says = State(ONE.slots, ONE.jobs, ALL - {"demo-cpu-0"})
        agents.sight(frozenset())
        await agents.run(20)
        agents.sight()
        agents.says = ONE
        await agents.run(60)
        sight = agents.sight()
        assert (sight.absent, sight.doubted, sight.look_again) == (frozenset(), frozenset(), math.inf)

    async def test_of_an_executor_that_is_not_ready_is_for_drains_alone(self, agents: Agents) -> None:
        ready = ALL - {"demo-cpu-0"}
        agents.says = State(ONE.slots, ONE.jobs, ready)
        agents.sight(frozenset())
        await agents.run(300)
        first = agents.sight(ready, running=frozenset({"demo-cpu-0"}))
        assert (first.absent, first.doubted, first.unheard) == (frozenset(), frozenset(), frozenset())
        assert first.look_again < SILENCE_SECONDS
        await agents.run(70)
        found = agents.sight(ready, running=frozenset({"demo-cpu-0"}))
        assert (found.absent, found.doubted, found.unheard) == (frozenset(), frozenset(), frozenset({"demo-cpu-0"}))
        assert found.look_again == math.inf

    async def test_begins_anew_for_drains_when_the_agent_comes_back(self, agents: Agents) -> None:
        """Nobody has been back long enough to be heard."""
        agents.says = State(ONE.slots, ONE.jobs, ALL - {"demo-cpu-0"})
        agents.sight(frozenset())
        await agents.run(20)
        running = frozenset({"demo-cpu-0"})
        agents.sight(running=running)
        missing, agents.says = agents.says, None
        await agents.run(50)
        agents.says = missing
        await agents.run(40)
        found = agents.sight(running=running)
        assert (found.absent, found.unheard) == (running, frozenset())
        assert found.look_again < SILENCE_SECONDS
        await agents.run(70)
        assert agents.sight(running=running).unheard == running

    async def test_makes_questions_frequent(self, agents: Agents) -> None:
        agents.says = State(ONE.slots, ONE.jobs, ALL - {"demo-cpu-0"})
        agents.sight()
        await agents.run(20)
        agents.sight()
        agents.asked.clear()
        await agents.run(100)
        assert len(agents.asked) >= 5

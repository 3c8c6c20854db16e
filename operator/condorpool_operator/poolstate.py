"""What the pools' agents tell: asked by a small poller, so that no reconcile ever waits for a pool.

Only what status shows of an answer is remembered, and the drains of executors. Nothing here survives a restart, and nothing has to: until
an agent has answered, or has been silent for a while, status goes on saying what it said.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from time import monotonic

from .agentclient import MOST_CONNECTIONS, AgentClient, AgentError, Target
from .pool import PoolKey
from .seen import Sight, State
from .workqueue import WorkQueue

logger = logging.getLogger(__name__)

LEAST_SECONDS = 15.0
"""Between two questions to one agent that nobody hurries, whatever happens; status has new figures no more often."""
ASK_SECONDS = 17.0
"""Between two questions while answers change."""
HURRY_SECONDS = 3.0
"""Between two questions while somebody hurries."""
LEASE_SECONDS = 60.0
"""For which a call of `hurry` holds."""
_EARLIEST = 0.9
"""Of the time that it is told, the queue may let so much pass only."""
LONGEST_SECONDS = 60.0
"""Between two questions while answers do not change."""
SILENCE_SECONDS = 60.0
"""For which an agent may be silent, and a daemon absent from the collector, before status says so: restarts take less."""
WORKERS = MOST_CONNECTIONS
"""Agents asked at the same time."""


@dataclass
class _Watch:
    """What is known of one agent; times are of the monotonic clock."""

    failing: float | None
    """Since when it does not answer."""
    target: Target | None = None
    asked: float = -math.inf
    told: float = -math.inf
    back: float = -math.inf
    """Since when it has answered without fail."""
    delay: float = ASK_SECONDS
    tag: str = ""
    answer: State | None = None
    """What the agent said last."""
    state: State | None = None
    """The same with figures that may be somewhat older."""
    counted: float = -math.inf
    """When the figures last changed."""
    hurried: float = -math.inf
    """Until when somebody is in a hurry."""
    absent: dict[str, float] = field(default_factory=dict)
    """Who is missed in the answers, and since when."""

    def confirms(self, since: float, now: float) -> bool:
        """Return whether somebody who is missed has been so since then for a while, also in an answer well after that."""
        return now - since >= SILENCE_SECONDS and self.told - since >= SILENCE_SECONDS / 2

    def show(self, answer: State, known: State | None, now: float) -> bool:
        """Take an answer over, but no new figures so soon after others; return whether that is news."""
        shown = answer
        if known is None or (answer.slots, answer.jobs) != (known.slots, known.jobs):
            if known is not None and now - self.counted < LEAST_SECONDS:
                shown = replace(answer, slots=known.slots, jobs=known.jobs)
            else:
                self.counted = now
        self.answer, self.state = answer, shown
        return known is None or _told(shown) != _told(known)


def _told(state: State) -> tuple[object, ...]:
    """Return what somebody has to look at when it changes: all but the jobs that come and go on single executors."""
    drains = {pod: replace(one, claimed=0) for pod, one in state.executors.items()}
    return state.slots, state.jobs, state.present, state.broken, drains


class Poller:
    """Asks the agents of the pools that are followed, and calls `changed` when status may have something new to show."""

    def __init__(
        self, client: AgentClient, changed: Callable[[PoolKey], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._client = client
        self._changed = changed
        self._clock = clock
        self._watches: dict[PoolKey, _Watch] = {}
        self._queue: WorkQueue[PoolKey] = WorkQueue(LONGEST_SECONDS)

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._queue.work(self._ask))

    def forget(self, key: PoolKey) -> None:
        """Ask a pool's agent no more, and know nothing of it."""
        self._watches.pop(key, None)

    def hurry(self, key: PoolKey) -> None:
        """Ask a pool's agent every HURRY_SECONDS for the next LEASE_SECONDS: somebody waits for a drain, and calls again while he does."""
        watch = self._watches.get(key)
        if watch is None:
            return
        now = self._clock()
        if watch.hurried <= now:
            self._queue.add(key)
        watch.hurried = now + LEASE_SECONDS

    def sight(self, key: PoolKey, target: Target | None, expected: Set[str], running: Set[str] = frozenset()) -> Sight:
        """Follow a pool, and return what its agent told.

        `target` is None while the agent's container is not ready: then it is not asked, and counts as silent. `expected` are the pods
        whose daemons ought to be in the collector, `running` the executors that run, whether it ought to know them or not: one that has
        just come back knows nobody, and no executor is ready then, while jobs run.
        """
        now = self._clock()
        watch = self._watches.setdefault(key, _Watch(failing=now))
        if target != watch.target:
            watch.target = target
            if target is not None:
                self._queue.add(key)
            elif watch.failing is None:
                watch.failing = now
        silence = math.inf if watch.failing is None else watch.failing + SILENCE_SECONDS - now
        if silence <= 0:
            watch.answer, watch.state, watch.tag, watch.absent = None, None, "", {}
        if watch.state is None:
            return Sight(None, silent=silence <= 0, look_again=silence if silence > 0 else math.inf)
        missed = (expected | running) - watch.state.present
        if missed - watch.absent.keys():
            self._queue.add(key)
        watch.absent = {name: watch.absent.get(name, now) for name in missed}
        confirmed = {name for name, since in watch.absent.items() if watch.confirms(since, now)}
        unheard = {name for name in confirmed & running if watch.confirms(max(watch.absent[name], watch.back), now)}
        again = ASK_SECONDS if missed - confirmed or confirmed & running - unheard else math.inf
        return Sight(
            watch.state,
            silent=False,
            failing=target is None or watch.failing is not None,
            absent=frozenset(confirmed & expected),
            doubted=frozenset((missed - confirmed) & expected),
            unheard=frozenset(unheard),
            look_again=min(again, silence),
        )

    async def _ask(self, key: PoolKey) -> float | None:
        """Ask one agent; return seconds until the next question, None where it is not followed."""
        watch = self._watches.get(key)
        if watch is None or watch.target is None:
            return None
        now = self._clock()
        hurried = watch.hurried > now
        if (early := watch.asked + (_EARLIEST * HURRY_SECONDS if hurried else LEAST_SECONDS) - now) > 0:
            return early / _EARLIEST
        watch.asked, known, former = now, watch.state, watch.answer
        try:
            state, watch.tag = await self._client.ask(watch.target, watch.tag)
        except AgentError as error:
            logger.debug("%s/%s: the agent did not answer: %s", *key, error)
            if watch.failing is None:
                watch.failing = now
                self._changed(key)
            return ASK_SECONDS
        answer = state or former
        news = watch.failing is not None
        if answer is not None:
            news = watch.show(answer, known, now) or news
        if watch.failing is not None:
            watch.back = now
        watch.told, watch.failing = now, None
        watch.delay = ASK_SECONDS if news or watch.absent or hurried else min(2 * watch.delay, LONGEST_SECONDS)
        if news:
            self._changed(key)
        return HURRY_SECONDS if hurried else watch.delay

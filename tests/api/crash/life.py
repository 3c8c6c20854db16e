"""Lives of the operator: its own objects, wired by its own start, behind a boundary; without kopf, and without a process of their own."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any
from unittest import mock

import kopf

from condorpool_operator import accounts, apply, poolstate, reconcile, workqueue
from condorpool_operator.agentclient import AgentClient, AgentError, Answer, ConfigFinding, Target
from condorpool_operator.handlers import events, startup
from condorpool_operator.kube import Kube
from condorpool_operator.pool import PoolKey
from condorpool_operator.reconcile import Reconciler
from condorpool_operator.settings import Settings
from condorpool_operator.workqueue import RetryError, WorkQueue

from .faults import Boundary
from .world import POOL, Obj, World

DNS_SERVER = "192.0.2.53"
SOON_SECONDS = 4.0
"""A look that is due later than this is a belt: who needs it to come right is not safe."""
REST_SECONDS = 30.0
RETRY_SECONDS = 0.5
"""A look that is due later was not asked for because something failed."""
PATIENCE = 2
"""Looks in a row that change nothing, where the operator goes on looking because something waits for a person; one may be early."""

_START: Any = startup.start
_POOL_CHANGED: Any = events.pool_changed
"""What kopf calls, with the few of its arguments that are looked at."""

_boundary: ContextVar[Boundary] = ContextVar("boundary")
_world: ContextVar[World] = ContextVar("world")


class KilledError(Exception):
    """This life has ended."""


class Agent(AgentClient):
    """The pool's agent: finds every configuration good, and drains; what it was told is known to the world, whoever asks."""

    def __init__(self) -> None:
        super().__init__()
        self._world, self._boundary = _world.get(), _boundary.get()

    async def ask(self, target: Target, tag: str) -> Answer:
        """Tell of the executors."""
        return await self._world.told_by_agent(), ""

    async def check(self, target: Target, role: str, files: Mapping[str, str]) -> list[ConfigFinding]:
        """Find nothing wrong."""
        return []

    async def drain(self, target: Target, pod: str, reason: str, *, quick: bool = False) -> None:
        """Drain an executor."""
        await self._order(f"drain/{pod}", partial(self._world.drain, pod, reason))

    async def undrain(self, target: Target, pod: str) -> None:
        """Call an executor back."""
        await self._order(f"undrain/{pod}", partial(self._world.undrain, pod))

    async def _order(self, what: str, effect: Callable[[], None]) -> None:
        try:
            await self._boundary.order(what, effect)
        except TimeoutError:
            raise AgentError("no answer") from None


class Witness(Reconciler):
    """The reconciler, seen from outside: how each look ended."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.news = asyncio.Event()
        self.bugs: list[str] = []

    async def __call__(self, key: PoolKey) -> float | None:
        """Look."""
        try:
            return await super().__call__(key)
        except RetryError:
            raise
        except Exception as error:
            self.bugs.append(repr(error))
            raise
        finally:
            self.news.set()

    def hurries(self, key: PoolKey) -> bool:
        """Return whether orders to the agent are under way, so that the poller asks it soon."""
        watch = self._poller._watches.get(key)
        return watch is not None and watch.hurried > self._poller._clock()

    async def ask_agent(self, key: PoolKey) -> None:
        """Ask the pool's agent now; news asks for a look."""
        await self._poller._ask(key)


@contextlib.contextmanager
def faster_time() -> Iterator[None]:
    """Shorten what the operator waits for, let it find the boundary in the place of its client, and keep its log out of the way."""
    changes: list[tuple[Any, str, Any]] = [
        (workqueue, "FIRST_RETRY_SECONDS", 0.02),
        (workqueue, "LAST_RETRY_SECONDS", 0.3),
        (reconcile, "REFUSED_RETRY_SECONDS", 0.3),
        (reconcile, "UNCHECKED_RETRY_SECONDS", 0.2),
        (reconcile, "DOUBT_SECONDS", 0.3),
        (reconcile, "ORDER_SECONDS", 0.2),
        (apply, "OVERLAP_SECONDS", 2.0),
        (poolstate, "SILENCE_SECONDS", math.inf),
        (poolstate, "LEAST_SECONDS", 0.0),
        (poolstate, "HURRY_SECONDS", 0.0),
        (poolstate, "WORKERS", 0),
        (reconcile, "PasswordHasher", partial(accounts.PasswordHasher, 4)),
        (startup, "Reconciler", Witness),
        (startup, "AgentClient", Agent),
        (Kube, "connect", _connect),
    ]
    logger = logging.getLogger("condorpool_operator")
    with contextlib.ExitStack() as stack:
        for target, name, value in changes:
            stack.enter_context(mock.patch.object(target, name, value))
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)
        yield


async def _connect(seconds: float) -> Kube:
    return Kube(_boundary.get(), seconds)


class Life:
    """One life of the operator, for the one pool of one namespace."""

    def __init__(self, boundary: Boundary, world: World) -> None:
        self.boundary = boundary
        self._key = (world.namespace, POOL)
        self._world = world
        settings = Settings(namespaces=(world.namespace,), dns_servers=(DNS_SERVER,), workers=1)
        self._memo = kopf.Memo(settings=settings)

    async def start(self, listed: Obj | None, *, remains: bool) -> None:
        """Begin: the watches are there, then kopf's listing shows the pool, or what is left of it is found."""
        _boundary.set(self.boundary)
        _world.set(self._world)
        await _START(settings=kopf.OperatorSettings(), memo=self._memo)
        self.boundary.died = self._reconciler.news.set
        async with asyncio.timeout(REST_SECONDS):
            await self.boundary.watched(WATCHES)
        if listed is not None:
            await self.tell(None, listed)
        elif remains:
            self.look()

    async def tell(self, kind: str | None, obj: Obj) -> None:
        """Tell of the pool as kopf does: listed (None), ADDED, MODIFIED or DELETED."""
        await _POOL_CHANGED(event={"type": kind, "object": obj}, memo=self._memo)

    def look(self) -> None:
        """Ask for a look as a watch does that saw one of the pool's objects change."""
        self._queue.add(self._key)

    async def ask_agent(self) -> bool:
        """Ask the pool's agent, as the poller does now and then; return whether that gave the operator something to do."""
        await self._reconciler.ask_agent(self._key)
        return self._due() is None

    @property
    def _queue(self) -> WorkQueue[PoolKey]:
        queue: WorkQueue[PoolKey] = self._memo.queue
        return queue

    @property
    def _reconciler(self) -> Witness:
        reconciler: Witness = self._memo.reconciler
        return reconciler

    @property
    def bugs(self) -> list[str]:
        """Exceptions that no code expects."""
        return self._reconciler.bugs

    async def rest(self) -> None:
        """Wait until the operator sees nothing to do; KilledError where it dies before, TimeoutError where it finds no rest."""
        async with asyncio.timeout(REST_SECONDS):
            idle, done = 0, (-1, -1)
            while True:
                if self.boundary.dead:
                    raise KilledError
                due = self._due()
                if due is not None and due > SOON_SECONDS:
                    return
                self._reconciler.news.clear()
                if due is not None and self._reconciler.hurries(self._key):
                    await self.ask_agent()
                await self._reconciler.news.wait()
                idle, done = (idle + 1 if self.boundary.done == done else 0), self.boundary.done
                due = self._due()
                if idle >= PATIENCE and due is not None and due < RETRY_SECONDS:
                    return

    def _due(self) -> float | None:
        """Return in how many seconds the next look is due; None while one is under way or about to be."""
        queue = self._queue
        if self._key in queue._waiting or self._key in queue._working:
            return None
        timer = queue._timers.get(self._key)
        return math.inf if timer is None else timer.when() - asyncio.get_running_loop().time()

    async def end(self) -> None:
        """End at once: nothing of it goes on, nothing is tidied up."""
        self.boundary.dead = True
        for task in self._memo.tasks:
            task.cancel()
        await asyncio.gather(*self._memo.tasks, return_exceptions=True)
        self._reconciler.close()
        for timer in self._queue._timers.values():
            timer.cancel()


WATCHES = 10
"""Kinds that the operator watches: those that pools are made of, and pods."""

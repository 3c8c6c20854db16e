"""A keyed, level-triggered work queue: a key is worked on by one worker at a time, and a change meanwhile means once more."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0


class RetryError(Exception):
    """Work that failed for a reason already told, and is to be tried again later."""


class WorkQueue(Generic[Key]):
    """Keys waiting for work; adding one that waits already changes nothing."""

    def __init__(self, resync_seconds: float) -> None:
        self._resync_seconds = resync_seconds
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        """Ask for work on a key: at once, or after the work that is under way on it."""
        self._cancel_timer(key)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def resync(self) -> None:
        """Ask for work on every key that rests, and once more on those that are worked on."""
        for key in [*self._timers, *self._working]:
            self.add(key)

    def _add_later(self, key: Key, seconds: float) -> None:
        self._cancel_timer(key)
        delay = seconds * random.uniform(0.9, 1.1)
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self.add, key)

    def _cancel_timer(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()

    async def work(self, handle: Callable[[Key], Awaitable[float | None]]) -> None:
        """Handle keys for ever.

        `handle` returns seconds until the next look, infinity for the next resync, or None where the key is gone; any exception it
        raises is retried with growing delay, logged unless it is a RetryError.
        """
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._working.add(key)
            try:
                delay = await handle(key)
            except RetryError:
                delay = self._backoff(key)
            except Exception:
                logger.exception("work on %s failed, trying again", key)
                delay = self._backoff(key)
            else:
                self._failures.pop(key, None)
            finally:
                self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif delay is not None:
                self._add_later(key, min(delay, self._resync_seconds))

    def _backoff(self, key: Key) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return float(min(FIRST_RETRY_SECONDS * 2**failures, LAST_RETRY_SECONDS))

"""The queue on a clock that jumps: one worker per key, no lost change, growing delays."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from typing import Any

from condorpool_operator.workqueue import LAST_RETRY_SECONDS, RetryError, WorkQueue


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: tells the loop's clock to be where the wait would have ended."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def on_jumping_clock(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        runner.run(test)


async def run_workers(
    queue: WorkQueue[str], handle: Callable[[str], Awaitable[float | None]], seconds: float, workers: int = 3
) -> None:
    tasks = [asyncio.create_task(queue.work(handle)) for _ in range(workers)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_key_waiting_is_added_once() -> None:
    async def scenario() -> None:
        queue, seen = WorkQueue[str](600), []

        async def handle(key: str) -> None:
            seen.append(key)

        for _ in range(5):
            queue.add("a")
        await run_workers(queue, handle, 1)
        assert seen == ["a"]

    on_jumping_clock(scenario())


def test_a_resync_works_on_every_key_that_rests_or_is_worked_on_and_on_no_other() -> None:
    async def scenario() -> None:
        queue, seen = WorkQueue[str](600), []

        async def handle(key: str) -> float | None:
            seen.append(key)
            await asyncio.sleep(5)
            return None if key == "gone" else 600

        for key in ("resting", "gone"):
            queue.add(key)
        workers = asyncio.create_task(run_workers(queue, handle, 60))
        await asyncio.sleep(10)
        queue.add("busy")
        await asyncio.sleep(1)
        queue.resync()
        await workers
        assert sorted(seen) == ["busy", "busy", "gone", "resting", "resting"]

    on_jumping_clock(scenario())


def test_a_change_during_work_means_once_more_and_never_two_at_a_time() -> None:
    async def scenario() -> None:
        queue = WorkQueue[str](600)
        running = most = runs = 0

        async def handle(key: str) -> None:
            nonlocal running, most, runs
            running, runs = running + 1, runs + 1
            most = max(most, running)
            if runs == 1:
                for _ in range(3):
                    queue.add(key)
            await asyncio.sleep(5)
            running -= 1

        queue.add("a")
        await run_workers(queue, handle, 60)
        assert (runs, most) == (2, 1)

    on_jumping_clock(scenario())


def test_a_change_during_failed_work_is_not_lost() -> None:
    async def scenario() -> None:
        queue, times = WorkQueue[str](600), []

        async def handle(key: str) -> None:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 1:
                queue.add(key)
                raise RetryError

        queue.add("a")
        await run_workers(queue, handle, 0.5)
        assert len(times) == 2

    on_jumping_clock(scenario())


def test_failures_wait_longer_and_longer_up_to_a_cap_and_success_forgets_them() -> None:
    async def scenario() -> None:
        queue, times = WorkQueue[str](10_000), []

        async def handle(key: str) -> float | None:
            times.append(asyncio.get_running_loop().time())
            if len(times) < 14:
                raise RetryError
            return None

        queue.add("a")
        await run_workers(queue, handle, 5000)
        gaps = [b - a for a, b in pairwise(times)]
        assert len(times) == 14
        assert 0.9 <= gaps[0] <= 1.1
        assert all(gap <= LAST_RETRY_SECONDS * 1.1 for gap in gaps)
        assert gaps[-1] >= LAST_RETRY_SECONDS * 0.9

    on_jumping_clock(scenario())


def test_a_key_at_rest_is_looked_at_again_after_the_resync_time() -> None:
    async def scenario() -> None:
        queue, times = WorkQueue[str](600), []

        async def handle(key: str) -> float:
            times.append(asyncio.get_running_loop().time())
            return float("inf")

        queue.add("a")
        await run_workers(queue, handle, 1500)
        assert len(times) == 3
        assert 540 <= times[1] <= 660

    on_jumping_clock(scenario())


def test_a_key_that_is_gone_is_not_looked_at_again() -> None:
    async def scenario() -> None:
        queue, times = WorkQueue[str](600), []

        async def handle(key: str) -> None:
            times.append(asyncio.get_running_loop().time())

        queue.add("a")
        await run_workers(queue, handle, 5000)
        assert len(times) == 1

    on_jumping_clock(scenario())


def test_an_unexpected_error_is_retried_and_harms_no_other_key() -> None:
    async def scenario() -> None:
        queue, seen = WorkQueue[str](600), []

        async def handle(key: str) -> None:
            seen.append(key)
            if key == "bad" and seen.count("bad") < 3:
                raise KeyError("a bug")

        queue.add("bad")
        queue.add("good")
        await run_workers(queue, handle, 30, workers=1)
        assert seen.count("bad") == 3
        assert seen.count("good") == 1

    on_jumping_clock(scenario())

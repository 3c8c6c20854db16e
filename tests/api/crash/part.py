"""Scenarios of the search, in a process of their own."""

import asyncio
import gc
import sys
import time
from collections.abc import Sequence

from .life import faster_time
from .points import everything
from .row import Row
from .scenarios import SCENARIOS
from .search import searching
from .server import Access

LANES = 16
"""Namespaces of a scenario at a time: much of the time is spent waiting."""
SCENARIOS_AT_A_TIME = 10
NAMESPACES = 100
"""Of a scenario at most."""
SAYING_SECONDS = 30.0


def say(began: float, text: str) -> None:
    """Print a line with the seconds since the start."""
    sys.stdout.write(f"[{time.monotonic() - began:6.1f} s] {text}\n")
    sys.stdout.flush()


def play(numbers: Sequence[int], access: Access, storms: int, thorough: bool, share: float, began: float) -> list[Row]:
    """Play scenarios in a process of their own; tell how far they are now and then.

    Of a small share of the points most is spent on the undisturbed runs: then scenarios share the time, one namespace each.
    """
    told = time.monotonic()

    def said(row: Row) -> None:
        nonlocal told
        if time.monotonic() - told > SAYING_SECONDS:
            told = time.monotonic()
            say(began, f"{row.scenario}: {row.points} of {row.wanted} points")

    async def run() -> list[Row]:
        gate = asyncio.Semaphore(1 if share == 1 else SCENARIOS_AT_A_TIME)
        async with searching(access, 1 + numbers[0] * NAMESPACES) as search:

            async def one(number: int) -> Row:
                async with gate:
                    choice = everything(storms, thorough=thorough, share=share)
                    row = await search.run(
                        SCENARIOS[number], choice, LANES if share == 1 else 1, said, rounds=3 if share == 1 else 2
                    )
                say(began, f"{row.scenario}: {row.points} points, {len(row.failures)} failures")
                for failure in row.failures:
                    say(began, f"  {failure}")
                return row

            return list(await asyncio.gather(*map(one, numbers)))

    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with faster_time():
        return asyncio.run(run())

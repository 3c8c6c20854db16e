"""Waits that end: each has a deadline and says what it waited for and what it last saw."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PERIOD_SECONDS = 0.5
"""Between two looks; a look is a kubectl call of a tenth of a second and more."""


class NotYetError(Exception):
    """What is waited for is not there; the text is what is there instead."""


def wait_for(what: str, look: Callable[[], T], seconds: float) -> T:
    """Return what `look` returns once it raises no NotYetError; AssertionError at the deadline."""
    end = time.monotonic() + seconds
    while True:
        try:
            return look()
        except NotYetError as error:
            if time.monotonic() >= end:
                raise AssertionError(f"waited {seconds:g} s for {what}; last seen: {error}") from error
        time.sleep(PERIOD_SECONDS)


def stays(what: str, look: Callable[[], T], seconds: float) -> T:
    """Return what `look` returned for so many seconds without a change; AssertionError where it changed."""
    first = look()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(PERIOD_SECONDS)
        now = look()
        assert now == first, f"{what} changed: {first} -> {now}"
    return first

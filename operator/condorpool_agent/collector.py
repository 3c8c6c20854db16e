"""Asks the collector, by a child that is killed when it takes too long; one answer serves everybody for a few seconds."""

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .ads import query, read_ads
from .metrics import Health
from .state import State, build_state

QUERY_SECONDS = 10.0
"""A query of a thousand slots takes a tenth of a second; a child that hangs is killed."""
FRESH_SECONDS = 2.0
"""For which an answer is good enough: whoever asks more often costs nothing, and an operator that waits for a drain asks every 3 s."""
_PAGE_BYTES = resource.getpagesize()


class UnavailableError(Exception):
    """What was asked for cannot be had now; the text says why, and is the caller's to show."""


class Collector:
    """The collector beside the agent, asked with the agent's own token and with no configuration of the pool's."""

    def __init__(self, address: str, environment: Callable[[], Mapping[str, str]]) -> None:
        self._address = address
        self._environment = environment
        self._lock = threading.Lock()
        self._state: State | None = None
        self._began = self._asked = self._passed = float("-inf")
        self._queries = self._failures = 0
        self._seconds = 0.0

    def state(self) -> State:
        """Return the pool's state, at most some seconds old; UnavailableError where the collector does not tell it."""
        with self._lock:
            if self._began <= self._passed or time.monotonic() - self._asked >= FRESH_SECONDS:
                self._began = time.monotonic()
                self._state = self._ask()
                self._asked = time.monotonic()
            if self._state is None:
                raise UnavailableError("the collector does not answer")
            return self._state

    def executor(self, pod: str) -> Mapping[str, Any] | None:
        """Return what the collector says of one executor at this moment, None where it knows none of that name; UnavailableError.

        From then on no answer from before serves as the pool's state: whoever asks for one executor changes it, or has just done so.
        """
        try:
            ads = read_ads(_lines(query(self._address, pod), self._environment()))
            executors: Mapping[str, Mapping[str, Any]] = build_state(ads, int(time.time()))["executors"]
        except (OSError, ValueError, UnavailableError) as error:
            sys.stderr.write(f"the collector cannot be asked for {pod}: {error}\n")
            raise UnavailableError("the collector does not answer") from None
        finally:
            self._passed = time.monotonic()
        return executors.get(pod)

    def health(self) -> Health:
        """Return what the queries came to, and what the process and its children have cost."""
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(one.ru_utime + one.ru_stime for one in used)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        return Health(self._queries, self._failures, self._seconds, cpu, resident)

    def _ask(self) -> State | None:
        began = time.monotonic()
        self._queries += 1
        try:
            return build_state(read_ads(_lines(query(self._address), self._environment())), int(time.time()))
        except (OSError, ValueError, UnavailableError) as error:
            self._failures += 1
            if self._state is not None or self._failures == 1:  # the first of a row is worth a line
                sys.stderr.write(f"the collector cannot be asked: {error}\n")
            return None
        finally:
            self._seconds = time.monotonic() - began


def _lines(command: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what a child writes; UnavailableError where it fails, or had to be killed."""
    with subprocess.Popen(
        command,
        env=dict(environment),
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        clock = threading.Timer(QUERY_SECONDS, child.kill)
        clock.start()
        try:
            yield from child.stdout or ()
            child.wait()
        finally:
            child.kill()
            clock.cancel()
    if child.returncode != 0:
        raise UnavailableError(f"{command[0]} ended with {child.returncode}")

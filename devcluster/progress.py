"""Progress on stderr, one line per event with the elapsed time; stdout stays free for results."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Thread-safe: steps run side by side and each line names its step."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        with self._lock:
            print(f"[{self.elapsed:6.1f} s] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step, and its duration or failure at its end."""
        self.say(f"{name} ...")
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"{name}: FAILED after {time.monotonic() - began:.1f} s")
            raise
        self.say(f"{name}: done in {time.monotonic() - began:.1f} s")

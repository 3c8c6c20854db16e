"""Signals, pipes and timers in one thread: asyncio would cost pid 1 another 10 MB."""

import os
import select
import signal
import time
from collections.abc import Callable

Callback = Callable[[], None]


class Timer:
    """One callback at one time, or every `period` seconds; `period` may be changed by the callback."""

    __slots__ = ("callback", "due", "period")

    def __init__(self, due: float, callback: Callback, period: float | None) -> None:
        self.due = due
        self.callback = callback
        self.period = period


class Loop:
    """An event loop whose callbacks are short; `clock` counts seconds and only grows.

    A callback's OSError (full disk, no more processes) goes to `failed`: it must not end pid 1 and with it all jobs.
    """

    def __init__(self, failed: Callable[[OSError], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._failed = failed
        self._timers: list[Timer] = []
        self._readers: dict[int, Callback] = {}
        self._signals: dict[int, Callback] = {}
        self._poll = select.poll()
        self._wakeup, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._wakeup_write, False)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        self.on_readable(self._wakeup, self._dispatch_signals)

    def close(self) -> None:
        """Give the signals back to the defaults; needed by tests only."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        os.close(self._wakeup)
        os.close(self._wakeup_write)

    def on_signal(self, number: int, callback: Callback) -> None:
        self._signals[number] = callback
        signal.signal(number, _note)

    def on_readable(self, descriptor: int, callback: Callback) -> None:
        self._readers[descriptor] = callback
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        del self._readers[descriptor]
        self._poll.unregister(descriptor)

    def later(self, delay: float, callback: Callback) -> Timer:
        return self._add(delay, callback, None)

    def every(self, period: float, callback: Callback) -> Timer:
        return self._add(period, callback, period)

    def cancel(self, timer: Timer) -> None:
        if timer in self._timers:
            self._timers.remove(timer)

    def run_until(self, finished: Callable[[], bool], seconds: float | None = None) -> bool:
        """Serve events until `finished` says so (True) or `seconds` have passed (False)."""
        end = None if seconds is None else self.clock() + seconds
        while not finished():
            if end is not None and self.clock() >= end:
                return False
            self._step(end)
        return True

    def fire_due(self) -> None:
        """Call every timer whose time has come."""
        now = self.clock()
        for timer in [timer for timer in self._timers if timer.due <= now]:
            self._fire(timer, now)

    def _add(self, delay: float, callback: Callback, period: float | None) -> Timer:
        timer = Timer(self.clock() + delay, callback, period)
        self._timers.append(timer)
        return timer

    def _step(self, end: float | None) -> None:
        for descriptor, _ in self._poll.poll(self._milliseconds(end)):
            reader = self._readers.get(descriptor)
            if reader is not None:
                self._call(reader)
        self.fire_due()

    def _fire(self, timer: Timer, now: float) -> None:
        if timer not in self._timers:
            return
        if timer.period is None:
            self.cancel(timer)
        self._call(timer.callback)
        if timer.period is not None:
            timer.due = now + timer.period

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except OSError as error:
            self._failed(error)

    def _milliseconds(self, end: float | None) -> int | None:
        moments = [timer.due for timer in self._timers]
        if end is not None:
            moments.append(end)
        if not moments:
            return None
        return max(0, int((min(moments) - self.clock()) * 1000) + 1)

    def _dispatch_signals(self) -> None:
        for number in sorted(set(os.read(self._wakeup, 4096))):
            callback = self._signals.get(number)
            if callback is not None:
                self._call(callback)


def _note(_number: int, _frame: object) -> None:
    """The wake-up pipe carries the signal; Python only needs some handler to write it there."""

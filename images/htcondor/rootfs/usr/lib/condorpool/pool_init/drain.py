"""The end of a container: who gets which signal when. Pure: time comes in, signals go out."""

import signal

# a master that was told to go fast and did not: shadows' retries must still fit into the pod's grace period
KILL_AFTER = 30.0
# three retries of a shadow, 5 s apart, must meet a reset instead of a dead address (k8s-pool.md 4)
LINGER = 12.0


class Shutdown:
    """Deadlines of one shutdown in seconds of the caller's clock.

    `drain_seconds` is what running jobs get after SIGTERM; None leaves the deadline to the kubelet.
    """

    def __init__(self, drain_seconds: int | None) -> None:
        self._drain_seconds = drain_seconds
        self._quit_at: float | None = None
        self._kill_at: float | None = None
        self._had_starters = False
        self.requested = False

    def terminate(self, now: float, starters: int) -> list[int]:
        """SIGTERM has come while `starters` jobs ran; a second one changes nothing."""
        if self.requested:
            return []
        self.requested = True
        self._had_starters = starters > 0
        if self._drain_seconds is not None:
            self._quit_at = now + self._drain_seconds
        return [signal.SIGTERM]

    def hurry(self, now: float) -> list[int]:
        """The time is over, or SIGQUIT has come: jobs are evicted now."""
        self.requested = True
        self._quit_at = None
        if self._kill_at is None:
            self._kill_at = now + KILL_AFTER
        return [signal.SIGQUIT]

    def abandon(self, now: float) -> list[int]:
        """Nobody waits for the jobs any more: they end now, and no shadow will call."""
        self._had_starters = False
        return self.hurry(now)

    def due(self, now: float) -> list[int]:
        """Signals whose time has come."""
        if self._quit_at is not None and now >= self._quit_at:
            return self.hurry(now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            return [signal.SIGKILL]
        return []

    def linger(self) -> float:
        """Seconds to keep the pod's address alive after the master has gone."""
        return LINGER if self._had_starters else 0.0

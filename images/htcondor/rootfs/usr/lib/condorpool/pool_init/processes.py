"""Children: start them without fork, collect every exit status as pid 1 must, run short commands with a time limit."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence

from .loop import Loop

READ_SIZE = 16384
# exit status of a command that was killed at its limit, as of timeout(1)
TIME_OVER = 124


def spawn(argv: Sequence[str], environ: Mapping[str, str], output: int, *, session: bool = False) -> int:
    """Start a program with its stdout and stderr on `output`, in a session of its own if asked to; returns its pid."""
    return _spawn(argv, environ, [(output, 1), (output, 2)], session=session)


def spawn_on(argv: Sequence[str], environ: Mapping[str, str], channel: int) -> int:
    """Start a program that reads from and writes to a socket, its complaints on our own stderr; returns its pid."""
    return _spawn(argv, environ, [(channel, 0), (channel, 1)])


def _spawn(
    argv: Sequence[str], environ: Mapping[str, str], descriptors: Sequence[tuple[int, int]], *, session: bool = False
) -> int:
    return os.posix_spawnp(
        argv[0],
        list(argv),
        dict(environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in descriptors],
        setsid=session,
        setsigmask=[],
        # Python ignores SIGPIPE, and an ignored signal would survive the exec
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )


def process_name(pid: int, proc: str = "/proc") -> str:
    """The name of a process as the kernel keeps it, 15 bytes at most; empty where it is gone."""
    try:
        with open(os.path.join(proc, str(pid), "comm"), encoding="ascii", errors="replace") as comm:
            return comm.read().strip()
    except OSError:
        return ""


def running(command: str, proc: str = "/proc") -> int:
    """How many processes of this name exist in the container."""
    pids = [int(entry) for entry in os.listdir(proc) if entry.isdigit()]
    return sum(process_name(pid, proc) == command[:15] for pid in pids)


def children(parent: int, proc: str = "/proc") -> dict[int, str]:
    """Names, as the kernel keeps them, of the processes that `parent` started, by pid."""
    found = {}
    for entry in os.listdir(proc):
        if entry.isdigit():
            try:
                with open(os.path.join(proc, entry, "stat"), encoding="ascii", errors="replace") as stat:
                    head, _, tail = stat.read().rpartition(")")
            except OSError:
                continue
            if int(tail.split()[1]) == parent:
                found[int(entry)] = head.partition("(")[2]
    return found


class Reaper:
    """Collects all children, also orphans that pid 1 inherits; tells who asked about a pid its exit code."""

    def __init__(self) -> None:
        self._waiting: dict[int, Callable[[int], None]] = {}

    def watch(self, pid: int, exited: Callable[[int], None]) -> None:
        """Call `exited` with the exit code, 128 + the signal's number for a killed process."""
        self._waiting[pid] = exited

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            exited = self._waiting.pop(pid, None)
            if exited is not None:
                code = os.waitstatus_to_exitcode(status)
                exited(code if code >= 0 else 128 - code)


class Output:
    """The read end of a child's stdout and stderr; every chunk goes to `received`, the end of file is silent."""

    def __init__(self, loop: Loop, received: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._received = received
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._open = True
        loop.on_readable(self._read_end, self.drain)

    def child_started(self) -> None:
        """Close our copy of the write end, so that the end of the child is seen."""
        os.close(self.write_end)

    def drain(self) -> None:
        """Take all that is there now."""
        while self._open:
            try:
                chunk = os.read(self._read_end, READ_SIZE)
            except BlockingIOError:
                return
            if not chunk:
                self.close()
                return
            self._received(chunk)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._read_end)
            os.close(self._read_end)


class Command:
    """One short program with a time limit in seconds; `finished` gets its exit code (or TIME_OVER) and its output.

    At the limit it is killed and not waited for: one that waits for a file system that hangs may not die before that.
    """

    def __init__(
        self,
        loop: Loop,
        reaper: Reaper,
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        limit: float,
        finished: Callable[[int, str], None],
    ) -> None:
        self._loop = loop
        self._finished = finished
        self._chunks: list[bytes] = []
        self._over = False
        self._output = Output(loop, self._chunks.append)
        self._pid = spawn(argv, environ, self._output.write_end)
        self._output.child_started()
        self._timer = loop.later(limit, self._time_over)
        reaper.watch(self._pid, self._exited)

    def _time_over(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._finish(TIME_OVER)

    def _exited(self, code: int) -> None:
        if not self._over:
            self._loop.cancel(self._timer)
            self._finish(code)

    def _finish(self, code: int) -> None:
        self._over = True
        self._output.drain()
        self._output.close()
        self._finished(code, b"".join(self._chunks).decode("utf-8", "replace").strip())

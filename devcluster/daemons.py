"""Background programs of ours: started detached, found again by process id and start time, ended for certain."""

import json
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.cache import write_atomically
from devcluster.process import Command, wait_until

MARKER = "CONDORPOOL_DEVCLUSTER"
"""Environment variable of everything our daemons start; its value is the runtime directory."""


@dataclass(frozen=True)
class Daemon:
    """A started process. The start time and the boot tell it from a later process with the same number."""

    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        return identify(self.pid) == self


def identify(pid: int) -> Daemon | None:
    """Describe a running process; None when it does not exist or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    return Daemon(pid=pid, start_ticks=int(fields[19]), boot_id=boot_id)


def start(name: str, command: Command, *, runtime: Path, log: Path) -> Daemon:
    """Start a detached program with its output appended to ``log`` and remember it in the runtime directory."""
    runtime.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={**os.environ, MARKER: str(runtime)},
        )
    daemon = identify(process.pid) or Daemon(process.pid, -1, "")
    write_atomically(runtime / f"{name}.pid", json.dumps(asdict(daemon)))
    return daemon


def find(name: str, runtime: Path) -> Daemon | None:
    """Return the remembered daemon if it still runs."""
    try:
        daemon = Daemon(**json.loads((runtime / f"{name}.pid").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return daemon if daemon.alive() else None


def stop(name: str, runtime: Path, *, grace: float) -> None:
    """End a daemon: SIGTERM, ``grace`` seconds, then SIGKILL."""
    daemon = find(name, runtime)
    if daemon is None:
        return
    _signal(daemon.pid, signal.SIGTERM)
    if not wait_until(lambda: not daemon.alive(), timeout=grace):
        _signal(daemon.pid, signal.SIGKILL)
        wait_until(lambda: not daemon.alive(), timeout=5)


def marked(runtime: Path) -> list[int]:
    """Return the processes that our daemons started or that are our daemons: they carry the marker in their environment."""
    wanted = f"{MARKER}={runtime}".encode()
    return [pid for pid in _all_pids() if wanted in _environment(pid).split(b"\0")]


def kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        _signal(pid, signal.SIGKILL)


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

"""What a process takes, by /proc: memory, processor time, and when it came to rest."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
KIB = 1024
MIB = 1024 * KIB

_BUSY_SHARE = 0.1
"""A process that takes less of one core is at rest: its watches take next to nothing."""


@dataclass(frozen=True)
class Memory:
    """Bytes of resident memory: all of it, the proportional share of what others map too, and what is not backed by a file."""

    resident: int
    proportional: int
    anonymous: int


def memory(pid: int) -> Memory:
    """Return a process's memory."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        fields[name.rstrip(":")] = int(value) * KIB
    return Memory(fields["Rss"], fields["Pss"], fields["Anonymous"])


def peak(pid: int) -> int:
    """Return the most resident bytes that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * KIB


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


class Rest:
    """Tells from looks at a process whether it was busy since the last one."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._used, self._at = processor_seconds(pid), time.time()
        self.last_busy = self._at

    def look(self) -> None:
        """Look, and note the moment (of the wall clock) if the process was busy until now."""
        used, now = processor_seconds(self._pid), time.time()
        if used - self._used > _BUSY_SHARE * (now - self._at):
            self.last_busy = now
        self._used, self._at = used, now

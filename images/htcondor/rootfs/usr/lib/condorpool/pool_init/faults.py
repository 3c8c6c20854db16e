"""What this pod knows to be wrong with itself, in a file that its readiness probe prints.

The kubelet makes an event of a probe's words and passes on nothing else of a container that runs: a pod has no API token. The words hold
no numbers, so that whoever reads them sees the same as long as nothing changes; numbers go to the log, once for each turn.
"""

import os
from collections.abc import Callable

Report = Callable[[str], None]

# a volume with less free than this share, or than this at most, counts as full; twice as much and it does not any more
FULL_SHARE = 64
FULL_BYTES = 256 << 20
FULL_INODES = 64
# seconds between the clocks of this pod and of the collector, which tells its own up to 5 s late
SKEW = 60

QUEUE = "QueueCorrupt"
# of the line "ERROR ..." with which the schedd ends where it cannot read its queue
UNREADABLE = (b"corrupt log record", b"initialize job queue log", b"JOB QUEUE DAMAGED")

CORRUPT = (
    "the schedd does not start, as it cannot read its queue: mend job_queue.log in /var/lib/condor/spool, or go back to an earlier one "
    "(docs/operations.md, The job queue)"
)
FULL = "the volume of queue and homes is full: remove files, or raise spec.submitter.storage.size"


class Faults:
    """The faults by name; the file has a line "Name: words" for each, and no line while all is well."""

    __slots__ = ("_found", "_path", "_report")

    def __init__(self, path: str, report: Report) -> None:
        self._path = path
        self._report = report
        self._found: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    @property
    def last_words(self) -> str:
        """What the next container has to know of this one, which the kubelet kills for it."""
        return f"{QUEUE}: {self._found[QUEUE]}" if QUEUE in self._found else ""

    def tell(self, name: str, words: str, figures: str) -> None:
        """Note what a fault is, empty words for none; `figures` are for the log."""
        if words == self._found.get(name, ""):
            return
        if words:
            self._found[name] = words
        else:
            del self._found[name]
        self._write()
        self._report(f"{name}: {words or 'no more'} ({figures})")

    def _write(self) -> None:
        """At once or not at all: a probe may read meanwhile."""
        with open(self._path + ".new", "w", encoding="utf-8") as file:
            file.writelines(f"{name}: {words}\n" for name, words in sorted(self._found.items()))
        os.replace(self._path + ".new", self._path)


def judge_volume(volume: os.statvfs_result, faults: Faults) -> None:
    """Tell whether the schedd can still write its queue; before it cannot, as it ends where it fails to."""
    factor = 2 if "SpoolFull" in faults else 1
    free, size = volume.f_bavail * volume.f_frsize, volume.f_blocks * volume.f_frsize
    few_bytes = free < factor * min(FULL_BYTES, size // FULL_SHARE)
    # a file system that makes inodes as it needs them has none to count
    few_inodes = volume.f_files > 0 and volume.f_favail < factor * FULL_INODES
    figures = f"{free >> 20} of {size >> 20} MiB and {volume.f_favail} inodes are free"
    faults.tell("SpoolFull", FULL if few_bytes or few_inodes else "", figures)


def judge_clock(seconds_ahead: float, faults: Faults) -> None:
    """Tell whether the clock here is too far from the collector's."""
    off = abs(seconds_ahead) > (SKEW / 2 if "ClockSkew" in faults else SKEW)
    way = "ahead of" if seconds_ahead > 0 else "behind"
    words = f"the clock of this node is more than a minute {way} that of the manager's: repair its time synchronization"
    faults.tell("ClockSkew", words if off else "", f"{abs(seconds_ahead):.0f} s {way} the collector")


def judge_end(line: bytes, faults: Faults) -> bytes:
    """Take a line of the schedd's log, and return it as it is; its last one tells whether it ended because of its queue."""
    _, mark, words = line.partition(b'ERROR "')
    if mark and any(sign in words for sign in UNREADABLE):
        faults.tell(QUEUE, CORRUPT, words.partition(b'"')[0].decode("ascii", "replace"))
    return line


def judge_answer(daemon: str, code: int, faults: Faults) -> None:
    """Take how a question to a daemon ended: a schedd answers once it has read its queue."""
    if daemon == "SCHEDD" and code == 0:
        faults.tell(QUEUE, "", "the schedd answers")

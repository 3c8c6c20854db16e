"""Jobs whose executor is gone for good go back to the queue at once, and not when their lease is over (htcondor.md, Lost executors).

A job is given back only if its own shadow has lost the connection to its starter and the claim is proven dead: by the operator's word,
which has it from Kubernetes, or by a newer startd in the same container, as condor_master kills the starters of a dead one.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Sequence

from .loop import Loop
from .processes import process_name

# seconds between two looks while a job is disconnected, and for which a note to a shadow stays
PERIOD = 10.0
NOTE_LIFE = 15.0
# from a shadow's call to the first look, and for which its job may be missing from the queue's answer
LAG = 2.0
DOUBT = 30.0
# a flood of starts would keep the schedd from all else
MOST_AT_ONCE = 100
# a successor starts ten seconds later
SUCCESSOR = 2

LOST = b": Trying to reconnect to disconnected job"
FOUND = b": Reconnect SUCCESS"
# a user may write what he likes into his jobs, PublicClaimId too: only JSON keeps it within its job (%V escapes no line break)
CALLS = "JobStatus == 2 && JobCurrentReconnectAttempt > 0 && isInteger(JobCurrentStartDate) && isString(PublicClaimId)"
QUEUE = (
    *("condor_q", "-allusers", "-json", "-constraint", CALLS),
    *("-attributes", "ClusterId,ProcId,JobCurrentStartDate,PublicClaimId"),
)
CLAIM = re.compile(r"<((?:[0-9]{1,3}\.){3}[0-9]{1,3}):[!-=?-~]*>#([0-9]{1,10})#[!-~]*")

Finished = Callable[[int, str], None]


class Job:
    """A running job: its id, when it started (Unix seconds), and its claim: the startd's IP address and start time, and all of it."""

    __slots__ = ("address", "born", "claim", "name", "started")

    def __init__(self, name: str, started: int, claim: str, address: str, born: int) -> None:
        self.name = name
        self.started = started
        self.claim = claim
        self.address = address
        self.born = born


def parse_queue(text: str) -> list[Job]:
    """Jobs from the answer to QUEUE, whose claims read "<10.0.0.1:9618?...>#1795582582#59#..."; one of another make is left out.

    Complaints may stand before the answer, which is empty where there is no job.
    """
    try:
        ads, _ = json.JSONDecoder().raw_decode(text, text.index("[\n{"))
    except (ValueError, RecursionError):
        return []
    jobs = []
    for ad in ads:
        started, claim = ad.get("JobCurrentStartDate"), CLAIM.fullmatch(str(ad.get("PublicClaimId")))
        if isinstance(started, int) and claim is not None:
            name = f"{ad['ClusterId']}.{ad['ProcId']}"
            jobs.append(Job(name, started, claim[0].removesuffix("..."), claim[1], int(claim[2])))
    return jobs


class End:
    """The end of an executor's container: startds born within these seconds, both included, at this address are dead."""

    __slots__ = ("address", "first", "last")

    def __init__(self, address: str, first: int, last: int) -> None:
        self.address = address
        self.first = first
        self.last = last

    def covers(self, job: Job) -> bool:
        return job.address == self.address and self.first <= job.born <= self.last


def parse_ends(text: str) -> list[End]:
    """What the operator has proven, a line each: "gone ADDRESS FIRST LAST ..."; other lines are none of ours."""
    ends = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4 and fields[0] == "gone" and fields[2].isdecimal() and fields[3].isdecimal():
            ends.append(End(fields[1], int(fields[2]), int(fields[3])))
    return ends


def parse_successors(text: str) -> list[End]:
    """Ends from lines "<10.0.0.1:9618?...> CONTAINER STARTD", the start times of a container and of the startd that runs in it now.

    A startd of that container which was born earlier is dead; one from before the container may have been another pod's.
    """
    ends = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1].isdecimal() and fields[2].isdecimal():
            ends.append(End(fields[0][1:].partition(":")[0], int(fields[1]), int(fields[2]) - SUCCESSOR))
    return ends


def executors(addresses: Iterable[str]) -> tuple[str, ...]:
    """A question for the startds that run at these addresses now."""
    pattern = "|".join(sorted(set(addresses))).replace(".", "[.]")
    constraint = f'SlotType =!= "Dynamic" && regexp("^<({pattern}):", MyAddress)'
    return ("condor_status", "-constraint", constraint, "-af", "MyAddress", "CondorPoolStarted", "DaemonStartTime")


class LostWatch:
    """Looks only while a shadow calls for its starter, as its log tells; `run` starts a command and calls back with status and output."""

    def __init__(
        self,
        loop: Loop,
        run: Callable[[Sequence[str], Finished], None],
        ends: str,
        notes: str,
        report: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
        kill: Callable[[int, int], None] = os.kill,
        name_of: Callable[[int], str] = process_name,
    ) -> None:
        self._loop = loop
        self._run = run
        self._ends = ends
        self._notes = notes
        self._report = report
        self._clock = clock
        self._kill = kill
        self._name_of = name_of
        # by job: the shadow's pid, and when its line was read
        self._calling: dict[str, tuple[int, float]] = {}
        self._asking = False
        self._next = 0.0
        self._seen: tuple[int, int] | None = None

    def start(self) -> None:
        self._loop.every(1.0, self.tick)

    def note(self, line: bytes) -> bytes:
        """Take a line of the shadows' log, "... (7.1) (2532): Trying to reconnect ...", and return it as it is."""
        if LOST in line or FOUND in line:
            head, _, words = line.partition(b"): ")
            before, _, pid = head.rpartition(b") (")
            name = before.rpartition(b"(")[2].decode("ascii", "replace")
            if words.startswith(FOUND[2:]):
                self._calling.pop(name, None)
            elif pid.isdigit() and name.replace(".", "").isdigit():
                self._calling[name] = (int(pid), self._clock())
                self._next = min(self._next, self._loop.clock() + LAG)
        return line

    def tick(self) -> None:
        """Once a second; costs nothing while no shadow calls, and one stat while one does."""
        if not self._calling or self._asking:
            return
        version = _version(self._ends)
        if version == self._seen and self._loop.clock() < self._next:
            return
        self._seen = version
        self._next = self._loop.clock() + PERIOD
        self._run(QUEUE, self._queue_told)
        self._asking = True

    def _queue_told(self, code: int, text: str) -> None:
        self._asking = False
        if code != 0:
            return
        jobs = {job.name: job for job in parse_queue(text)}
        now = self._clock()
        for name, (_, read) in list(self._calling.items()):
            if name not in jobs and now - read > DOUBT:
                del self._calling[name]
        rest = self._give_back(
            list(jobs.values()), parse_ends(_read(self._ends)), "Kubernetes says that its executor is gone"
        )
        if rest:
            self._run(executors(job.address for job in rest), lambda code, text: self._executors_told(rest, code, text))
            self._asking = True

    def _executors_told(self, jobs: list[Job], code: int, text: str) -> None:
        self._asking = False
        if code == 0:
            self._give_back(jobs, parse_successors(text), "its startd has a successor in the same container")

    def _is_calling(self, job: Job) -> bool:
        """Whether the shadow of this very run calls: the line of an earlier one, which may serve another job now, is older."""
        found = self._calling.get(job.name)
        return found is not None and found[1] >= job.started

    def _give_back(self, jobs: list[Job], ends: list[End], why: str) -> list[Job]:
        """Give back the jobs of dead claims whose shadows call, and return the others whose do."""
        rest: list[Job] = []
        dead: list[Job] = []
        for job in filter(self._is_calling, jobs):
            (dead if any(end.covers(job) for end in ends) else rest).append(job)
        for job in dead[:MOST_AT_ONCE]:
            pid, _ = self._calling[job.name]
            if self._name_of(pid) == "condor_shadow":
                self._report(f"job {job.name} goes back to the queue: {why} ({job.address}, startd of {job.born})")
                self._leave_note(job)
                self._kill(pid, signal.SIGKILL)
            del self._calling[job.name]
        return rest

    def _leave_note(self, job: Job) -> None:
        """For the shadow that the schedd starts in the place of the one that is killed, on the same dead claim."""
        os.makedirs(self._notes, mode=0o700, exist_ok=True)
        path = os.path.join(self._notes, job.name)
        with open(path, "w", encoding="ascii", errors="replace") as file:
            file.write(job.claim)
        self._loop.later(NOTE_LIFE, lambda: _remove(path))


def _version(path: str) -> tuple[int, int] | None:
    """The kubelet swaps a symlink, so each new version has a new inode."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return

"""What is known of a run of chaos, as plain data, and how it is read from the ledger, the users' event logs and the list of faults.

Times are seconds since the epoch. All nodes of the dev cluster are containers of one machine, so there is one clock. A job is called
by its id in the queue, `cluster.proc`; an executor by the name of its pod.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EXECUTING, EVICTED, TERMINATED, ABORTED, HELD = "001", "004", "005", "009", "012"
DISCONNECTED, RECONNECTED, GAVE_UP = "022", "023", "024"
"""Codes of the events in a job's log."""

_EVENT = re.compile(r"(\d{3}) \((\d+)\.(\d+)\.\d+\) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ")
_SLOT = re.compile(r"^\s+SlotName: \S+@([^.\s]+)", re.MULTILINE)
_NORMAL = "Normal termination (return value 0)"


@dataclass(frozen=True)
class Run:
    """One process of a job, as its own lines tell: begun, alive every second, ended where it came so far."""

    job: str
    token: str
    host: str
    began: float
    last: float
    """Its last sign of life."""
    ended: bool


@dataclass(frozen=True)
class Event:
    """One event of a user's log; its time is cut to the second."""

    job: str
    code: str
    time: float
    host: str | None = None
    normal: bool = False
    """Ended by itself with status 0."""


@dataclass(frozen=True)
class Fault:
    """Something that was done to the cluster, from just before it was done until after it was undone."""

    number: int
    kind: str
    target: str
    began: float
    ended: float
    victims: tuple[str, ...] = ()
    """Executors whose runs it may interrupt."""
    grace: float = 0.0
    """Seconds after its beginning in which it may interrupt none: the time that a drain is given."""
    lasting: float = 0.0
    """Seconds after its end and its grace in which it still may."""
    reports: bool = False
    """Whether it may end a schedd, and with it a shadow that had not written down yet that its job ended."""
    failed: str = ""
    """Why it could not be done, or not wholly."""


@dataclass(frozen=True)
class History:
    """All that is known of a run of chaos."""

    submitted: frozenset[str]
    """Jobs that condor_submit acknowledged."""
    runs: tuple[Run, ...]
    events: tuple[Event, ...]
    outputs: Mapping[str, str]
    """The run whose last line is at the end of a job's output, by job."""
    faults: tuple[Fault, ...] = field(default=())


def read_runs(lines: Iterable[str]) -> list[Run]:
    """Return the runs that lines of JSON tell of, in any order and told any number of times; a line cut off is left out."""
    found: dict[tuple[str, str], Run] = {}
    for line in lines:
        said = _line(line)
        if said is None:
            continue
        job, token, time = str(said["job"]), str(said["run"]), float(said["time"])
        now = Run(job, token, str(said["host"]), time, time, said["kind"] == "end")
        before = found.get((job, token), now)
        found[job, token] = Run(
            *(job, token, now.host),
            min(before.began, now.began),
            max(before.last, now.last),
            before.ended or now.ended,
        )
    return sorted(found.values(), key=lambda run: (run.job, run.began))


def read_outputs(lines: Iterable[str]) -> dict[str, str]:
    """Return by job the run that wrote an end into its output."""
    said = [one for line in lines if (one := _line(line)) is not None]
    return {str(one["job"]): str(one["run"]) for one in said if one["kind"] == "end"}


def _line(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, dict) and {"job", "run", "host", "kind", "time"} <= said.keys() else None


def read_events(text: str) -> list[Event]:
    """Return the events of users' logs, put one behind the other, in their order; their times are UTC.

    An event ends where the next one begins: the shadow that wrote it may have died on the way.
    """
    heads = list(_EVENT.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [_event(head, text[head.end() : end]) for head, end in zip(heads, ends, strict=True)]


def _event(head: re.Match[str], body: str) -> Event:
    code, cluster, proc, when = head.groups()
    slot = _SLOT.search(body)
    return Event(
        f"{int(cluster)}.{int(proc)}",
        code,
        datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp(),
        slot.group(1) if slot else None,
        code == TERMINATED and _NORMAL in body,
    )

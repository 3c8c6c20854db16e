"""The promise, as a pure function: what a history holds that must not be.

Each job completes exactly once for its user, never has two runs at a time, and is never lost; a run is interrupted only where a fault
killed its executor, or where the time that a drain was given is over. A run that came to its end is repeated only where its executor, or
the schedd that had to write the end down, was killed: its user sees one completion, the world outside sees two runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from .history import DISCONNECTED, EXECUTING, GAVE_UP, RECONNECTED, TERMINATED, Event, Fault, History, Run

LOG_SECONDS = 1.0
"""The times of a log are cut to the second."""
EARLY_SECONDS = 5.0
"""By which a run may begin before its start is in the log."""

T = TypeVar("T", Run, Event)


class Clause(StrEnum):
    """The clauses of the promise."""

    LOST = "lost"
    TWICE = "completed twice"
    OVERLAP = "two runs at a time"
    NEEDLESS = "interrupted without a cause"
    REPEATED = "ended and ran again without a cause"
    UNKNOWN = "ran without being submitted"


@dataclass(frozen=True)
class Violation:
    """A job for which a clause does not hold, and what tells so."""

    job: str
    clause: Clause
    text: str

    def __str__(self) -> str:
        return f"job {self.job}: {self.clause}: {self.text}"


@dataclass(frozen=True)
class Interruption:
    """The time between the last sign of life of a run that is not the last of its job and the beginning of the next one."""

    host: str | None
    began: float
    last: float
    next: float
    ended: bool = False
    """The run came to its end, which nobody wrote down."""

    def causes(self, faults: Iterable[Fault]) -> list[Fault]:
        """Return the faults that may have interrupted it: while it was on their executor, in the time in which they may."""
        return [
            fault
            for fault in faults
            if (self.host in fault.victims or (self.ended and fault.reports))
            and fault.began + fault.grace <= self.next
            and self.last <= fault.ended + fault.grace + fault.lasting
        ]


def violations(history: History) -> list[Violation]:
    """Return what is wrong, by job and clause; empty where the promise was kept."""
    runs, events = _by_job(history.runs), _by_job(history.events)
    found: list[Violation] = []
    for job in sorted(history.submitted, key=_order):
        mine, told = runs.get(job, []), events.get(job, [])
        found += _lost(job, mine, told, history.outputs.get(job))
        found += _twice(job, mine, told)
        found += _overlaps(job, mine)
        found += _needless(job, mine, told, history.faults)
    strangers = sorted(runs.keys() - history.submitted, key=_order)
    return found + [Violation(job, Clause.UNKNOWN, _runs(runs[job])) for job in strangers]


def interruptions(runs: Sequence[Run], events: Sequence[Event]) -> list[Interruption]:
    """Return the interruptions of one job: those that its runs tell of, and its log's of starts that no run tells of."""
    by_ledger = [Interruption(one.host, one.began, one.last, later.began, one.ended) for one, later in pairwise(runs)]
    starts = _starts(events)
    told = {_start_of(run, starts) for run in runs}
    by_log = [
        Interruption(one.host, one.time, one.time, later.time + LOG_SECONDS)
        for one, later in pairwise(starts)
        if one not in told
    ]
    return by_ledger + by_log


def _starts(events: Sequence[Event]) -> list[Event]:
    """Return the events of starts: a shadow that has reconnected writes one more for the run that it found."""
    before: str | None = None
    found = []
    for event in events:
        if event.code == EXECUTING and before != RECONNECTED:
            found.append(event)
        before = event.code if event.code in {EXECUTING, RECONNECTED, DISCONNECTED, GAVE_UP} else before
    return found


def _start_of(run: Run, starts: Sequence[Event]) -> Event | None:
    """Return the start in the log that a run belongs to: the last one before it, or else the first one soon after."""
    there = [start for start in starts if start.host == run.host]
    before = [start for start in there if start.time <= run.began]
    after = [start for start in there if run.began < start.time <= run.began + EARLY_SECONDS]
    return next(iter([*before[-1:], *after[:1]]), None)


def _lost(job: str, runs: Sequence[Run], events: Sequence[Event], output: str | None) -> Iterator[Violation]:
    ends = [event for event in events if event.code == TERMINATED]
    if not ends:
        last = f"its log ends with {events[-1].code}" if events else "it has no log"
        yield Violation(job, Clause.LOST, f"never completed: {last}; {_runs(runs)}")
    elif not all(event.normal for event in ends):
        yield Violation(job, Clause.LOST, f"did not end by itself with status 0; {_runs(runs)}")
    elif output is None:
        yield Violation(job, Clause.LOST, f"completed without its output; {_runs(runs)}")
    elif output not in {run.token for run in runs if run.ended}:
        yield Violation(job, Clause.LOST, f"its output is that of {output}, which did not end; {_runs(runs)}")


def _twice(job: str, runs: Sequence[Run], events: Sequence[Event]) -> Iterator[Violation]:
    ends = [event.time for event in events if event.code == TERMINATED]
    if len(ends) > 1:
        yield Violation(job, Clause.TWICE, f"its log says so at {', '.join(f'{time:.0f}' for time in ends)}")
    for run in runs:
        if ends and run.last > ends[0] + LOG_SECONDS:
            yield Violation(job, Clause.TWICE, f"completed at {ends[0]:.0f}, and a run was seen after; {_runs(runs)}")
            return


def _overlaps(job: str, runs: Sequence[Run]) -> Iterator[Violation]:
    latest: Run | None = None
    for run in runs:
        if latest is not None and run.began < latest.last:
            yield Violation(job, Clause.OVERLAP, _runs([latest, run]))
        if latest is None or run.last > latest.last:
            latest = run


def _needless(job: str, runs: Sequence[Run], events: Sequence[Event], faults: Sequence[Fault]) -> Iterator[Violation]:
    for one in interruptions(runs, events):
        if not one.causes(faults):
            text = f"on {one.host}, from {one.began:.1f}, last seen {one.last:.1f}, again from {one.next:.1f}"
            yield Violation(job, Clause.REPEATED if one.ended else Clause.NEEDLESS, text)


def _runs(runs: Sequence[Run]) -> str:
    said = [
        f"{run.token} on {run.host} {run.began:.1f} to {run.last:.1f}{' (ended)' if run.ended else ''}" for run in runs
    ]
    return "runs: " + ("; ".join(said) or "none")


def _by_job(found: Iterable[T]) -> dict[str, list[T]]:
    """Return what belongs to each job: runs by their beginning, events in the order of their log."""
    result: defaultdict[str, list[T]] = defaultdict(list)
    for one in found:
        result[one.job].append(one)
    for mine in result.values():
        mine.sort(key=lambda one: one.began if isinstance(one, Run) else 0.0)
    return dict(result)


def _order(job: str) -> tuple[int, ...]:
    return tuple(int(part) for part in job.split("."))

"""What a run came to, in Markdown."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .history import EVICTED, GAVE_UP, RECONNECTED, Event, Fault, History, Run
from .judge import Clause, Interruption, Violation, interruptions

_HEAD = """# Chaos

Written by `make chaos`. Two users submit clusters of jobs while tormentors kill, freeze, stop, scale, edit and cut off whatever the seed
says. What must never show is said in `tests/chaos/judge.py`: for each job the lines that its runs gave to a ledger outside of the
cluster, the user's event log, the job's output and the list of faults are held against each other. A run may be interrupted by a
fault that kills its executor, or by a drain whose time is over, and by nothing else.

"""


@dataclass(frozen=True)
class Figures:
    """The size of a run."""

    command: str
    commit: str
    seed: int
    minutes: float


def document(figures: Figures, history: History, found: Sequence[Violation]) -> str:
    """Return the document."""
    jobs = Counter(one.clause for one in {(v.job, v.clause): v for v in found}.values())
    causes = _causes(history)
    rows = [
        ("jobs", len(history.submitted)),
        ("runs", len(history.runs)),
        ("faults", sum(not fault.failed for fault in history.faults)),
        ("starters that reconnected (023)", _count(history.events, RECONNECTED)),
        ("executors given up (024)", _count(history.events, GAVE_UP)),
        ("evictions (004)", _count(history.events, EVICTED)),
        (
            "runs that ended and were repeated, their schedd or executor killed",
            sum(one.ended for one, _ in causes_of(history)),
        ),
        ("longest wait of an interrupted job", _longest(history)),
        *((clause.value, jobs[clause]) for clause in Clause),
    ]
    head = f"`{figures.command}` at {figures.commit}, seed {figures.seed}, {figures.minutes:.0f} minutes:\n\n"
    return (
        _HEAD
        + head
        + _table(("", ""), rows)
        + "\n"
        + _table(("fault", "done", "failed", "runs interrupted"), _kinds(history.faults, causes))
    )


def causes_of(history: History) -> list[tuple[Interruption, list[Fault]]]:
    """Return every interruption that the ledger tells of, with the faults that may have caused it."""
    runs: defaultdict[str, list[Run]] = defaultdict(list)
    for run in history.runs:
        runs[run.job].append(run)
    return [(one, one.causes(history.faults)) for mine in runs.values() for one in interruptions(mine, ())]


def _causes(history: History) -> Counter[str]:
    """Count interruptions by the kind of their nearest cause."""
    found: Counter[str] = Counter()
    for one, faults in causes_of(history):
        nearest = min(faults, key=lambda fault: abs(fault.began + fault.grace - one.last), default=None)
        found[nearest.kind if nearest else "none"] += 1
    return found


def _longest(history: History) -> str:
    waits = [one.next - one.last for one, _ in causes_of(history)]
    return f"{max(waits):.0f} s" if waits else "none"


def _count(events: Iterable[Event], code: str) -> int:
    return sum(event.code == code for event in events)


def _kinds(faults: Sequence[Fault], causes: Counter[str]) -> list[tuple[object, ...]]:
    done = Counter(fault.kind for fault in faults if not fault.failed)
    failed = Counter(fault.kind for fault in faults if fault.failed)
    return [
        (kind, done[kind], failed[kind], causes[kind]) for kind in sorted(done.keys() | failed.keys() | causes.keys())
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)

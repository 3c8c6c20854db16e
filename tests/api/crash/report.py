"""The table of a search, in Markdown."""

from collections.abc import Sequence

from .faults import KILLS, Fault
from .row import MORE_EVENTS, MORE_WRITES, Row

_HEAD = """# Crash table

Written by `make crash`; what is held is said in `tests/api/crash/search.py`. At every request that the operator makes in a step
everything happens once: the process is killed before it, after it, or so that it takes effect late; it is answered 409, 422, 429,
500, not at all, or too late. (Of the faults after which a read is simply tried again, one at each read by turns; `--thorough` tries
all.) Storms are runs with up to six such faults, requests in an order of chance, old listings, and events that come late, twice or
out of order.

"""
_COLUMNS = (
    *(
        "scenario",
        "requests of each step, undisturbed",
        "points",
        "kills",
        "refusals",
        "silences",
        "old lists",
        "storms",
    ),
    *("not reached", "more writes, events", "differences"),
)


def table(rows: Sequence[Row], share: float, seconds: float) -> str:
    """Return the document."""
    lines = [_line(row) for row in rows]
    indices = sum(len(row.indices) for row in rows)
    points, faults = sum(row.points for row in rows), sum(sum(row.by_fault.values()) for row in rows)
    failures = sum(len(row.failures) for row in rows)
    part = "all of them" if share >= 100 else f"a seeded share of {share:g} % of what there is to try"
    foot = (
        f"\n{part[0].upper()}{part[1:]}: {indices} requests, {points} points, {faults} faults, {failures} differences, "
        f"{seconds / 60:.0f} minutes. A point fails above {MORE_WRITES} more writes or {MORE_EVENTS} more events for each fault than the "
        f"undisturbed run has.\n"
    )
    head = ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    return _HEAD + "\n".join([*head, *lines]) + "\n" + foot


def _line(row: Row) -> str:
    calls = ", ".join(f"{step} {count}" for step, count in row.calls.items())
    silent = (Fault.TIMEOUT, Fault.RESET, Fault.CUT)
    refused = (Fault.CONFLICT, Fault.INVALID, Fault.BUSY, Fault.BROKEN)
    counts = [sum(row.by_fault.get(fault, 0) for fault in kind) for kind in (KILLS, refused, silent, (Fault.AGED,))]
    cells = [
        row.scenario,
        calls,
        row.points,
        *counts,
        row.storms,
        row.unreached,
        f"{row.more_writes}, {row.more_events}",
        len(row.failures),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"

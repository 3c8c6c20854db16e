"""What came of a scenario."""

from dataclasses import dataclass, field

MORE_WRITES = 8
MORE_EVENTS = 3
"""Than an undisturbed run, for each fault."""


@dataclass
class Row:
    """What came of a scenario."""

    scenario: str
    calls: dict[str, int] = field(default_factory=dict)
    """Requests of an undisturbed run, by step."""
    wanted: int = 0
    """Points to try."""
    points: int = 0
    """Points that were tried."""
    unreached: int = 0
    """Points at requests that no run had, as it was shorter."""
    indices: set[tuple[str, int]] = field(default_factory=set)
    by_fault: dict[str, int] = field(default_factory=dict)
    """Faults that came about."""
    storms: int = 0
    more_writes: int = 0
    more_events: int = 0
    failures: list[str] = field(default_factory=list)

"""Figures as a table for people and as JSON for programs."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured quantity: every value of the run, and what it is held to."""

    part: str
    name: str
    unit: str
    values: tuple[float, ...]
    limit: float | None = None
    aim: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the median keeps the limit and the aim; empty where there is neither."""
        if self.limit is not None and self.median > self.limit:
            return "missed"
        if self.aim is not None and self.median > self.aim:
            return "within the limit"
        return "" if self.limit is None and self.aim is None else "met"

    @property
    def line(self) -> str:
        """The figure in one line."""
        spread = "" if len(self.values) == 1 else f" ({number(min(self.values))} … {number(max(self.values))})"
        words = ", ".join(filter(None, (self.verdict, self.note)))
        return f"{self.name}: {number(self.median)} {self.unit}".rstrip() + spread + (f" [{words}]" if words else "")

    def record(self) -> dict[str, Any]:
        """Return the figure as JSON holds it."""
        fields: dict[str, Any] = {"part": self.part, "name": self.name, "unit": self.unit, "values": list(self.values)}
        fields |= {"median": self.median, "minimum": min(self.values), "maximum": max(self.values)}
        optional = {"limit": self.limit, "aim": self.aim, "note": self.note or None, "verdict": self.verdict or None}
        return fields | {key: value for key, value in optional.items() if value is not None}


class Results:
    """Takes figures as they come, and tells each at once: what was measured stays if a later part fails."""

    def __init__(self, say: Callable[[str], None], repeats: int | None = None) -> None:
        self._say = say
        self._repeats = repeats
        self.figures: list[Figure] = []

    def repeats(self, usual: int) -> int:
        """Return how often to measure: as usual, or as asked for."""
        return self._repeats or usual

    def add(self, *figures: Figure) -> None:
        """Take figures."""
        for figure in figures:
            self.figures.append(figure)
            self._say(f"  {figure.line}")


def ratios(values: Sequence[float], references: Sequence[float]) -> tuple[float, ...]:
    """Return each value over the reference that was measured next to it."""
    return tuple(value / reference for value, reference in zip(values, references, strict=True))


def number(value: float) -> str:
    """Return a number with three significant digits, whole ones as they are."""
    if value == int(value):
        return str(int(value))
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table that reads well as it is."""
    rows = [("part", "figure", "median", "spread", "of", "limit", "aim", "verdict", "note")]
    for figure in figures:
        spread = "" if len(figure.values) == 1 else f"{number(min(figure.values))} … {number(max(figure.values))}"
        limit, aim = ("" if bound is None else number(bound) for bound in (figure.limit, figure.aim))
        median = f"{number(figure.median)} {figure.unit}".rstrip()
        rows.append(
            (figure.part, figure.name, median, spread, str(len(figure.values)), limit, aim, figure.verdict, figure.note)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def document(circumstances: Mapping[str, Any], figures: Iterable[Figure]) -> str:
    """Return the JSON of a run."""
    records = [figure.record() for figure in figures]
    return json.dumps({"circumstances": dict(circumstances), "figures": records}, indent=2, ensure_ascii=False) + "\n"


def figures_of(text: str) -> list[Figure]:
    """Return the figures in the JSON of a run."""
    fields = ("part", "name", "unit", "limit", "aim", "note")
    return [
        Figure(values=tuple(record["values"]), **{field: record[field] for field in fields if field in record})
        for record in json.loads(text)["figures"]
    ]

"""Tables of flows: who reaches what, written for people, compared with what was seen."""

from collections.abc import Mapping

from .network import Source, Target
from .prober import BLOCKED

OPEN, SHUT, UNASKED = "open", "shut", "."
NODE = "node"
"""Row of a source on a node; the table tells a target's own node from another one, as Calico always lets a node reach its pods."""

Table = Mapping[str, Mapping[str, str]]


def parse(text: str) -> Table:
    """Return the words of a table by row and column; columns are separated by blanks, names of rows end at the first bar."""
    header, *lines = [line for line in text.strip().splitlines() if line.strip("-+ ")]
    columns = header.replace("|", " ").split()[1:]
    table = {}
    for line in lines:
        name, _, words = line.partition("|")
        table[name.strip()] = dict(zip(columns, words.replace("|", " ").split(), strict=True))
    return table


def row_of(source: Source, target: Target) -> str:
    """Return the row of a table that speaks of a source and a target."""
    if source.row != NODE:
        return source.row
    return "own node" if source.node == target.node else "another node"


def plan(table: Table, sources: list[Source], targets: list[Target]) -> dict[Source, list[Target]]:
    """Return which source is to try which targets: all that the table has a word for, but no pod itself."""
    return {
        source: [
            target
            for target in targets
            if table[row_of(source, target)][target.column] != UNASKED and target.pod != source.pod
        ]
        for source in sources
    }


def differences(table: Table, row: str, seen: Mapping[tuple[Source, Target], str]) -> list[str]:
    """Return what was seen otherwise than a row of the table says."""
    found = []
    for (source, target), outcome in seen.items():
        if row_of(source, target) == row:
            word = table[row][target.column]
            if outcome != {OPEN: target.admitted, SHUT: BLOCKED}[word]:
                found.append(f"{source.name} -> {target}: {outcome}, should be {word}")
    return found

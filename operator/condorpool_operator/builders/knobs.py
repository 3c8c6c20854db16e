"""Which settings the operator owns, and lines of a user's configuration that would get around that; pure text.

The owned file is read last, so a plain owned knob of a user's loses by itself. A knob with a subsystem or local name in front, such as
`MASTER.DAEMON_LIST`, beats the plain one wherever it stands, and `include` reads what nobody checked, or runs a command as root
(docs/design/htcondor.md, Traps).
"""

import functools
import re
from collections.abc import Iterator

from .. import naming
from .config import render

_ASSIGNMENT = re.compile(r"^\s*([^\s=:@#]+)\s*[:@+]?=")
_INCLUDE = re.compile(r"^\s*include\b", re.IGNORECASE)
_ANY = {"pool": "x", "trust_domain": "x", "manager_host": "x", "group": "x"}


@functools.cache
def owned_knobs() -> frozenset[str]:
    """Return the names, in capitals, of all settings in the owned files of all roles."""
    files = (render(f"{role}-operator.conf.j2", **_ANY) for role in (naming.MANAGER, naming.SUBMITTER, naming.EXECUTOR))
    return frozenset(knob.upper() for text in files for _, line in _lines(text) if (knob := _knob(line)))


def findings(text: str) -> list[str]:
    """Return what is refused in a file of a user's configuration: "line 3: MASTER.DAEMON_LIST ...", without the value."""
    found = []
    for number, line in _lines(text):
        _, dot, last = (_knob(line) or "").upper().rpartition(".")
        if _INCLUDE.match(line):
            found.append(f"line {number}: include is refused: put the text itself into the ConfigMap")
        elif dot and last in owned_knobs():
            found.append(f"line {number}: {_knob(line)} is refused: the operator owns {last}, remove the line")
    return found


def _knob(line: str) -> str | None:
    match = _ASSIGNMENT.match(line)
    return match.group(1) if match else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines as HTCondor reads them, continued ones joined, with the number of the first."""
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        start = start or number
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield start, joined
            start, joined = 0, ""
    if joined:
        yield start, joined

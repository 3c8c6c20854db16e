"""`pool-config-check ROLE DIRECTORY`, or `pool-config-check -` with JSON on both ends."""

import json
import os
import sys
from typing import Any

from .judge import READERS, Finding, judge

LARGEST = 4 * 1024 * 1024
USAGE = "usage: pool-config-check manager|submitter|executor DIRECTORY | -"


def main() -> int:
    """Exit code: 0 nothing is wrong (or, with `-`, it was judged), 1 something is, 2 cannot judge."""
    arguments = sys.argv[1:]
    if arguments == ["-"]:
        return _answer(sys.stdin.buffer.read(LARGEST + 1))
    if len(arguments) != 2 or arguments[0] not in READERS:
        print(USAGE)
        return 2
    found = judge(arguments[0], _read(arguments[1]))
    for finding in found:
        print(finding.text())
    return 1 if found else 0


def _read(directory: str) -> dict[str, str]:
    """The files of a mounted ConfigMap."""
    files = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not name.startswith(".") and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                files[name] = file.read()
    return files


def _answer(asked: bytes) -> int:
    try:
        role, files = _question(asked)
    except (ValueError, KeyError, TypeError, AttributeError):
        print(json.dumps({"error": "not a question: role and files as JSON, at most 4 MiB"}))
        return 2
    print(json.dumps({"findings": [_fields(finding) for finding in judge(role, files)]}))
    return 0


def _question(asked: bytes) -> tuple[str, dict[str, str]]:
    if len(asked) > LARGEST:
        raise ValueError("too large")
    question = json.loads(asked)
    role, files = question["role"], question["files"]
    if role not in READERS or not all(
        isinstance(text, str) and name == os.path.basename(name) and name for name, text in files.items()
    ):
        raise ValueError("malformed")
    return role, files


def _fields(finding: Finding) -> dict[str, Any]:
    return {"file": finding.file, "line": finding.line, "knob": finding.knob, "message": finding.message}

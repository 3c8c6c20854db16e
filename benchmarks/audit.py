"""The API server's audit log: who asked for what, and when to the microsecond. The judge of all counts and of the short times."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

ALL_REQUESTS: list[dict[str, Any]] = [
    {"level": "Request", "namespaces": ["recorded"], "verbs": ["patch"]},
    {"level": "Metadata"},
]
"""Rules of an audit policy: every request by its metadata, what is applied in one namespace with its body."""

DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Request:
    """One answered request."""

    user: str
    agent: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    uri: str
    code: int
    received: float
    answered: float
    body: dict[str, Any] | None

    @classmethod
    def parse(cls, line: str) -> Self:
        """Return the request in a line of the log."""
        entry = json.loads(line)
        target = entry.get("objectRef", {})
        return cls(
            user=entry["user"]["username"],
            agent=entry.get("userAgent", ""),
            verb=entry["verb"],
            resource=target.get("resource", ""),
            subresource=target.get("subresource", ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            uri=entry["requestURI"],
            code=entry.get("responseStatus", {}).get("code", 0),
            received=_seconds(entry["requestReceivedTimestamp"]),
            answered=_seconds(entry["stageTimestamp"]),
            body=entry.get("requestObject"),
        )

    @property
    def by_operator(self) -> bool:
        """Whether the operator asked for objects or for a change: watches and looks at what the server serves do not count."""
        return self.user == "operator" and self.verb != "watch" and bool(self.resource)

    @property
    def is_write(self) -> bool:
        """Whether the request asks for a change."""
        return self.verb in WRITES

    @property
    def is_creation(self) -> bool:
        """Whether the request creates a CondorPool."""
        return self.verb == "create" and self.resource == "condorpools"

    @property
    def applies_object(self) -> bool:
        """Whether the request creates or changes an object of a pool: neither a status nor an event nor the pool itself."""
        return self.is_write and not self.subresource and self.resource not in ("events", "condorpools")


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


class AuditLog:
    """Reads what was added to the log since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = self._offset = 0

    def skip(self) -> None:
        """Forget what is there."""
        self._start = self._offset = self._path.stat().st_size if self._path.exists() else 0

    def rewind(self) -> None:
        """Go back to where `skip` was called last."""
        self._offset = self._start

    def read(self) -> list[Request]:
        """Return the answered requests since the last call."""
        return list(self._new())

    def _new(self) -> Iterator[Request]:
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                if b'"stage":"ResponseComplete"' in line:
                    yield Request.parse(line.decode())

    def read_until(self, marker: str) -> list[Request]:
        """Return the answered requests since the last call, up to one for an object called `marker`."""
        found: list[Request] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not any(request.name == marker for request in found):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no request for {marker} in the audit log within {DEADLINE_SECONDS:.0f} s")
            found += self._new()
        return found


def most_in_flight(requests: list[Request]) -> int:
    """Return how many of the requests were under way at the same time."""
    edges = sorted([(one.received, 1) for one in requests] + [(one.answered, -1) for one in requests])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most

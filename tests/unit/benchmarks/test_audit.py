"""The audit log is read as counts and times need it."""

import json
from pathlib import Path
from typing import Any

from benchmarks.audit import AuditLog, Request, most_in_flight


def entry(name: str, resource: str = "secrets", verb: str = "patch", **more: Any) -> dict[str, Any]:
    return {
        "stage": "ResponseComplete",
        "user": {"username": "operator"},
        "verb": verb,
        "requestURI": f"/api/v1/namespaces/a/{resource}/{name}",
        "objectRef": {"resource": resource, "namespace": "a", "name": name, **more},
        "responseStatus": {"code": 201},
        "requestReceivedTimestamp": "2026-01-01T00:00:01.000250Z",
        "stageTimestamp": "2026-01-01T00:00:01.003250Z",
    }


def request(**fields: Any) -> Request:
    return Request.parse(json.dumps(entry("x", **fields)))


def write(path: Path, *entries: dict[str, Any], end: str = "\n") -> None:
    with path.open("a") as log:
        log.write("\n".join(json.dumps(one, separators=(",", ":")) for one in entries) + end)


def test_times_keep_their_microseconds() -> None:
    assert round(1e6 * (request().answered - request().received)) == 3000


def test_only_objects_count_as_applied() -> None:
    assert request().applies_object
    assert not request(verb="get").applies_object
    assert not request(resource="condorpools", subresource="status").applies_object
    assert not request(resource="pods", subresource="status").applies_object
    assert not request(resource="events", verb="create").applies_object


def test_what_the_operator_watches_or_discovers_is_no_work() -> None:
    assert request(verb="list").by_operator
    assert not request(verb="watch").by_operator
    assert not request(resource="").by_operator


def test_a_line_is_read_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    assert log.read() == []
    write(path, entry("one"), {"stage": "ResponseStarted"}, entry("two"), end="")
    assert [one.name for one in log.read()] == ["one"]
    write(path, end="\n")
    assert [one.name for one in log.read()] == ["two"]
    write(path, entry("three"))
    log.skip()
    write(path, entry("four"))
    assert [one.name for one in log.read_until("four")] == ["four"]
    log.rewind()
    assert [one.name for one in log.read()] == ["four"]


def test_requests_under_way_at_once_are_counted() -> None:
    def between(received: float, answered: float) -> Request:
        fields = vars(request()) | {"received": received, "answered": answered}
        return Request(**fields)

    assert most_in_flight([between(0, 1), between(1, 2), between(1.5, 3)]) == 2
    assert most_in_flight([]) == 0

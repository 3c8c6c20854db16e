"""A change finds the pools that it concerns, and no change is missed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from condorpool_operator import watching
from condorpool_operator.discovery import CalicoApi
from condorpool_operator.ends import Ledger
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import CONFIG_MAP, POD, SERVICE, Kind
from condorpool_operator.kube import Kube
from condorpool_operator.labels import COMPONENT, POOL
from condorpool_operator.watching import ReferenceIndex, Watches


def test_pools_are_found_by_what_they_refer_to() -> None:
    index = ReferenceIndex()
    index.note(("x", "one"), {"Secret": {"john"}, "ConfigMap": {"knobs"}})
    index.note(("x", "two"), {"Secret": {"john"}})
    index.note(("y", "one"), {"Secret": {"john"}})
    assert index.pools("Secret", "x", "john") == {("x", "one"), ("x", "two")}
    assert index.pools("ConfigMap", "x", "john") == frozenset()


def test_dropped_references_are_forgotten() -> None:
    index = ReferenceIndex()
    index.note(("x", "one"), {"Secret": {"john"}})
    index.note(("x", "one"), {"Secret": {"jane"}})
    assert index.pools("Secret", "x", "john") == frozenset()
    index.forget(("x", "one"))
    assert index.pools("Secret", "x", "jane") == frozenset()


class Server:
    """A stand-in for the API server: each watch plays the next of its scripts, the last one for ever."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.since: list[str] = []
        self.versions = 0
        self.ended = asyncio.Event()

    async def version(self, kind: Kind, namespace: str | None) -> str:
        self.versions += 1
        return f"{self.versions}00"

    async def list_metadata(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[dict[str, Any]]:
        yield {"namespace": "physics", "name": "gone-0", "labels": {POOL: "gone"}}

    async def resources(self, api_version: str) -> set[str]:
        return set()

    async def watch_metadata(
        self, kind: Kind, namespace: str | None, selector: str, version: str
    ) -> AsyncIterator[dict[str, Any]]:
        self.since.append(version)
        if not self.scripts:
            self.ended.set()
            await asyncio.Event().wait()
        for step in self.scripts.pop(0):
            if isinstance(step, ApiError):
                raise step
            yield step

    async def watch_objects(
        self, kind: Kind, namespace: str | None, selector: str, version: str
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        async for change in self.watch_metadata(kind, namespace, selector, version):
            yield cast("tuple[str, dict[str, Any]]", change)


def change(version: int, name: str, pool: str | None = None) -> dict[str, Any]:
    labels = {} if pool is None else {"labels": {POOL: pool}}
    return {"namespace": "physics", "name": name, "resourceVersion": str(version), **labels}


BOOKMARK = {"resourceVersion": "150"}
TOO_OLD = ApiError(410, "Expired", "too old resource version")
AWAY = ApiError(0, "Unreachable", "no answer")


async def play(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, *scripts: list[Any], ledger: Ledger | None = None
) -> tuple[Server, list[tuple[str, str]], int]:
    """Return what a watch asked the server, the pools that it named, and how often it asked for all of them."""
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.0)
    server = Server(*scripts)
    named: list[tuple[str, str]] = []
    resyncs: list[int] = []
    references = ReferenceIndex()
    references.note(("physics", "reader"), {"ConfigMap": {"knobs"}})
    watches = Watches(
        cast("Kube", server), references, ledger or Ledger(), CalicoApi(), named.append, lambda: resyncs.append(1)
    )
    task = asyncio.create_task(watches._watch(kind, None))
    await asyncio.wait_for(server.ended.wait(), 5)
    task.cancel()
    return server, named, len(resyncs)


async def test_a_child_names_its_pool_and_a_reference_the_pools_that_refer_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = [change(101, "demo-manager-config", "demo"), BOOKMARK, change(102, "knobs"), change(103, "other")]
    _, named, _ = await play(monkeypatch, CONFIG_MAP, changes)
    assert named == [("physics", "demo"), ("physics", "reader")]


async def test_a_watch_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    server, _, resyncs = await play(monkeypatch, SERVICE, [change(101, "a", "demo"), BOOKMARK], [AWAY], [])
    assert server.since == ["100", "150", "150", "150"]
    assert (server.versions, resyncs) == (1, 1)


async def test_where_changes_may_be_missed_all_pools_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    server, _, resyncs = await play(monkeypatch, SERVICE, [TOO_OLD])
    assert server.since == ["100", "200"]
    assert resyncs == 2


async def test_pods_name_pools_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    _, named, _ = await play(monkeypatch, POD, [])
    assert named == [("physics", "gone")]


async def test_the_last_words_of_an_executor_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = {
        "terminated": {"startedAt": "2027-01-15T08:00:00Z", "finishedAt": "2027-01-15T08:10:00Z", "exitCode": 137}
    }
    running = {"running": {"startedAt": "2027-01-15T08:00:00Z"}}

    def pod(version: int, component: str, state: dict[str, Any]) -> dict[str, Any]:
        meta = change(version, f"demo-{component}-0", "demo") | {"uid": component}
        meta["labels"][COMPONENT] = component
        ready = [{"type": "Ready", "status": "True"}]
        status = {"podIP": "10.0.0.1", "containerStatuses": [{"name": "condor", "state": state}], "conditions": ready}
        return {"metadata": meta, "spec": {"nodeName": "n1"}, "status": status}

    ledger = Ledger()
    steps = [
        step
        for component in ("executor", "submitter")
        for step in (("ADDED", pod(101, component, running)), ("DELETED", pod(102, component, killed)))
    ]
    _, named, _ = await play(
        monkeypatch,
        POD,
        [*steps, ("BOOKMARK", {"metadata": BOOKMARK}), ("ADDED", pod(151, "executor", running))],
        ledger=ledger,
    )
    assert named.count(("physics", "demo")) == 5
    told = ledger.due(("physics", "demo"), "", 1_800_000_600)
    assert told == "gone 10.0.0.1 1800000000 1800000599 demo-executor-0 executor n1\n"

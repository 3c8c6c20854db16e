"""A node that ends takes its executors along, and one that is merely silent does not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from condorpool_operator import nodes
from condorpool_operator.ends import OUT_OF_SERVICE, Ledger, Life
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import NODE, Kind
from condorpool_operator.kube import Kube
from condorpool_operator.nodes import NodeWatch

POOL = ("physics", "demo")
UNREACHABLE = {"spec": {"taints": [{"key": "node.kubernetes.io/unreachable"}]}}
OUT = {"spec": {"taints": [{"key": OUT_OF_SERVICE}]}}


class Server:
    """A stand-in for the API server with some nodes; `change` shows one in the watch."""

    def __init__(self, **found: dict[str, Any]) -> None:
        self.nodes = found
        self.asked: list[str] = []
        self.changes: asyncio.Queue[Any] = asyncio.Queue()

    async def version(self, kind: Kind, namespace: str | None) -> str:
        return "100"

    async def watch_metadata(
        self, kind: Kind, namespace: str | None, selector: str, version: str
    ) -> AsyncIterator[dict[str, Any]]:
        while True:
            step = await self.changes.get()
            if isinstance(step, ApiError):
                raise step
            yield {"name": step, "resourceVersion": "101"} if step else {"resourceVersion": "102"}

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any] | None:
        assert (kind, namespace) == (NODE, None)
        self.asked.append(name)
        if name == "silent":
            raise ApiError(500, "InternalError", "no etcd")
        return self.nodes.get(name)


async def run(monkeypatch: pytest.MonkeyPatch, server: Server, *changes: Any, well: bool, node: str = "n1") -> set[Any]:
    """Return the pools that were named while these changes were shown, with one executor on a node."""
    monkeypatch.setattr(nodes, "PERIOD_SECONDS", 0.001)
    monkeypatch.setattr(nodes, "PAUSE_SECONDS", 0.001)
    ledger = Ledger()
    named: set[Any] = set()
    ledger.seen(POOL, Life("u1", "demo-cpu-0", node, "10.0.0.1", 5, ready=True, ended=()))
    ledger.seen(POOL, Life("u1", "demo-cpu-0", node, "10.0.0.1", 5, well, ()))
    task = asyncio.create_task(NodeWatch(cast("Kube", server), ledger, named.add).run())
    for change in changes:
        server.changes.put_nowait(change)
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    return named


async def test_nothing_is_asked_while_executors_are_well(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(n2={})
    assert await run(monkeypatch, server, "n2", "", "n3", well=True) == set()
    assert server.asked == []


@pytest.mark.parametrize(("node", "gone"), [({"spec": {}}, False), (UNREACHABLE, False), (OUT, True), (None, True)])
async def test_a_node_is_asked_for_when_an_executor_is_not_well(
    monkeypatch: pytest.MonkeyPatch, node: dict[str, Any] | None, gone: bool
) -> None:
    server = Server() if node is None else Server(n1=node)
    assert await run(monkeypatch, server, well=False) == ({POOL} if gone else set())
    assert server.asked == ["n1"]


async def test_a_change_of_a_node_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(n1=UNREACHABLE)
    assert await run(monkeypatch, server, "n1", "n1", well=True) == set()
    assert server.asked == ["n1", "n1"]
    assert await run(monkeypatch, Server(), "n1", well=True) == {POOL}


async def test_an_api_server_that_fails_says_nothing_about_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    assert await run(monkeypatch, server, well=False, node="silent") == set()
    assert len(server.asked) > 1
    failures = [ApiError(410, "Expired", "too old"), ApiError(403, "Forbidden", "no right"), "n1"]
    assert await run(monkeypatch, Server(), *failures, well=True) == {POOL}

"""Cordoned nodes are followed; an unclear answer changes nothing that was known."""

import asyncio
from collections.abc import AsyncIterator, Set
from typing import Any, cast

import pytest

from condorpool_operator import cordons
from condorpool_operator.cordons import CORDONED, Cordons
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import NODE, Kind
from condorpool_operator.kube import Kube

Answer = set[str] | ApiError
FORBIDDEN = ApiError(403, "Forbidden", "no")


class Server:
    """A stand-in for the API server: each list gets the next answer, and after each but the last the watch tells of a change."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.ended = asyncio.Event()

    async def version(self, kind: Kind, namespace: str | None) -> str:
        assert (kind, namespace) == (NODE, None)
        return "1"

    async def list_metadata(
        self, kind: Kind, namespace: str | None, selector: str, fields: str
    ) -> AsyncIterator[dict[str, Any]]:
        assert fields == CORDONED
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        for name in sorted(answer):
            yield {"name": name}

    async def watch_metadata(
        self, kind: Kind, namespace: str | None, selector: str, version: str, fields: str
    ) -> AsyncIterator[dict[str, Any]]:
        yield {"resourceVersion": "2"}
        while self.answers:
            yield {"name": "some-node", "resourceVersion": "3"}
        self.ended.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"a"}], [{"a"}]),
        ([set(), {"a"}, {"a"}, {"a", "b"}, set()], [set(), {"a"}, {"a", "b"}, set()]),
        ([{"a"}, ApiError(500, "", "oops"), {"a"}], [{"a"}]),
        ([ApiError(0, "", "no answer"), {"a"}], [{"a"}]),
        ([{"a"}, FORBIDDEN, {"a"}], [{"a"}]),
        ([{"a"}, FORBIDDEN, FORBIDDEN, FORBIDDEN, {"a"}], [{"a"}]),
        ([FORBIDDEN, {"a"}], [{"a"}]),
    ],
)
async def test_each_change_is_told_once(
    answers: list[Answer], expected: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cordons, "PAUSE_SECONDS", 0.0)
    told: list[frozenset[str] | None] = []
    server = Server(*answers)
    followed = Cordons(cast("Kube", server), lambda _: told.append(followed.nodes))
    assert followed.nodes == frozenset()
    task = asyncio.create_task(followed.run())
    await asyncio.wait_for(server.ended.wait(), 5)
    task.cancel()
    assert [None if one is None else set(one) for one in told] == expected


@pytest.mark.parametrize("known", [[], [{"a"}]])
async def test_a_right_that_stays_away_is_none(known: list[set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cordons, "PAUSE_SECONDS", 0.0)
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr(cordons, "monotonic", lambda: next(clock))
    told: list[frozenset[str] | None] = []
    server = Server(*known, *[FORBIDDEN] * 3, ApiError(500, "", "oops"), *[FORBIDDEN] * 4, {"b"})
    followed = Cordons(cast("Kube", server), lambda _: told.append(followed.nodes))
    task = asyncio.create_task(followed.run())
    await asyncio.wait_for(server.ended.wait(), 5)
    task.cancel()
    assert told == [*map(frozenset, known), frozenset(), {"b"}]


async def test_the_nodes_that_changed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cordons, "PAUSE_SECONDS", 0.0)
    named: list[Set[str] | None] = []
    server = Server({"a"}, {"a", "b"}, {"b", "c"})
    task = asyncio.create_task(Cordons(cast("Kube", server), named.append).run())
    await asyncio.wait_for(server.ended.wait(), 5)
    task.cancel()
    assert named == [None, {"b"}, {"a", "c"}]


async def test_before_the_first_clear_answer_nothing_is_known() -> None:
    followed = Cordons(cast("Kube", Server(ApiError(500, "", "oops"))), lambda _: None)
    task = asyncio.create_task(followed.run())
    await asyncio.sleep(0.05)
    assert followed.nodes is None
    task.cancel()

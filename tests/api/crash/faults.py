"""The boundary between the operator and the API server, at which requests are counted and made to fail.

It stands in the place of the client library's ApiClient below `condorpool_operator.kube`: the operator does not know of it.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient


class Fault(StrEnum):
    """What can happen to a request, or to the process that sends it."""

    KILL_BEFORE = "killed before"
    """The process ends before the request leaves it."""
    KILL_AFTER = "killed after"
    """The process ends when the API server has answered, before it sees the answer."""
    LATE = "killed, arrives late"
    """The process ends, and the request takes effect when the next process has done its work."""
    CONFLICT = "409"
    INVALID = "422"
    BUSY = "429"
    BROKEN = "500"
    TIMEOUT = "timeout"
    """No answer, and nothing happened."""
    RESET = "reset"
    """No answer, and the request took effect."""
    CUT = "cut off"
    """Half an answer, and the request took effect."""
    AGED = "aged list"
    """A list answers as it did before the change under test."""


KILLS = frozenset({Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.LATE})
STATUS = {
    Fault.CONFLICT: (409, "Conflict"),
    Fault.INVALID: (422, "Invalid"),
    Fault.BUSY: (429, "TooManyRequests"),
    Fault.BROKEN: (500, "InternalError"),
}

ORDER = "ORDER"
"""Method of what is told to the pool's agent."""
AGAIN = (Fault.CONFLICT, Fault.BUSY, Fault.BROKEN, Fault.TIMEOUT)
"""After which the operator tries again by itself."""


@dataclass(frozen=True)
class Call:
    """One request, as it left the operator."""

    method: str
    path: str
    query: Mapping[str, str]

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def lists(self) -> bool:
        """Whether it asks for the objects of a kind."""
        return not self.writes and "limit" in self.query

    def __str__(self) -> str:
        namespaced = self.path.partition("/namespaces/")[2].partition("/")[2]
        return f"{self.method} {namespaced or self.path}"


def faults_of(call: Call, number: int | None = None) -> tuple[Fault, ...]:
    """Return what can happen to a request; to one that reads, and has a number, refusals and silence of the same kind by turns.

    A read has no effect that an answer could hide, and a kill after it is one before the next.
    """
    if call.method == ORDER:
        return (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.TIMEOUT, Fault.RESET)
    if call.writes:
        return (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.LATE, *STATUS, Fault.TIMEOUT, Fault.RESET, Fault.CUT)
    again = AGAIN if number is None else (AGAIN[number % len(AGAIN)],)
    return (Fault.KILL_BEFORE, Fault.INVALID, *again, *((Fault.AGED,) if call.lists else ()))


Plan = Callable[[int, Call], Fault | None]
"""From the number of a request since the change under test, and the request, to what happens to it."""


def nothing(_index: int, _call: Call) -> None:
    """Let everything be."""


@dataclass
class Ledger:
    """What the API server and the operators of one namespace said to each other, over all their lives."""

    calls: list[Call] = field(default_factory=list)
    hits: list[tuple[Call, Fault]] = field(default_factory=list)
    writes: int = 0
    """Requests that changed something, by the server's word."""
    events: int = 0
    deleted_pods: set[str] = field(default_factory=set)
    secrets: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By name and UID of a Secret: digests of all contents that the operator gave it."""
    lists: dict[str, bytes] = field(default_factory=dict)
    """Last answer of every list."""
    aged: dict[str, bytes] = field(default_factory=dict)
    """The same, as it was when the ledger was opened."""

    def open(self) -> None:
        """Begin a new page; what is known of Secrets and lists stays."""
        self.calls, self.hits, self.writes, self.events, self.deleted_pods = [], [], 0, 0, set()
        self.aged = dict(self.lists)

    def note(self, call: Call, status: int, body: bytes) -> None:
        """Note an answer of the server's."""
        if call.lists:
            self.lists[_address(call)] = body
        if not call.writes or status >= 400:
            return
        self.writes += 1
        self.events += call.method == "POST" and call.path.endswith("/events")
        obj = orjson.loads(body)
        if call.method == "DELETE" and "/pods/" in call.path:
            self.deleted_pods.add(call.path)
        if call.method == "PATCH" and obj.get("kind") == "Secret":
            meta = obj["metadata"]
            digest = hashlib.sha256(json.dumps(obj.get("data"), sort_keys=True).encode()).hexdigest()
            self.secrets.setdefault((meta["name"], meta["uid"]), set()).add(digest)


class Views:
    """Answers to lists that are still true: nobody but the operator and the test writes here, and both tell of it."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, Any]] = {}
        self._off = False
        self._writes = 0

    def get(self, path: str, address: str) -> Any:
        """Return the answer to a list of a collection, where it is known."""
        return None if self._off else self._answers.get(path, {}).get(address)

    def trust(self, *, yes: bool) -> None:
        """Forget everything; remember nothing until told otherwise, as a write of a killed process may still be on its way."""
        self._answers, self._off = {}, not yes

    @property
    def mark(self) -> int:
        """A number that changes with every write."""
        return self._writes

    def put(self, path: str, address: str, answer: Any, mark: int) -> None:
        """Remember an answer that was asked for at a mark, unless something was written meanwhile."""
        if mark == self._writes:
            self._answers.setdefault(path, {})[address] = answer

    def written(self, path: str) -> None:
        """Forget what may have changed by a request to write, before it is sent and when it is answered."""
        self._writes += 1
        parts = path.split("/")
        self._answers.pop("/".join(parts[: parts.index("namespaces") + 3]), None)


class NoViews(Views):
    """Nothing is remembered: others write too."""

    def put(self, path: str, address: str, answer: Any, mark: int) -> None:
        """Forget."""


class Response:
    """An answer that no server gave, or one that was changed on its way."""

    def __init__(self, status: int, reason: str, body: bytes, *, cut: bool = False) -> None:
        self.status = status
        self.reason = reason
        self._body = body
        self._cut = cut

    async def read(self) -> bytes:
        """Return the body; fail where it breaks off."""
        if self._cut:
            raise aiohttp.ClientPayloadError("broke off")
        return self._body

    def close(self) -> None:
        """Do nothing: nothing is held."""


@dataclass(frozen=True)
class Answer:
    """What the client library returns."""

    response: Any


@dataclass(frozen=True)
class Held:
    """A request on its way."""

    call: Call
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any


class Boundary:
    """One life of an operator as the API server knows it: requests one at a time, in the order in which they are made.

    With `shuffle` they leave in an order of that chance, several at a time, as they may from any other process.
    """

    def __init__(
        self,
        server: ApiClient,
        canned: Mapping[str, bytes],
        views: Views,
        ledger: Ledger,
        plan: Plan,
        shuffle: random.Random | None,
    ) -> None:
        self._server = server
        self._views = views
        self._canned = canned
        self._ledger = ledger
        self._turn = asyncio.Lock()
        self._shuffle = shuffle
        self.plan = plan
        self.dead = False
        self.died: Callable[[], None] = lambda: None
        self._watching = 0
        self._more_watched = asyncio.Event()
        self.held: Held | None = None

    @property
    def done(self) -> tuple[int, int]:
        """Requests that changed something, and requests that failed, so far."""
        return self._ledger.writes, len(self._ledger.hits)

    async def watched(self, count: int) -> None:
        """Wait until so many watches are there."""
        while self._watching < count:
            await self._more_watched.wait()
            self._more_watched.clear()

    def disturb(self, plan: Plan, shuffle: random.Random | None) -> None:
        """Take another plan."""
        self.plan, self._shuffle = plan, shuffle

    async def order(self, what: str, effect: Callable[[], None]) -> None:
        """Tell the pool's agent something; TimeoutError where it does not answer."""
        if self.dead:
            await _for_ever()
        call = Call(ORDER, what, {})
        fault = self.plan(len(self._ledger.calls), call)
        self._ledger.calls.append(call)
        if fault is not None:
            self._ledger.hits.append((call, fault))
        if fault not in (Fault.KILL_BEFORE, Fault.TIMEOUT):
            effect()
        if fault in KILLS:
            self.dead = True
            self.died()
            await _for_ever()
        if fault is not None:
            raise TimeoutError

    async def deliver(self) -> None:
        """Let the request that was on its way take effect, whatever comes of it."""
        held, self.held = self.held, None
        if held is not None:
            await self.send(held)

    @property
    def configuration(self) -> Any:
        """Configuration of the client library."""
        return self._server.configuration

    async def update_params_for_auth(self, *arguments: Any) -> None:
        """Add the token to the headers."""
        await self._server.update_params_for_auth(*arguments)

    async def close(self) -> None:
        """Do nothing: the connections are shared by many lives."""

    async def call_api(
        self, method: str, url: str, headers: dict[str, str], body: Any, *, _request_timeout: float
    ) -> Answer:
        """Send a request, or make of it what the plan says."""
        parts = urlsplit(url)
        call = Call(method, parts.path, {key: one[0] for key, one in parse_qs(parts.query).items()})
        request = Held(call, method, url, headers, body)
        if self.dead:
            await _for_ever()
        if "watch" in call.query:
            self._watching += 1
            self._more_watched.set()
            await _for_ever()
        if (canned := self._startup(request)) is not None:
            return Answer(Response(200, "OK", canned))
        if self._shuffle is not None:
            await asyncio.sleep(self._shuffle.random() * 0.01)
            return await self._one(request)
        async with self._turn:
            return await self._one(request)

    def _startup(self, request: Held) -> bytes | None:
        """Return the answer to what a process asks once when it begins: it is the same every time, and not counted."""
        if request.call.path in self._canned:
            return self._canned[request.call.path]
        if "as=PartialObjectMetadataList" in request.headers["Accept"]:
            return b'{"metadata": {"resourceVersion": "1"}, "items": []}'
        return None

    async def _one(self, request: Held) -> Answer:
        if self.dead:
            await _for_ever()
        call = request.call
        fault = self.plan(len(self._ledger.calls), call)
        self._ledger.calls.append(call)
        if fault is None:
            return await self.send(request)
        self._ledger.hits.append((call, fault))
        return await self._fail(request, fault)

    async def _fail(self, request: Held, fault: Fault) -> Answer:
        if fault in STATUS:
            code, reason = STATUS[fault]
            status = {"kind": "Status", "code": code, "reason": reason, "message": "injected"}
            return Answer(Response(code, reason, json.dumps(status).encode()))
        if fault is Fault.AGED:
            aged = self._ledger.aged.get(_address(request.call))
            return await self.send(request) if aged is None else Answer(Response(200, "OK", aged))
        if fault is Fault.TIMEOUT:
            raise TimeoutError
        if fault in KILLS:
            if fault is Fault.KILL_AFTER:
                await self.send(request)
            self.held = request if fault is Fault.LATE else None
            self.dead = True
            self.died()
            await _for_ever()
        await self.send(request)
        if fault is Fault.RESET:
            raise aiohttp.ServerDisconnectedError
        return Answer(Response(200, "OK", b"{", cut=True))

    async def send(self, request: Held) -> Answer:
        """Send a request and take the whole answer; lists are not asked for again where nothing was written, except in a storm."""
        call, mark = request.call, self._views.mark
        known = self._views.get(call.path, _address(call)) if call.lists and self._shuffle is None else None
        if known is not None:
            return Answer(Response(200, "OK", known))
        if call.writes:
            self._views.written(call.path)
        answer = await self._server.call_api(
            request.method, request.url, dict(request.headers), request.body, _request_timeout=20
        )
        body = await answer.response.read()
        if call.writes:
            self._views.written(call.path)
        elif call.lists and answer.response.status == 200:
            self._views.put(call.path, _address(call), body, mark)
        self._ledger.note(call, answer.response.status, body)
        return Answer(Response(answer.response.status, answer.response.reason, body))


def _address(call: Call) -> str:
    return f"{call.path}?{sorted(call.query.items())}"


async def _for_ever() -> None:
    await asyncio.Event().wait()

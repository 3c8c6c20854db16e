"""What the pools' agents tell: asked by a small poller, so that no reconcile ever waits for a pool.

Each pool's agent is asked by the name of its manager's Service, over TLS with the one certificate that the operator made, and with a bearer
token. No connection is kept: asyncio's TLS holds 256 KiB of buffers for each, and an answer is wanted every quarter of a minute at most.
Only what status shows of an answer is remembered. Nothing here survives a restart, and nothing has to: until an agent has answered, or
has been silent for a while, status goes on saying what it said.
"""

import asyncio
import contextlib
import hashlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Set
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import orjson

from .naming import AGENT_PORT
from .pool import PoolKey
from .seen import Jobs, Sight, Slots, State
from .workqueue import WorkQueue

logger = logging.getLogger(__name__)

LEAST_SECONDS = 15.0
"""Between two questions to one agent, whatever happens: status has new figures no more often."""
ASK_SECONDS = 17.0
"""Between two questions while answers change."""
_EARLIEST = 0.9
"""Of the time that it is told, the queue may let so much pass only."""
LONGEST_SECONDS = 60.0
"""Between two questions while answers do not change."""
SILENCE_SECONDS = 60.0
"""For which an agent may be silent, and a daemon absent from the collector, before status says so: restarts take less."""
REQUEST_SECONDS = 15.0
"""For one question: a check of configuration takes up to ten in the agent."""
WORKERS = 8
"""Agents asked at the same time."""
_MOST_BYTES = 16 * 1024 * 1024
_DAEMONS = ("Scheduler", "Negotiator")


class AgentError(Exception):
    """An agent that did not answer, or not as an agent does."""


@dataclass(frozen=True)
class Target:
    """Where an agent is: host, SHA-256 of its certificate, and the token that opens it."""

    host: str
    fingerprint: bytes
    token: str = field(repr=False)

    @classmethod
    def of(cls, host: str, certificate: bytes, token: bytes) -> "Target":
        """Return the target with this certificate (PEM)."""
        encoded = ssl.PEM_cert_to_DER_cert(certificate.decode())
        return cls(host, hashlib.sha256(encoded).digest(), token.decode())


@dataclass(frozen=True)
class ConfigFinding:
    """What HTCondor has against a configuration: file and line (empty and 0 where it has no place), setting if there is one, words."""

    file: str
    line: int
    knob: str
    message: str


Answer = tuple[State | None, str]
"""A state, or None where it is as it was, and its entity tag."""


class AgentClient:
    """Asks agents, one connection to a question."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, target: Target, tag: str) -> Answer:
        """Return the agent's answer; AgentError where there is none."""
        async with self._request("GET", target, "/v1/state", {"If-None-Match": tag}) as response:
            if response.status == 304:
                return None, tag
            return read_state(await _body(response)), response.headers.get("ETag", "")

    async def check(self, target: Target, role: str, files: Mapping[str, str]) -> list[ConfigFinding]:
        """Return what the pool's HTCondor has against the files of a role; AgentError where that cannot be told now."""
        body = orjson.dumps({"role": role, "files": dict(files)})
        async with self._request("POST", target, "/v1/config/check", data=body) as response:
            said: dict[str, Any] = orjson.loads(await _body(response))
            return [
                ConfigFinding(str(one["file"]), int(one["line"]), str(one["knob"]), str(one["message"]))
                for one in said["findings"]
            ]

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        target: Target,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give an agent's good answer to read; whatever fails on the way, in the reading too, is an AgentError without details."""
        url = f"https://{target.host}:{AGENT_PORT}{path}"
        authorized = {"Authorization": f"Bearer {target.token}", **(headers or {})}
        pinned = aiohttp.Fingerprint(target.fingerprint)
        request = self._open().request(method, url, headers=authorized, data=data, ssl=pinned, allow_redirects=False)
        try:
            async with request as response:
                if response.status not in (200, 304):
                    raise AgentError(f"status {response.status}")
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
            raise AgentError(type(error).__name__) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=WORKERS, force_close=True, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for part in response.content.iter_chunked(65536):
        body += part
        if len(body) > _MOST_BYTES:
            raise ValueError("too long")
    return body


def read_state(body: bytes) -> State:
    """Return what status shows of an agent's answer; ValueError, KeyError or TypeError where it is none."""
    said: dict[str, Any] = orjson.loads(body)
    present = {pod for pod, startd in said["executors"].items() if not startd["stale"]}
    present |= {one["pod"] for one in said["daemons"] if one["type"] in _DAEMONS and not one["stale"]}
    return State(
        slots={group: _slots(figures) for group, figures in said["groups"].items()},
        jobs=Jobs(*(int(said["jobs"][name]) for name in ("idle", "running", "held"))),
        present=frozenset(present),
        broken={
            pod: tuple(names) for pod, startd in said["executors"].items() if (names := startd.get("brokenMounts"))
        },
    )


def _slots(figures: dict[str, Any]) -> Slots:
    return Slots(*(int(figures[name]) for name in ("total", "claimed", "draining")))


@dataclass
class _Watch:
    """What is known of one agent; times are of the monotonic clock."""

    failing: float | None
    """Since when it does not answer."""
    target: Target | None = None
    asked: float = -math.inf
    told: float = -math.inf
    delay: float = ASK_SECONDS
    tag: str = ""
    state: State | None = None
    absent: dict[str, float] = field(default_factory=dict)
    """Who is missed in the answers, and since when."""

    def confirms(self, name: str, now: float) -> bool:
        """Return whether somebody has been missed for a while, also in an answer well after the first miss."""
        since = self.absent[name]
        return now - since >= SILENCE_SECONDS and self.told - since >= SILENCE_SECONDS / 2


class Poller:
    """Asks the agents of the pools that are followed, and calls `changed` when status may have something new to show."""

    def __init__(
        self, client: AgentClient, changed: Callable[[PoolKey], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._client = client
        self._changed = changed
        self._clock = clock
        self._watches: dict[PoolKey, _Watch] = {}
        self._queue: WorkQueue[PoolKey] = WorkQueue(LONGEST_SECONDS)

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._queue.work(self._ask))

    def forget(self, key: PoolKey) -> None:
        """Ask a pool's agent no more, and know nothing of it."""
        self._watches.pop(key, None)

    def sight(self, key: PoolKey, target: Target | None, expected: Set[str]) -> Sight:
        """Follow a pool, and return what its agent told.

        `target` is None while the agent's container is not ready: then it is not asked, and counts as silent. `expected` are the pods
        whose daemons ought to be in the collector.
        """
        now = self._clock()
        watch = self._watches.setdefault(key, _Watch(failing=now))
        if target != watch.target:
            watch.target = target
            if target is not None:
                self._queue.add(key)
            elif watch.failing is None:
                watch.failing = now
        silence = math.inf if watch.failing is None else watch.failing + SILENCE_SECONDS - now
        if silence <= 0:
            watch.state, watch.tag, watch.absent = None, "", {}
        if watch.state is None:
            return Sight(None, silent=silence <= 0, look_again=silence if silence > 0 else math.inf)
        missed = expected - watch.state.present
        if missed - watch.absent.keys():
            self._queue.add(key)
        watch.absent = {name: watch.absent.get(name, now) for name in missed}
        confirmed = frozenset(name for name in missed if watch.confirms(name, now))
        doubted = frozenset(missed - confirmed)
        again = ASK_SECONDS if doubted else math.inf
        return Sight(watch.state, silent=False, absent=confirmed, doubted=doubted, look_again=min(again, silence))

    async def _ask(self, key: PoolKey) -> float | None:
        """Ask one agent; return seconds until the next question, None where it is not followed."""
        watch = self._watches.get(key)
        if watch is None or watch.target is None:
            return None
        now = self._clock()
        if (early := watch.asked + LEAST_SECONDS - now) > 0:
            return early / _EARLIEST
        watch.asked, known = now, watch.state
        try:
            state, watch.tag = await self._client.ask(watch.target, watch.tag)
        except AgentError as error:
            logger.debug("%s/%s: the agent did not answer: %s", *key, error)
            if watch.failing is None:
                watch.failing = now
                self._changed(key)
            return ASK_SECONDS
        news = watch.failing is not None or state not in (None, known)
        watch.state, watch.told, watch.failing = state or known, now, None
        watch.delay = ASK_SECONDS if news or watch.absent else min(2 * watch.delay, LONGEST_SECONDS)
        if news:
            self._changed(key)
        return watch.delay

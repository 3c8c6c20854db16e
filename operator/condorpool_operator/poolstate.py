"""What the pools' agents tell: asked by a small poller, so that no reconcile ever waits for a pool.

Each pool's agent is asked by the name of its manager's Service, over TLS with the one certificate that the operator made, and with a bearer
token. No connection is kept: asyncio's TLS holds 256 KiB of buffers for each, and an answer is wanted every quarter of a minute at most.
Only what status shows of an answer is remembered, and the drains of executors. Nothing here survives a restart, and nothing has to: until
an agent has answered, or has been silent for a while, status goes on saying what it said.
"""

import asyncio
import contextlib
import hashlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Literal

import aiohttp
import orjson

from .naming import AGENT_PORT
from .pool import PoolKey
from .seen import Executor, Jobs, Sight, Slots, State
from .workqueue import WorkQueue

logger = logging.getLogger(__name__)

LEAST_SECONDS = 15.0
"""Between two questions to one agent that nobody hurries, whatever happens; status has new figures no more often."""
ASK_SECONDS = 17.0
"""Between two questions while answers change."""
HURRY_SECONDS = 3.0
"""Between two questions while somebody hurries."""
LEASE_SECONDS = 60.0
"""For which a call of `hurry` holds."""
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

Drain = Literal["ours", "foreign"]
_DRAINS: Mapping[str | None, Drain | None] = {None: None, "ours": "ours", "foreign": "foreign"}


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

    async def drain(self, target: Target, pod: str, reason: str, *, quick: bool = False) -> Drain | None:
        """Have an executor drained, and return whose drain it is under then; somebody else's is left as it is.

        Jobs that run end by themselves, or at once where it is to be quick. `reason` is a printable line of at most 200 characters. Nothing
        happens where it drains already. AgentError where that cannot be done now, or the outcome is not known.
        """
        body = orjson.dumps({"pod": pod, "reason": reason, "quick": quick})
        async with self._request("POST", target, "/v1/drain", data=body) as response:
            return _DRAINS[orjson.loads(await _body(response))["drain"]]

    async def undrain(self, target: Target, pod: str) -> None:
        """End the drain of an executor; AgentError where that cannot be done now, or somebody else drains it."""
        async with self._request("POST", target, "/v1/undrain", data=orjson.dumps({"pod": pod})) as response:
            await _body(response)

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
    """Return what is kept of an agent's answer; ValueError, KeyError or TypeError where it is none."""
    said: dict[str, Any] = orjson.loads(body)
    executors = {pod: _executor(startd) for pod, startd in said["executors"].items() if not startd["stale"]}
    present = set(executors)
    present |= {one["pod"] for one in said["daemons"] if one["type"] in _DAEMONS and not one["stale"]}
    return State(
        slots={group: _slots(figures) for group, figures in said["groups"].items()},
        jobs=Jobs(*(int(said["jobs"][name]) for name in ("idle", "running", "held"))),
        present=frozenset(present),
        broken={
            pod: tuple(names) for pod, startd in said["executors"].items() if (names := startd.get("brokenMounts"))
        },
        executors=executors,
        drains=all("drained" in startd for startd in said["executors"].values()),
    )


def _executor(startd: Mapping[str, Any]) -> Executor:
    """Return what is kept of an executor; an agent from before drains tells of none."""
    since = startd.get("drainSince")
    return Executor(
        claimed=int(startd["claimed"]),
        drain=_DRAINS[startd.get("drain")],
        drained=startd.get("drained") is True,
        drain_since=None if since is None else int(since),
        host=str(startd["address"]).removeprefix("<").partition(":")[0],
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
    answer: State | None = None
    """What the agent said last."""
    state: State | None = None
    """The same with figures that may be somewhat older."""
    counted: float = -math.inf
    """When the figures last changed."""
    hurried: float = -math.inf
    """Until when somebody is in a hurry."""
    absent: dict[str, float] = field(default_factory=dict)
    """Who is missed in the answers, and since when."""

    def confirms(self, name: str, now: float) -> bool:
        """Return whether somebody has been missed for a while, also in an answer well after the first miss."""
        since = self.absent[name]
        return now - since >= SILENCE_SECONDS and self.told - since >= SILENCE_SECONDS / 2

    def show(self, answer: State, known: State | None, now: float) -> bool:
        """Take an answer over, but no new figures so soon after others; return whether that is news."""
        shown = answer
        if known is None or (answer.slots, answer.jobs) != (known.slots, known.jobs):
            if known is not None and now - self.counted < LEAST_SECONDS:
                shown = replace(answer, slots=known.slots, jobs=known.jobs)
            else:
                self.counted = now
        self.answer, self.state = answer, shown
        return known is None or _told(shown) != _told(known)


def _told(state: State) -> tuple[object, ...]:
    """Return what somebody has to look at when it changes: all but the jobs that come and go on single executors."""
    drains = {pod: replace(one, claimed=0) for pod, one in state.executors.items()}
    return state.slots, state.jobs, state.present, state.broken, drains


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

    def hurry(self, key: PoolKey) -> None:
        """Ask a pool's agent every HURRY_SECONDS for the next LEASE_SECONDS: somebody waits for a drain, and calls again while he does."""
        watch = self._watches.get(key)
        if watch is None:
            return
        now = self._clock()
        if watch.hurried <= now:
            self._queue.add(key)
        watch.hurried = now + LEASE_SECONDS

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
            watch.answer, watch.state, watch.tag, watch.absent = None, None, "", {}
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
        hurried = watch.hurried > now
        if (early := watch.asked + (_EARLIEST * HURRY_SECONDS if hurried else LEAST_SECONDS) - now) > 0:
            return early / _EARLIEST
        watch.asked, known, former = now, watch.state, watch.answer
        try:
            state, watch.tag = await self._client.ask(watch.target, watch.tag)
        except AgentError as error:
            logger.debug("%s/%s: the agent did not answer: %s", *key, error)
            if watch.failing is None:
                watch.failing = now
                self._changed(key)
            return ASK_SECONDS
        answer = state or former
        news = watch.failing is not None
        if answer is not None:
            news = watch.show(answer, known, now) or news
        watch.told, watch.failing = now, None
        watch.delay = ASK_SECONDS if news or watch.absent or hurried else min(2 * watch.delay, LONGEST_SECONDS)
        if news:
            self._changed(key)
        return HURRY_SECONDS if hurried else watch.delay

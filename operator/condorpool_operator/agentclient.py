"""The HTTP client of the pools' agents.

Each is asked by the name of its manager's Service, over TLS with the one certificate that the operator made, and with a bearer token. No
connection is kept: asyncio's TLS holds 256 KiB of buffers for each, and an answer is wanted every quarter of a minute at most.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import orjson

from .naming import AGENT_PORT
from .seen import Executor, Jobs, Slots, State

REQUEST_SECONDS = 15.0
"""For one question from its connection on: a check of configuration takes up to ten in the agent."""
MOST_CONNECTIONS = 8
"""At the same time for questions, and as many for orders and checks, so that these keep nobody from looking; more wait for a place."""
_MOST_WORDS = 400
"""Bytes of a refusal."""
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
        self._places = {method: asyncio.Semaphore(MOST_CONNECTIONS) for method in ("GET", "POST")}

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

    async def drain(self, target: Target, pod: str, reason: str, *, quick: bool = False) -> None:
        """Have an executor drained; somebody else's drain is left as it is.

        Jobs that run end by themselves, or at once where it is to be quick and drains for this reason already; where it drains for another
        one, a new drain begins. `reason` is a printable line of at most 200 characters. AgentError where that cannot be done now, or the
        outcome is not known.
        """
        body = orjson.dumps({"pod": pod, "reason": reason, "quick": quick})
        async with self._request("POST", target, "/v1/drain", data=body) as response:
            await _body(response)

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
        """Give an agent's good answer to read; whatever fails on the way, in the reading too, is an AgentError.

        Of a refusal it tells the agent's words, of all else no details.
        """
        url = f"https://{target.host}:{AGENT_PORT}{path}"
        authorized = {"Authorization": f"Bearer {target.token}", **(headers or {})}
        pinned = aiohttp.Fingerprint(target.fingerprint)
        async with self._places[method]:  # whose wait the time limit leaves out
            request = self._open().request(
                method, url, headers=authorized, data=data, ssl=pinned, allow_redirects=False
            )
            try:
                async with request as response:
                    if response.status not in (200, 304):
                        raise AgentError(f"status {response.status}{_words(await response.content.read(_MOST_WORDS))}")
                    yield response
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
                raise AgentError(type(error).__name__) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2 * MOST_CONNECTIONS, force_close=True, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _words(body: bytes) -> str:
    """Return the first line of a refusal, which holds no secret, to be put behind its status."""
    line = body.decode(errors="replace").partition("\n")[0]
    words = "".join(one for one in line if one.isprintable()).strip()
    return f": {words}" if words else ""


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
    since, reason = startd.get("drainSince"), startd.get("drainReason")
    return Executor(
        claimed=int(startd["claimed"]),
        drain=_DRAINS[startd.get("drain")],
        drained=startd.get("drained") is True,
        drain_since=None if since is None else int(since),
        drain_reason=None if reason is None else str(reason),
        host=str(startd["address"]).removeprefix("<").partition(":")[0],
    )


def _slots(figures: dict[str, Any]) -> Slots:
    return Slots(*(int(figures[name]) for name in ("total", "claimed", "draining")))

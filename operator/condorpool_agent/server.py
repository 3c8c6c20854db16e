"""The interface: HTTP over TLS, a bearer token, one request to a connection.

Threads and not an event loop: the work is a child or a socket to wait for, and this costs half of the memory of asyncio's TLS.
"""

import contextlib
import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple

from . import checking, draining, metrics, state
from .collector import Collector, UnavailableError
from .credentials import Credentials
from .draining import Drainer, RefusedError, UnknownError

MOST_CONNECTIONS = 16
"""Served at the same time; more are closed at once. The operator and a monitor need one each."""
SILENCE_SECONDS = 10.0
"""For which a caller may keep the agent waiting."""


class Answer(NamedTuple):
    """What a request is answered with."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = "application/json"
    tag: str | None = None


def refusal(status: HTTPStatus, text: str) -> Answer:
    """Return an answer that says in words what is wrong."""
    return Answer(status, f"{text}\n".encode(), "text/plain; charset=utf-8")


READS = ("/healthz", "/v1/state", "/metrics")
BODIES = {
    "/v1/config/check": checking.MOST_BYTES,
    "/v1/drain": draining.MOST_BYTES,
    "/v1/undrain": draining.MOST_BYTES,
}
"""What is posted, and bytes of a body at most."""
FAILURES: dict[type[Exception], HTTPStatus] = {
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnknownError: HTTPStatus.NOT_FOUND,
    RefusedError: HTTPStatus.CONFLICT,
}


class Interface:
    """What the paths mean; knows no socket."""

    def __init__(self, credentials: Credentials, collector: Collector, drainer: Drainer, checker: Path) -> None:
        self._credentials = credentials
        self._collector = collector
        self._drainer = drainer
        self._checker = checker

    def refuse(self, method: str, path: str, authorization: str) -> Answer | None:
        """Return why a request is not answered, before its body is read; None where it is."""
        if (method, path) == ("GET", "/healthz"):
            return None
        if not self._credentials.opens(authorization, metrics=path == "/metrics"):
            return refusal(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
        known = path in READS if method == "GET" else path in BODIES
        return None if known else refusal(HTTPStatus.NOT_FOUND, "no such resource")

    def answer(self, path: str, known: str = "", body: bytes = b"") -> Answer:
        """Return the answer to a request that is not refused; `known` is the entity tag of what the caller has already."""
        try:
            return self._served(path, known, body)
        except tuple(FAILURES) as error:
            return refusal(FAILURES[type(error)], str(error))

    def _served(self, path: str, known: str, body: bytes) -> Answer:
        match path:
            case "/v1/state":
                return self._state(known)
            case "/metrics":
                return self._metrics()
            case "/v1/config/check":
                return self._check(body)
            case "/v1/drain":
                return self._drain(body)
            case "/v1/undrain":
                return self._undrain(body)
        return Answer(HTTPStatus.OK, b"ok\n", "text/plain")

    def _state(self, known: str) -> Answer:
        found = self._collector.state()
        tag = state.tag(found)
        if tag in (one.strip() for one in known.split(",")):
            return Answer(HTTPStatus.NOT_MODIFIED, tag=tag)
        return Answer(HTTPStatus.OK, json.dumps(found).encode(), tag=tag)

    def _metrics(self) -> Answer:
        """Answer also while the collector is silent: that is worth an alert of its own."""
        try:
            found = self._collector.state()
        except UnavailableError:
            found = None
        return Answer(HTTPStatus.OK, metrics.render(found, self._collector.health()).encode(), metrics.CONTENT_TYPE)

    def _check(self, body: bytes) -> Answer:
        if not checking.is_request(body):
            return refusal(HTTPStatus.BAD_REQUEST, 'JSON is needed: {"role": a role, "files": {name: text}}')
        return Answer(HTTPStatus.OK, json.dumps(checking.check(self._checker, body)).encode())

    def _drain(self, body: bytes) -> Answer:
        order = draining.drain_order(body)
        if order is None:
            what = 'JSON is needed: {"pod": an executor, "reason": one line, "quick": true or false}'
            return refusal(HTTPStatus.BAD_REQUEST, what)
        return Answer(HTTPStatus.OK, json.dumps({"drain": self._drainer.drain(order)}).encode())

    def _undrain(self, body: bytes) -> Answer:
        order = draining.undrain_order(body)
        if order is None:
            return refusal(HTTPStatus.BAD_REQUEST, 'JSON is needed: {"pod": an executor}')
        self._drainer.undrain(order)
        return Answer(HTTPStatus.OK, json.dumps({"drain": None}).encode())


class Server(ThreadingTCPServer):
    """Serves an interface; a connection costs nothing before its thread begins the handshake, and has its thread until it ends."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], interface: Interface, credentials: Credentials) -> None:
        self.interface = interface
        self._credentials = credentials
        self._places = threading.Semaphore(MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or close it where there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Do the handshake, then answer; a probe that only connects, or a caller that goes away, is not worth a word."""
        request.settimeout(SILENCE_SECONDS)
        with (
            contextlib.suppress(OSError),
            self._credentials.context().wrap_socket(request, server_side=True) as secured,
        ):
            super().finish_request(secured, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and writes the interface's answer."""

    server: Server
    timeout = SILENCE_SECONDS

    def do_GET(self) -> None:  # the name that http.server looks for
        self._reply(self._refused("GET") or self._answered())

    def do_POST(self) -> None:
        refused = self._refused("POST")
        self._reply(refused or self._answered_to_body())
        if refused:
            self._discard()

    def _refused(self, method: str) -> Answer | None:
        return self.server.interface.refuse(method, self.path, self.headers.get("Authorization", ""))

    def _answered(self, body: bytes = b"") -> Answer:
        return self.server.interface.answer(self.path, self.headers.get("If-None-Match", ""), body)

    def _answered_to_body(self) -> Answer:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed")
        if int(length) > (most := BODIES[self.path]):
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {most} bytes")
        return self._answered(self.rfile.read(int(length)))

    def _discard(self) -> None:
        """Let a caller who was refused send a little to its end: he would see a broken connection else, and no answer."""
        length = self.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length) <= draining.MOST_BYTES:
            self.rfile.read(int(length))

    def _reply(self, answer: Answer) -> None:
        self.send_response_only(answer.status)  # without a line in the log: callers come all day
        if answer.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if answer.tag is not None:
            self.send_header("ETag", answer.tag)
        if answer.status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

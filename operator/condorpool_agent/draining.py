"""Drains executors and ends drains, by condor_drain with the one identity that may.

A drain is graceful: running jobs end by themselves, no other starts, and the executor stays as it is until somebody ends the drain or the
pod. A quick one gives running jobs MACHINEMAXVACATETIME to end, and only takes the place of a graceful one for the same reason: the time of
jobs runs for one reason. HTCondor refuses a second drain of the same startd, so one that is to become quick, or to have another reason, is
cancelled first; what is matched in the tens of milliseconds between finds the executor draining again.
"""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from .collector import Collector, UnavailableError
from .state import DRAIN_MARK

COMMAND_SECONDS = 6.0
"""For one command, which takes a tenth of a second; a startd that hangs would keep it for twenty."""
SEEN_SECONDS = 3.0
"""For which a command is waited to show in the collector; a startd tells it within a second."""
LOOK_SECONDS = 0.2
MOST_BYTES = 4096
"""Of a request."""

_POD = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REASON = re.compile(r"[ -~]{1,200}")
_SLOT = re.compile(r"slot[0-9_]+@[A-Za-z0-9][-.A-Za-z0-9]*")
_REQUEST = re.compile(r"Request id: ([0-9]+)")
_ALREADY = "Draining already in progress"


class Order(NamedTuple):
    """An executor's pod, and why and how it is to be drained."""

    pod: str
    reason: str = ""
    quick: bool = False


class RefusedError(Exception):
    """What was asked for is not done; the text says why."""


class UnknownError(RefusedError):
    """An executor that the collector does not know."""


def drain_order(body: bytes) -> Order | None:
    """Return the order that a body gives, {"pod", "reason", "quick"}, the last being optional; None where it gives none."""
    said = _fields(body)
    if said is None or not {"pod", "reason"} <= said.keys() <= {"pod", "reason", "quick"}:
        return None
    order = Order(said["pod"], said["reason"], said.get("quick", False))
    if not isinstance(order.reason, str) or not _REASON.fullmatch(order.reason):
        return None
    return order if _is_pod(order.pod) and isinstance(order.quick, bool) else None


def undrain_order(body: bytes) -> Order | None:
    """Return the order that a body gives, {"pod"}; None where it gives none."""
    said = _fields(body)
    return Order(said["pod"]) if said is not None and said.keys() == {"pod"} and _is_pod(said["pod"]) else None


def _fields(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _is_pod(name: object) -> bool:
    return isinstance(name, str) and _POD.fullmatch(name) is not None


class Drainer:
    """Gives the orders, one at a time for each executor; judges by what the collector says at that moment."""

    def __init__(self, collector: Collector, address: str, environment: Callable[[], Mapping[str, str]]) -> None:
        self._collector = collector
        self._address = address
        self._environment = environment
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def drain(self, order: Order) -> str:
        """Have an executor drained, and return whose drain it is under then: "ours" or "foreign", which is left as it is.

        Where jobs are claimed under a drain of ours, another takes its place that is quick, or that begins anew for another reason; nothing
        else is done where it drains already. UnknownError, UnavailableError.
        """
        with self._alone(order.pod):
            found = self._look(order.pod)
            known = found["drainReason"] == order.reason
            as_ordered = not found["claimed"] or (known and not order.quick)
            if found["drain"] == "foreign" or (found["drain"] and as_ordered):
                return str(found["drain"])
            if found["drain"]:
                self._cancel(found)
            how = "-quick" if order.quick and known else "-graceful"
            code, text = self._run(found, "-verbose", how, "-reason", f"{DRAIN_MARK} {order.reason}")
            if code != 0 and _ALREADY not in text:
                raise UnavailableError(f"{order.pod} could not be drained: condor_drain ended with {code}")
            request = _REQUEST.search(text)
            seen = self._seen(
                order.pod, lambda one: one["drain"] and (not request or one["drainRequest"] == request[1])
            )
            if code != 0 and not seen["drain"]:
                raise UnavailableError(f"{order.pod} drains, and the collector does not tell for whom")
            return str(seen["drain"] or "ours")

    def undrain(self, order: Order) -> None:
        """End the drain of an executor, if it is ours; RefusedError where it is not, UnknownError, UnavailableError."""
        with self._alone(order.pod):
            found = self._look(order.pod)
            if found["drain"] == "foreign":
                raise RefusedError(f"{order.pod} is drained by somebody else")
            if found["drain"] == "ours":
                self._cancel(found)
                self._seen(order.pod, lambda one: not one["drain"])

    def _cancel(self, found: Mapping[str, Any]) -> None:
        """End this very drain: another one that has begun since has another id."""
        request = ("-request-id", found["drainRequest"]) if found["drainRequest"] else ()
        code, _ = self._run(found, "-cancel", *request)
        if code != 0:
            raise UnavailableError(f"the drain of {found['slot']} could not be ended: condor_drain ended with {code}")

    def _look(self, pod: str) -> Mapping[str, Any]:
        found = self._collector.executor(pod)
        if found is None or not _SLOT.fullmatch(found["slot"]):
            raise UnknownError(f"the collector knows no executor {pod}")
        return found

    def _seen(self, pod: str, shows: Callable[[Mapping[str, Any]], object]) -> Mapping[str, Any]:
        """Wait a moment for the collector to show something; return what it shows, which may still be the former."""
        deadline = time.monotonic() + SEEN_SECONDS
        while not shows(found := self._look(pod)) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return found

    def _run(self, found: Mapping[str, Any], *arguments: str) -> tuple[int, str]:
        """Run condor_drain on an executor; return its exit status and what it said."""
        command = ["condor_drain", "-pool", self._address, *arguments, found["slot"]]
        try:
            ended = subprocess.run(
                command,
                env=dict(self._environment()),
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{found['slot']} did not answer in {COMMAND_SECONDS:g} s") from None
        except OSError:
            raise UnavailableError("the agent has no identity to drain with") from None
        if ended.returncode != 0:
            sys.stderr.write(
                f"condor_drain of {found['slot']} ended with {ended.returncode}: {ended.stdout[-500:]!a}\n"
            )
        return ended.returncode, ended.stdout

    @contextmanager
    def _alone(self, pod: str) -> Iterator[None]:
        """Be the only one who commands an executor; UnavailableError where somebody does already."""
        with self._lock:
            if pod in self._busy:
                raise UnavailableError(f"{pod} is being commanded already")
            self._busy.add(pod)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(pod)

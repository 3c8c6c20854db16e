"""Who connects to what: sources in pods, on nodes and outside, the targets that they try, and what came of it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

from . import prober
from .kubectl import RUNTIME_FAULT, Kubectl, Object
from .prober import DNS, OPEN, REFUSED, TCP, UDP
from .waiting import NotYetError, wait_for

PROGRAM = ("-I", "-S", "-c", Path(prober.__file__).read_text())
"""Arguments of Python."""

TRY_SECONDS = {TCP: 1.8, UDP: 1.8, DNS: 1.8}
"""Time for one more SYN after a lost one: a lost packet is not a policy."""
WATCH_SECONDS = {TCP: 0.9, UDP: 0.9, DNS: 10.0}
"""Less than the second after which a lost SYN is sent again: an attempt of a watch is one packet. DNS is answered by a program, which may
be late; nobody sends a lost question again."""
PERIOD_SECONDS = 0.05
AT_ONCE = 6
"""Sources that try at the same time: an exec costs a tenth of a second of processor time."""


@dataclass(frozen=True)
class Target:
    """An address and port, and what a table of flows calls it."""

    column: str
    name: str
    address: str
    port: int
    protocol: str = TCP
    pod: str | None = None
    node: str | None = None
    listens: bool = True

    @property
    def admitted(self) -> str:
        """What a source sees that may reach the target."""
        return OPEN if self.listens else REFUSED

    def __str__(self) -> str:
        return f"{self.name} ({self.protocol} {self.address}:{self.port})"


@dataclass(frozen=True)
class Source:
    """A place from which connections are tried, and the command that starts the prober there."""

    row: str
    name: str
    command: tuple[str, ...]
    pod: str | None = None
    node: str | None = None

    def outcomes(self, targets: Sequence[Target]) -> dict[Target, str]:
        """Return what one attempt at each target came to."""
        answer = self._ask("try", {"targets": [_address(target) for target in targets], "seconds": TRY_SECONDS})
        return dict(zip(targets, answer, strict=True))

    def listening(self) -> set[tuple[str, int]]:
        """Return protocol and port of the sockets that others could reach here."""
        return {(protocol, port) for protocol, port in self._ask("listening", {})}

    def start(self, what: str) -> subprocess.Popen[str]:
        """Start the prober here; the request goes to its standard input."""
        return subprocess.Popen([*self.command, what], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)

    def _ask(self, what: str, request: dict[str, Any]) -> Any:
        with self.start(what) as process:
            out, err = process.communicate(json.dumps(request) + "\n", timeout=60)
        if RUNTIME_FAULT in err:
            return self._ask(what, request)
        assert process.returncode == 0, f"{self.name}: {err}"
        return json.loads(out)


def pod_source(row: str, kubectl: Kubectl, pod: Object, container: str = "condor") -> Source:
    """Return a running pod as a source."""
    name = pod["metadata"]["name"]
    command = kubectl.command("exec", "--stdin", name, f"--container={container}", "--", "python3", *PROGRAM)
    return Source(row, f"{row} {name}", command, pod_id(pod), pod["spec"]["nodeName"])


def pod_id(pod: Object) -> str:
    """Return namespace and name of a pod."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def outside() -> Source:
    """Return the machine of the tests, which is in the nodes' network and on none of them."""
    return Source("outside", "outside", (sys.executable, *PROGRAM))


def _address(target: Target) -> tuple[str, str, int]:
    return target.protocol, target.address, target.port


Plan = Mapping[Source, Sequence[Target]]
"""Which source tries what."""


def try_all(plan: Plan) -> dict[tuple[Source, Target], str]:
    """Return what every source saw of its targets, each having tried all of them at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda source: source.outcomes(plan[source]), plan)
        return {
            (source, target): said for source, seen in zip(plan, answers, strict=True) for target, said in seen.items()
        }


def wait_outcomes(wanted: Mapping[Source, Mapping[Target, str]], seconds: float) -> None:
    """Wait until every source sees just this of its targets."""

    def look() -> None:
        seen = try_all({source: list(targets) for source, targets in wanted.items()})
        other = [
            f"{source.name} -> {target}: {said}, not {wanted[source][target]}"
            for (source, target), said in seen.items()
            if said != wanted[source][target]
        ]
        if other:
            raise NotYetError("\n".join(other))

    wait_for("flows", look, seconds)


@dataclass(frozen=True)
class Row:
    """Attempts one after the other that came to the same: when the first and the last began (seconds since the epoch)."""

    outcome: str
    first: float
    last: float
    count: int


@dataclass(frozen=True)
class Flow:
    """What a watch saw of one target from one source."""

    source: Source
    target: Target
    rows: list[Row]

    def other_than(self, outcome: str, excused: tuple[float, float] = (0.0, 0.0)) -> list[tuple[float, str]]:
        """Return when and what came to something else and did not happen within a span of time."""
        first, last = excused
        return [
            (row.first, f"{self.source.name} -> {self.target}: {row.count} times {row.outcome}, until {row.last:.2f}")
            for row in self.rows
            if row.outcome != outcome and not (first <= row.first and row.last <= last)
        ]


class Watch:
    """Sources that try their targets all the time, in the background."""

    def __init__(self, plan: Plan, processes: dict[Source, subprocess.Popen[str]]) -> None:
        self._plan = plan
        self._processes = processes

    def stop(self) -> list[Flow]:
        """End the attempts and return what they came to."""
        flows = []
        for process in self._processes.values():
            _stdin(process).close()
        for source, process in self._processes.items():
            assert process.stdout is not None
            seen = json.loads(process.stdout.read() or "[]")
            process.wait(30)
            assert len(seen) == len(self._plan[source]), f"{source.name}: the watch ended early: {process.returncode}"
            for target, rows in zip(self._plan[source], seen, strict=True):
                flows.append(Flow(source, target, [Row(*row) for row in rows]))
        return flows


@contextmanager
def watching(plan: Plan) -> Iterator[Watch]:
    """Try every target of every source over and over; the first attempts are under way when the block begins."""
    with ExitStack() as stack:
        processes = {}
        for source, targets in plan.items():
            process = stack.enter_context(source.start("watch"))
            stack.callback(process.kill)
            addresses = [_address(target) for target in targets]
            request = {"targets": addresses, "seconds": WATCH_SECONDS, "period": PERIOD_SECONDS}
            _stdin(process).write(json.dumps(request) + "\n")
            _stdin(process).flush()
            processes[source] = process
        for source, process in processes.items():
            assert process.stdout is not None
            assert process.stdout.readline(), f"{source.name}: the watch did not start"
        yield Watch(plan, processes)


def _stdin(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin

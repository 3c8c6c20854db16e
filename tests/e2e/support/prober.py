"""Tries connections, again and again if asked to, and tells what listens.

A program of its own: the tests send its text into pods as the argument of `python3 -c`, and run it beside themselves for what comes
from outside the cluster. So it uses the standard library alone, and talks JSON: one line of request on standard input.

prober try        {"targets": [[protocol, address, port]], "seconds": {protocol: 2}}  -> [outcome]
prober watch      the same with "period": seconds; until standard input ends          -> "started", then [[[outcome, first, last, count]]]
prober listening  {}                                                                  -> [[protocol, port]]
prober serve      {"ports": [port]}, and never ends
prober forward    {"address": address, "upstream": address}: DNS by UDP and TCP, and never ends
"""

import contextlib
import errno
import json
import os
import selectors
import socket
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

OPEN, REFUSED, BLOCKED = "OPEN", "REFUSED", "BLOCKED"
"""Somebody answers; the packet arrived and nobody listens; nothing came back."""

TCP, UDP, DNS = "tcp", "udp", "dns"
"""DNS is a question by UDP that a name server answers; a datagram to a closed port is REFUSED where it may pass."""

LONGEST_SECONDS = 400.0
"""A watch ends by itself when nobody stops it."""

QUESTION = b"\x07\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
STDIN = 0
DNS_PORT = 53
TOTAL_RETRANS = 100
"""Where tcpi_total_retrans is in struct tcp_info."""

STATES = {TCP: "0A", UDP: "07"}
"""How /proc/net calls a socket that waits for others."""
LOOPBACK = ("0100007F", "00000000000000000000000001000000")

Request = dict[str, Any]


class Attempts:
    """Attempts under way, and how each ended: (index of the target, when it began, outcome)."""

    def __init__(self, request: Request, *, one_packet: bool) -> None:
        self.targets: list[tuple[str, str, int]] = request["targets"]
        self.seconds: dict[str, float] = request["seconds"]
        self._one_packet = one_packet
        self.ended: list[tuple[int, float, str]] = []
        self._selector = selectors.DefaultSelector()
        self._began: dict[socket.socket, tuple[int, float]] = {}

    def start(self, index: int) -> None:
        """Begin an attempt; one that the kernel refuses at once is at its end."""
        protocol, address, port = self.targets[index]
        kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
        self._began[sock] = (index, time.time())
        self._selector.register(sock, selectors.EVENT_WRITE if protocol == TCP else selectors.EVENT_READ, sock)
        code = sock.connect_ex((address, port))
        if code not in {0, errno.EINPROGRESS}:
            self._end(sock, code)
        elif protocol != TCP:
            sock.send(QUESTION if protocol == DNS else b"?")

    def turn(self, seconds: float) -> bool:
        """Wait so long for news of the attempts and take it; return whether any is under way."""
        for key, _ in self._selector.select(seconds):
            self._answered(key.data)
        now = time.time()
        for sock, (index, began) in list(self._began.items()):
            if now - began >= self.seconds[self.targets[index][0]]:
                self._end(sock, errno.ETIMEDOUT)
        return bool(self._began)

    def _answered(self, sock: socket.socket) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0 and sock.type == socket.SOCK_DGRAM:
            try:
                sock.recv(512)
            except OSError as error:
                code = error.errno or errno.EIO
        elif sock.type == socket.SOCK_STREAM and self._one_packet and _retransmitted(sock):
            code = errno.ETIMEDOUT
        self._end(sock, code)

    def _end(self, sock: socket.socket, code: int) -> None:
        self._selector.unregister(sock)
        index, began = self._began.pop(sock)
        self.ended.append((index, began, {0: OPEN, errno.ECONNREFUSED: REFUSED}.get(code, BLOCKED)))
        sock.close()


def _retransmitted(sock: socket.socket) -> bool:
    """Return whether the kernel sent a packet again: a program that was held up reads the answer to the second one."""
    information = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANS + 4)
    return bool(int.from_bytes(information[TOTAL_RETRANS:], sys.byteorder))


def try_once(request: Request) -> list[str]:
    """Return the outcome of one attempt per target."""
    attempts = Attempts(request, one_packet=False)
    for index in range(len(attempts.targets)):
        attempts.start(index)
    while attempts.turn(0.05):
        pass
    return [outcome for _, _, outcome in sorted(attempts.ended)]


def watch(request: Request) -> list[list[list[Any]]]:
    """Try each target once per period until standard input ends; return each target's outcomes in the order of their beginnings."""
    attempts = Attempts(request, one_packet=True)
    period, count = request["period"], len(request["targets"])
    stop = selectors.DefaultSelector()
    stop.register(STDIN, selectors.EVENT_READ)
    due = [time.time() + period * index / count for index in range(count)]
    end = time.time() + LONGEST_SECONDS
    _say("started")
    while time.time() < end and not stop.select(0):
        for index in range(count):
            if time.time() >= due[index]:
                due[index] = max(due[index] + period, time.time())
                attempts.start(index)
        attempts.turn(max(0.0, min(due) - time.time()))
    while attempts.turn(0.05):
        pass
    return [_runs([(began, said) for which, began, said in attempts.ended if which == index]) for index in range(count)]


def _runs(attempts: list[tuple[float, str]]) -> list[list[Any]]:
    """Return outcome, first and last beginning and number of each row of equal outcomes."""
    rows = [(said, [began for began, _ in row]) for said, row in groupby(sorted(attempts), key=lambda one: one[1])]
    return [[said, moments[0], moments[-1], len(moments)] for said, moments in rows]


def listening() -> list[list[Any]]:
    """Return protocol and port of every socket of this network namespace that others could reach."""
    found = set()
    for protocol, state in STATES.items():
        for table in (protocol, f"{protocol}6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, seen, *_rest = line.split()
                address, port = local.split(":")
                if seen == state and address not in LOOPBACK:
                    found.add((protocol, int(port, 16)))
    return [list(one) for one in sorted(found)]


def serve(request: Request) -> None:
    """Accept connections to the ports and close them at once, for ever."""
    selector = selectors.DefaultSelector()
    for port in request["ports"]:
        server = socket.create_server(("", port), backlog=128)
        selector.register(server, selectors.EVENT_READ, server)
    while True:
        for key, _ in selector.select():
            key.data.accept()[0].close()


def forward(request: Request) -> None:
    """Ask the upstream name server whatever is asked here, for ever; an answer that does not come is none."""
    selector = selectors.DefaultSelector()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((request["address"], DNS_PORT))
    streams = socket.create_server((request["address"], DNS_PORT), backlog=128)
    for server in (datagrams, streams):
        selector.register(server, selectors.EVENT_READ)
    upstream = (request["upstream"], DNS_PORT)
    while True:
        for key, _ in selector.select():
            with contextlib.suppress(OSError):
                if key.fileobj is streams:
                    streams.accept()[0].close()
                    continue
                question, client = datagrams.recvfrom(512)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                    asking.settimeout(1)
                    asking.sendto(question, upstream)
                    datagrams.sendto(asking.recv(4096), client)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


ENDLESS = {"serve": serve, "forward": forward}


def main() -> None:
    """Do what the first argument says; the request is the second one for what never ends, else a line of standard input."""
    if sys.argv[1] in ENDLESS:
        ENDLESS[sys.argv[1]](json.loads(sys.argv[2]))
    line = b""
    while not line.endswith(b"\n"):  # unbuffered: a later end of standard input is a signal to `watch`
        line += os.read(STDIN, 1 << 16)
    request: Request = json.loads(line)
    match sys.argv[1]:
        case "try":
            _say(try_once(request))
        case "watch":
            _say(watch(request))
        case "listening":
            _say(listening())


if __name__ == "__main__":
    main()

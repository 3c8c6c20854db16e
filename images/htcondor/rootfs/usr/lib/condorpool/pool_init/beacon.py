"""Whether the pool still exists, as a draining executor can tell: by a DNS name that lives exactly as long as the pool.

A kubelet that has begun to stop a container for the length of a drain does not take a shorter time any more (htcondor.md,
Deleted pools), so nobody outside can hurry a pod of a pool that was deleted. Only the clear answer that the name does not
exist counts, and only when it is given for a while; silence and failures of DNS mean nothing.
"""

import os
import socket
import struct
from collections.abc import Callable, Sequence

from .loop import Loop

# seconds
LOOK = 2.0
GONE_AFTER = 10.0

PORT = 53
HEADER = struct.Struct("!HHHHHH")
RECURSION_DESIRED = 0x0100
IS_ANSWER = 0x8000
CODE = 0x000F
NO_SUCH_NAME = 3
TYPE_A_CLASS_IN = struct.pack("!HH", 1, 1)
LONGEST_ANSWER = 4096


def name_servers(path: str = "/etc/resolv.conf") -> list[str]:
    """Addresses of the resolver's name servers."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            fields = [line.split() for line in lines]
    except OSError:
        return []
    return [words[1] for words in fields if len(words) > 1 and words[0] == "nameserver"]


def question(host: str, number: int) -> bytes:
    """A DNS question for the IPv4 addresses of an absolute name (RFC 1035, 4)."""
    labels = [label.encode("ascii") for label in host.rstrip(".").split(".")]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return HEADER.pack(number, RECURSION_DESIRED, 1, 0, 0, 0) + name + TYPE_A_CLASS_IN


def says_no_such_name(answer: bytes, number: int) -> bool | None:
    """True or False as the answer to a question says; None where it is not an answer to it."""
    if len(answer) < HEADER.size:
        return None
    identity, flags = HEADER.unpack_from(answer)[:2]
    if identity != number or not flags & IS_ANSWER:
        return None
    return bool(flags & CODE == NO_SUCH_NAME)


class Beacon:
    """Looks for the name every LOOK seconds once started; calls `gone` when it has not existed for GONE_AFTER."""

    def __init__(self, loop: Loop, host: str, gone: Callable[[], None], servers: Sequence[tuple[str, int]]) -> None:
        self._loop = loop
        self._host = host
        self._gone = gone
        self._servers = servers
        self._turn = 0
        self._number = 0
        self._socket: socket.socket | None = None
        self._missing_since: float | None = None
        self._told = False

    def start(self) -> None:
        if self._servers:
            self._loop.every(LOOK, self._ask)

    def _ask(self) -> None:
        self._close()
        server = self._servers[self._turn % len(self._servers)]
        self._turn += 1
        self._number = int.from_bytes(os.urandom(2), "big")
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._loop.on_readable(self._socket.fileno(), self._read)
        self._socket.connect(server)
        self._socket.send(question(self._host, self._number))

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            answer = self._socket.recv(LONGEST_ANSWER)
        except OSError:
            self._missing_since = None
            self._close()
            return
        missing = says_no_such_name(answer, self._number)
        if missing is None:
            return
        self._close()
        now = self._loop.clock()
        if not missing:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since >= GONE_AFTER and not self._told:
            self._told = True
            self._gone()

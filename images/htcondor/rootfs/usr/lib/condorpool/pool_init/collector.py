"""The collector as seen by a submitter or an executor: wait for it at the start, notice when it is another one.

The daemons keep using the security session of a collector that is gone: the first update to its successor is refused
and not repeated before the next interval, 20 to 120 s later. Two reconfigs bring them back in seconds (k8s-pool.md 5).
"""

import os
import socket
from collections.abc import Callable

from .loop import Loop
from .sockets import Connection, connections, stands

Address = tuple[str, int]
# address and start time (Unix seconds) of one life of a collector
Identity = tuple[str, int]

RETRY = 0.2
CONNECT_LIMIT = 1.0
LONGEST_WAIT = 60.0
SECOND_RECONFIG = 2.5
# how often a collector is asked who it is although no connection broke: covers a node that died without a word
BELT = 60.0
REJOINED = 10.0
# the same while a connection has just broken
SUSPICION = 1.0
# after which a collector that nobody reaches is away
AWAY = 3.0
START_TOLERANCE = 3


def answers(address: Address, limit: float = CONNECT_LIMIT) -> str | None:
    """The IPv4 address that accepted a TCP connection, None if nobody did within `limit` seconds."""
    host, port = address
    try:
        # as bytes: a text would load the tables of international names, 1 MB
        found = socket.getaddrinfo(host.encode("ascii"), port, socket.AF_INET, socket.SOCK_STREAM)
        peer = str(found[0][4][0])
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(limit)
            connection.connect((peer, port))
    except OSError:
        return None
    return peer


def parse_identity(text: str) -> tuple[Identity, int] | None:
    """Identity and present time (Unix seconds) from "address start now"; None when the collector has no such ad yet."""
    fields = text.split()
    if len(fields) != 3 or not all(field.isascii() and field.isdigit() for field in fields[1:]):
        return None
    return (fields[0], int(fields[1])), int(fields[2])


def same_collector(one: Identity, other: Identity) -> bool:
    """The start time is computed from two clocks of the collector, and may be a second off."""
    return one[0] == other[0] and abs(one[1] - other[1]) <= START_TOLERANCE


class CollectorWatch:
    """Runs two reconfigs when the collector is a new one.

    A daemon keeps one connection to its collector open, and it breaks when the collector goes: looking at it each
    second costs nothing and sees also a restart within 2 s. Only then, and once per BELT, is the collector asked for its
    identity by `ask`, which calls back with it (None: no answer). `away` is called when nobody has reached it for a while,
    `back` when it answers again.
    """

    def __init__(
        self,
        loop: Loop,
        address: Address,
        ask: Callable[[Callable[[Identity | None], None]], None],
        reconfigure: Callable[[str], None],
        away: Callable[[], None] = lambda: None,
        back: Callable[[], None] = lambda: None,
        *,
        find: Callable[[str, int], set[Connection]] = connections,
        stands: Callable[[Connection], bool] = stands,
        probe: Callable[[Address, float], str | None] = answers,
    ) -> None:
        self._loop = loop
        self._address = address
        self._ask = ask
        self._reconfigure = reconfigure
        self._tell_away = away
        self._tell_back = back
        self._silent_since: float | None = None
        self._away = False
        self._find = find
        self._stands = stands
        self._probe = probe
        self._peer: str | None = None
        self._identity: Identity | None = None
        self._joined = False
        self._connections: set[Connection] = set()
        self._asking = False
        self._suspicious_since: float | None = None
        self._ask_at = 0.0

    def start(self, peer: str | None) -> None:
        """`peer` is the address that answered before the daemons started, None if none did."""
        self._peer = peer
        self._joined = peer is not None
        self._ask_at = self._loop.clock() + (5.0 if self._joined else SUSPICION)
        self._loop.every(1.0, self.tick)

    def tick(self) -> None:
        """Once a second."""
        if self._asking:
            return
        now = self._loop.clock()
        if self._connection_lost() and self._suspicious_since is None:
            self._suspicious_since = now
            self._ask_at = now
        if now < self._ask_at:
            return
        if self._needs_probe():
            peer = self._probe((self._peer or self._address[0], self._address[1]), 0.3)
            self._heard(now, peer)
            if peer is None:
                self._ask_at = now + SUSPICION
                return
            self._peer = peer
        self._asking = True
        self._ask(self._answered)

    def _heard(self, now: float, peer: str | None) -> None:
        """Note whether the collector could be reached."""
        if peer is not None:
            self._silent_since = None
            if self._away:
                self._away = False
                self._tell_back()
            return
        if self._silent_since is None:
            self._silent_since = now
        if not self._away and now - self._silent_since >= AWAY:
            self._away = True
            self._tell_away()

    def _needs_probe(self) -> bool:
        """A connect is far cheaper than a question while nobody answers."""
        return self._suspicious_since is not None or not self._joined

    def _connection_lost(self) -> bool:
        """True once when one of the daemons' connections is gone."""
        if all(self._stands(connection) for connection in self._connections):
            return False
        self._connections = set()
        return True

    def _answered(self, identity: Identity | None) -> None:
        self._asking = False
        now = self._loop.clock()
        if identity is None:
            if self._suspicious_since is None:
                self._suspicious_since = now
            self._ask_at = now + SUSPICION
            return
        new = self._is_new(identity)
        if new:
            self._rejoin(now)
        self._identity = identity
        self._joined = True
        self._suspicious_since = None
        self._connections = self._find(self._peer, self._address[1]) if self._peer else set()
        # after a rejoin the daemons open their connections once more
        self._ask_at = now + (REJOINED if new else BELT * (0.8 + 0.4 * os.urandom(1)[0] / 255))

    def _is_new(self, identity: Identity) -> bool:
        """Whether the daemons know another collector than this one, or perhaps none."""
        if self._identity is None:
            return not self._joined or self._suspicious_since is not None
        return not same_collector(identity, self._identity)

    def _rejoin(self, now: float) -> None:
        since = self._suspicious_since
        waited = "" if since is None else f" after {now - since:.1f} s"
        self._reconfigure(f"new collector{waited}")
        self._loop.later(SECOND_RECONFIG, lambda: self._reconfigure("new collector, second time"))

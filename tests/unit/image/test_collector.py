import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool_init.collector import (
    AWAY,
    BELT,
    SECOND_RECONFIG,
    Address,
    CollectorWatch,
    Identity,
    answers,
    parse_identity,
)
from pool_init.loop import Loop
from pool_init.sockets import Connection, connections, stands

PEER = "10.0.0.9"
FIRST = ("<10.0.0.9:9618>", 1000)
SECOND = ("<10.0.0.9:9618>", 2000)


def connection(port: int) -> Connection:
    return (b"\x0a\0\0\x01", port, b"\x0a\0\0\x09", 9618)


class Pod:
    """A submitter or executor whose collector, sockets and clock the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = Loop(failed=_fail, clock=lambda: self.now)
        self.sockets = {connection(1), connection(2)}
        self.collector: Identity | None = FIRST
        self.questions = 0
        self.reconfigs: list[float] = []
        self.told: list[str] = []
        self.watch = CollectorWatch(
            self.loop,
            ("manager", 9618),
            self._ask,
            lambda _reason: self.reconfigs.append(self.now),
            lambda: self.told.append("away"),
            lambda: self.told.append("back"),
            find=lambda _peer, _port: set(self.sockets),
            stands=lambda connection: connection in self.sockets,
            probe=self._probe,
        )

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds * 4):
            self.now += 0.25
            self.loop.fire_due()

    def restart_collector(self, identity: Identity | None = SECOND) -> None:
        self.collector = identity
        self.sockets = set()

    def _ask(self, answered: Callable[[Identity | None], None]) -> None:
        self.questions += 1
        answered(self.collector)

    def _probe(self, _address: Address, _limit: float) -> str | None:
        return PEER if self.collector else None


def _fail(error: OSError) -> None:
    raise error


@pytest.fixture
def pod() -> Iterator[Pod]:
    pod = Pod()
    yield pod
    pod.loop.close()


def test_a_steady_collector_is_asked_rarely_and_never_followed_by_a_reconfig(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(int(4 * BELT))
    assert pod.reconfigs == []
    assert 3 <= pod.questions <= 6


def test_a_restart_between_two_looks_is_noticed_by_the_lost_connection(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(20)
    pod.restart_collector()
    begin = pod.now
    pod.pass_time(6)
    assert len(pod.reconfigs) == 2
    assert pod.reconfigs[0] - begin <= 2
    assert pod.reconfigs[1] - pod.reconfigs[0] == pytest.approx(SECOND_RECONFIG, abs=0.25)


def test_a_long_absence_ends_with_the_same_two_reconfigs(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(20)
    pod.restart_collector(None)
    pod.pass_time(100)
    assert pod.reconfigs == []
    pod.collector = SECOND
    pod.pass_time(6)
    assert len(pod.reconfigs) == 2


def test_a_lost_connection_to_the_same_collector_is_no_reason(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(20)
    pod.sockets = set()
    pod.pass_time(20)
    assert pod.reconfigs == []


def test_short_connections_of_tools_raise_no_question(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(20)
    questions = pod.questions
    for number in range(10):
        pod.sockets = {connection(1), connection(2), connection(100 + number)}
        pod.pass_time(1)
    assert pod.questions == questions


def test_a_node_that_died_without_a_word_is_noticed_by_the_belt(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(20)
    pod.collector = SECOND
    pod.pass_time(int(BELT * 1.3) + 5)
    assert len(pod.reconfigs) == 2


def test_daemons_that_started_without_a_collector_rejoin_when_it_comes(pod: Pod) -> None:
    pod.collector = None
    pod.sockets = set()
    pod.watch.start(None)
    pod.pass_time(30)
    pod.collector = FIRST
    pod.pass_time(6)
    assert len(pod.reconfigs) == 2


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (
            "<10.0.0.9:9618?sock=collector> 1795368450 1795368500",
            (("<10.0.0.9:9618?sock=collector>", 1795368450), 1795368500),
        ),
        ("<10.0.0.9:9618> undefined undefined", None),
        ("<10.0.0.9:9618> 1795368450", None),
        ("", None),
    ],
)
def test_parse_identity(text: str, identity: tuple[Identity, int] | None) -> None:
    assert parse_identity(text) == identity


def test_connections_reads_the_kernel_table(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 1400580A:8F9D 0A00580A:2592 01 00000000:00000000 00:00000000 00000000 101 0 111315 1 0 20 4 0 10 -1\n"
        "   1: 1400580A:A798 0A00580A:2592 06 00000000:00000000 03:00000000 00000000   0 0 0 3 0\n"
        "   2: 1400580A:B703 1400580A:2592 01 00000000:00000000 00:00000000 00000000   0 0 7 1 0 20 4 0 10 -1\n"
    )
    assert connections("10.88.0.10", 9618, str(table)) == {(b"\x0a\x58\0\x14", 0x8F9D, b"\x0a\x58\0\x0a", 9618)}


def test_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(("localhost", port)) == "127.0.0.1"
    assert answers(("127.0.0.1", port), limit=0.2) is None


def test_a_connection_stands_until_the_other_side_closes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            found = connections("127.0.0.1", port)
            assert len(found) == 1
            assert all(stands(one) for one in found)
            accepted.close()
            assert not any(stands(one) for one in found)
            assert connections("127.0.0.1", port) == set()
            client.close()
            assert not any(stands(one) for one in found)


def test_a_collector_that_nobody_reaches_for_a_while_is_away_until_it_is_back(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(10)
    pod.restart_collector(None)
    pod.pass_time(int(AWAY) + 4)
    assert pod.told == ["away"]
    pod.pass_time(60)
    pod.restart_collector(SECOND)
    pod.pass_time(3)
    assert pod.told == ["away", "back"]


def test_a_collector_that_starts_again_at_once_is_never_away(pod: Pod) -> None:
    pod.watch.start(PEER)
    pod.pass_time(10)
    pod.restart_collector(None)
    pod.pass_time(int(AWAY) - 1)
    pod.restart_collector(SECOND)
    pod.pass_time(60)
    assert pod.told == []

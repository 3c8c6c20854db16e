"""Only a name that clearly and lastingly does not exist ends a drain."""

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool_init import beacon
from pool_init.beacon import Beacon, name_servers, question, says_no_such_name
from pool_init.loop import Loop

HOST = "demo-864abc33.physics.svc.cluster.local"
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def answer(asked: bytes, code: int) -> bytes:
    (number,) = struct.unpack_from("!H", asked)
    return struct.pack("!HHHHHH", number, 0x8180 | code, 1, 0, 0, 0) + asked[12:]


def test_a_question_is_one_by_the_standard() -> None:
    asked = question("a.bc.", 7)
    assert asked == b"\0\7\1\0\0\1\0\0\0\0\0\0" + b"\1a\2bc\0" + b"\0\1\0\1"


@pytest.mark.parametrize(
    ("code", "missing"), [(NOERROR, False), (SERVFAIL, False), (NXDOMAIN, True)], ids=["there", "failed", "missing"]
)
def test_only_no_such_name_says_so(code: int, missing: bool) -> None:
    assert says_no_such_name(answer(question(HOST, 9), code), 9) is missing


@pytest.mark.parametrize("text", [b"", b"short", answer(question(HOST, 8), NXDOMAIN), question(HOST, 9)])
def test_what_answers_nothing_says_nothing(text: bytes) -> None:
    assert says_no_such_name(text, 9) is None


def test_name_servers_are_those_of_the_resolver(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("search x\nnameserver 10.96.0.10\noptions ndots:1\nnameserver fd00::10\nnameserver\n")
    assert name_servers(str(path)) == ["10.96.0.10", "fd00::10"]
    assert name_servers(str(tmp_path / "none")) == []


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A beacon that asks a server of ours over loopback, on a clock of ours."""

    def __init__(self) -> None:
        def failed(error: OSError) -> None:
            raise error

        self.clock = Clock()
        self.loop = Loop(failed, self.clock)
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind(("127.0.0.1", 0))
        self.server.settimeout(5)
        self.ends: list[float] = []
        address: tuple[str, int] = self.server.getsockname()
        Beacon(self.loop, HOST, lambda: self.ends.append(self.clock.now), [address]).start()

    def look(self, code: int | None) -> None:
        """Let the next question come and be answered with a code, or with nothing."""
        self.clock.now += beacon.LOOK
        self.loop.fire_due()
        asked, client = self.server.recvfrom(512)
        if code is not None:
            self.server.sendto(answer(asked, code), client)
            answered: list[bool] = []
            self._serve_once(lambda: answered.append(True))

    def _serve_once(self, done: Callable[[], None]) -> None:
        steps = iter((False, True))
        self.loop.run_until(lambda: next(steps))
        done()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.server.close()
    scene.loop.close()


def test_a_lasting_absence_ends_the_drain_once(scene: Scene) -> None:
    for _ in range(10):
        scene.look(NXDOMAIN)
    assert scene.ends == [beacon.LOOK + beacon.GONE_AFTER]


@pytest.mark.parametrize("other", [NOERROR, SERVFAIL])
def test_any_other_answer_in_between_begins_anew(scene: Scene, other: int) -> None:
    for code in (NXDOMAIN, NXDOMAIN, NXDOMAIN, NXDOMAIN, other, NXDOMAIN, NXDOMAIN, NXDOMAIN, NXDOMAIN):
        scene.look(code)
    assert scene.ends == []


def test_silence_means_nothing(scene: Scene) -> None:
    for _ in range(20):
        scene.look(None)
    assert scene.ends == []

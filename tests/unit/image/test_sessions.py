import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_init.loop import Loop
from pool_init.processes import Reaper
from pool_init.sessions import PERIOD, Sessions, user_ids
from pool_init.users import User

JOHN = User("john", 2000, 2000, "", "/usr/sbin/nologin")
JANE = User("jane", 2001, 2001, "", "/usr/sbin/nologin")


class Sshd:
    """A container in which users have processes; setpriv notes its arguments instead of killing."""

    def __init__(self, root: Path) -> None:
        self.now = 0.0
        self.loop = Loop(failed=_fail, clock=lambda: self.now)
        self.notes = root / "killed"
        program = root / "setpriv"
        program.write_text(f'#!/bin/sh\necho "$@" >>{self.notes}\n')
        program.chmod(0o755)
        self.running = {0, 2000, 2001, 2002}
        self.said: list[str] = []
        self.reaper = Reaper()
        environ = {"PATH": f"{root}:{os.environ['PATH']}"}
        self._path, os.environ["PATH"] = os.environ["PATH"], environ["PATH"]
        self.sessions = Sessions(self.loop, self.reaper, environ, self.said.append, lambda: self.running)

    def close(self) -> None:
        os.environ["PATH"] = self._path
        self.loop.close()

    def killed(self) -> list[str]:
        os.waitpid(-1, 0)
        return self.notes.read_text().splitlines()


def _fail(error: OSError) -> None:
    raise error


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    sshd = Sshd(tmp_path)
    yield sshd
    sshd.close()


def test_only_who_was_shut_out_is_ended(sshd: Sshd) -> None:
    sshd.sessions.shut_out([JOHN])
    assert sshd.killed() == ["--reuid=2000 --regid=2000 --clear-groups kill -KILL -- -1"]
    assert sshd.said == ["user 'john' may not log in any more: his sessions end"]


def test_a_session_that_opens_a_moment_later_ends_too(sshd: Sshd) -> None:
    sshd.running = {0}
    sshd.sessions.shut_out([JOHN])
    assert sshd.said == []
    sshd.running = {0, 2000}
    sshd.now += PERIOD
    sshd.loop.fire_due()
    assert len(sshd.killed()) == 1


def test_a_user_who_came_back_is_left_alone(sshd: Sshd) -> None:
    sshd.running = {0}
    sshd.sessions.shut_out([JOHN, JANE])
    sshd.sessions.shut_out([JANE])
    sshd.running = {0, 2000}
    sshd.now += PERIOD
    sshd.loop.fire_due()
    assert sshd.said == []


def test_root_and_unknown_users_are_never_ended(sshd: Sshd) -> None:
    sshd.sessions.shut_out([])
    sshd.now += PERIOD
    sshd.loop.fire_due()
    assert sshd.said == []


def test_the_real_uid_counts(tmp_path: Path) -> None:
    for pid, uids in {"1": "0\t0\t0\t0", "20": "2000\t0\t0\t0", "21": "2001\t2001\t2001\t2001"}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "status").write_text(f"Name:\tUid: 5\nUid:\t{uids}\nGid:\t{uids}\n")
    (tmp_path / "22").mkdir()
    assert user_ids(str(tmp_path)) == {0, 2000, 2001}

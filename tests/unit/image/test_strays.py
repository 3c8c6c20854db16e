import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool_init.strays import end_strays, strays

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process under a name, as a child of this one."""
    started = []

    def start(name: str) -> "subprocess.Popen[bytes]":
        program = tmp_path / name
        shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
        started.append(subprocess.Popen([program, "60"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_shadows_and_starters_without_a_daemon_end(start: Start) -> None:
    shadow, starter, other = start("condor_shadow"), start("condor_starter"), start("condor_master")
    assert strays(os.getpid()) == {shadow.pid: "condor_shadow", starter.pid: "condor_starter"}
    said: list[str] = []
    end_strays(said.append)
    assert (shadow.wait(10), starter.wait(10)) == (-signal.SIGKILL, -signal.SIGQUIT)
    assert other.poll() is None
    assert said[0] == f"condor_shadow (pid {shadow.pid}) has lost its daemon and ends"


def test_those_of_a_daemon_are_not_strays(start: Start) -> None:
    start("condor_shadow")
    assert strays(os.getppid()) == {}

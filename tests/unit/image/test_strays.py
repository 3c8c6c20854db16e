import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool_init.loop import Loop
from pool_init.processes import process_name
from pool_init.strays import PERIOD, StrayWatch, end_strays

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process under a name, as a child of this one."""
    started = []

    def start(name: str) -> "subprocess.Popen[bytes]":
        program = tmp_path / name
        shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
        started.append(subprocess.Popen([program, "60"]))
        while process_name(started[-1].pid) != name:  # the kernel names it after it lets Popen go on
            time.sleep(0.001)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(failed=fail)
    yield loop
    loop.close()


def fail(error: OSError) -> None:
    raise error


def test_shadows_and_starters_without_a_daemon_end(start: Start) -> None:
    shadow, starter, other = start("condor_shadow"), start("condor_starter"), start("condor_master")
    said: list[str] = []
    end_strays(said.append, os.getpid())
    assert (shadow.wait(10), starter.wait(10)) == (-signal.SIGKILL, -signal.SIGQUIT)
    assert other.poll() is None
    assert said[0] == f"condor_shadow (pid {shadow.pid}) has lost its daemon and ends"


def test_those_of_a_daemon_are_not_strays(start: Start) -> None:
    shadow = start("condor_shadow")
    end_strays(lambda _: None, os.getppid())
    assert shadow.poll() is None


def test_what_a_daemon_leaves_ends_with_it_and_not_at_the_next_look(start: Start, loop: Loop) -> None:
    daemon = start("condor_schedd")
    said: list[str] = []
    StrayWatch(loop, os.getpid(), said.append).start()
    shadow = start("condor_shadow")  # of this process, as pid 1 inherits those without a parent
    loop.run_until(lambda: False, 0.2)
    assert said == []
    daemon.kill()
    assert loop.run_until(lambda: bool(said), PERIOD / 2)
    assert shadow.wait(10) == -signal.SIGKILL

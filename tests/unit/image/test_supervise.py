"""The whole of pool-init as a process, with shell scripts in the place of HTCondor's programs."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[3] / "images/htcondor/rootfs/usr/lib/condorpool"
DEADLINE = 15.0

RUNNER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pool_init import drain, faults, hangs, supervise
from pool_init.layout import Layout
from pool_init.loop import Loop
from pool_init.settings import Settings
supervise.SETTLE = 0.0
supervise.SCHEDD_PATIENCE = 1
supervise.VOLUME_LOOK = 0.1
drain.LINGER = 0.3
if "HANGS" in os.environ:
    hangs.FIRST = hangs.PERIOD = hangs.RETRY = 0.1
    supervise.PATIENCE = 1.0
if "FULL_VOLUME" in os.environ:
    faults.FULL_SHARE, faults.FULL_BYTES = 1, 1 << 62
role, root, seconds = sys.argv[2], sys.argv[3], int(sys.argv[4])
def failed(error):
    raise error
sys.exit(supervise.Supervisor(Settings(role, None, seconds), Layout(root), os.environ, Loop(failed)).run())
"""

MASTER = """#!/bin/sh
log={log}
echo up >>$log/MasterLog
trap 'echo got TERM >>$log/MasterLog; {on_term}' TERM
trap 'echo got QUIT >>$log/MasterLog; exit 0' QUIT
trap 'echo got HUP >>$log/MasterLog' HUP
echo to stderr >&2
{body}
while :; do sleep 0.05; done
"""


class Container:
    """A container of pool-init in a directory, and what it has printed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.config = root / "etc/condor/config.d"
        self.config.mkdir(parents=True)
        (root / "dev").mkdir()
        (root / "dev/termination-log").write_text("")
        self.output = root / "stdout"
        self.process: subprocess.Popen[bytes] | None = None
        self.verdict()
        self.program("condor_advertise", "#!/bin/sh\nexit 0\n")
        self.master()

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def verdict(self, problem: str = "") -> None:
        """Let the check of the configuration find a problem, or none; by setpriv, as nobody could not read these directories."""
        self.program("setpriv", f"#!/bin/sh\necho '{problem}'\nexit 1\n" if problem else "#!/bin/sh\nexit 0\n")

    def master(self, on_term: str = "exit 0", body: str = "") -> None:
        text = MASTER.format(log=self.root / "var/log/condor", on_term=on_term, body=body)
        self.program("condor_master", text)

    def start(self, role: str = "executor", drain_seconds: int = 60, before: tuple[str, ...] = ()) -> None:
        environ = {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        command = [*before, sys.executable, "-c", RUNNER, str(LIBRARY), role, str(self.root), str(drain_seconds)]
        with self.output.open("wb") as stdout:
            self.process = subprocess.Popen(
                command, env=environ, stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True
            )

    def text(self) -> str:
        return self.output.read_text()

    def expect(self, line: str) -> None:
        end = time.monotonic() + DEADLINE
        while line not in self.text():
            assert time.monotonic() < end, f"no {line!r} in:\n{self.text()}"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def exit_code(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    yield container
    if container.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(container.process.pid, signal.SIGKILL)
        container.process.wait()


def test_sigterm_is_passed_on_and_ends_with_status_0(container: Container) -> None:
    container.start()
    container.expect("[master] up")
    container.signal(signal.SIGTERM)
    assert container.exit_code() == 0
    assert "[master] got TERM" in container.text()
    assert "[master] to stderr" in container.text()


def test_an_executor_whose_master_was_killed_leaves_no_ad_behind(container: Container) -> None:
    container.master(body="kill -KILL $$")
    container.start()
    assert container.exit_code() == 128 + signal.SIGKILL
    ads = (container.root / "run/condor/farewell").read_text()
    assert ads.count(f'Requirements = Machine == "{socket.getfqdn()}"') == 2
    assert 'TargetType = "Machine"' in ads


def test_a_collector_that_does_not_take_the_farewell_is_told_of_and_keeps_nobody(container: Container) -> None:
    container.program("condor_advertise", "#!/bin/sh\necho no collector\nexit 1\n")
    container.start()
    container.expect("[master] up")
    container.signal(signal.SIGTERM)
    assert container.exit_code() == 0
    assert "the collector may still list this executor: no collector" in container.text()


def test_a_sigterm_that_comes_first_of_all_is_not_lost(container: Container) -> None:
    dockerfile = (LIBRARY.parents[3] / "Dockerfile").read_text()
    before = ("/usr/bin/env", "--block-signal=TERM")
    assert ", ".join(f'"{word}"' for word in before) in dockerfile
    container.start(before=before)
    assert container.process is not None
    blocked = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{container.process.pid}/status")
    while not int(status.read_text().partition("SigBlk:")[2].split()[0], 16) & blocked:
        assert container.process.poll() is None
    container.signal(signal.SIGTERM)
    assert container.exit_code() == 0
    assert "[pool-init] SIGTERM: " in container.text()
    assert "[master] up" not in container.text()


def test_sigquit_follows_when_the_drain_is_over(container: Container) -> None:
    container.master(on_term=":")
    container.start(drain_seconds=1)
    container.expect("[master] up")
    container.signal(signal.SIGTERM)
    container.expect("[pool-init] 1 s are over")
    assert container.exit_code() == 0
    assert container.text().index("got TERM") < container.text().index("got QUIT")


def test_a_submitter_whose_shadows_hang_is_hurried(container: Container) -> None:
    container.master(on_term=":")
    (container.root / "home").mkdir()
    container.start("submitter", drain_seconds=0)
    container.expect("[master] up")
    container.signal(signal.SIGTERM)
    container.expect("[pool-init] 1 s are over: the schedd ends now")
    assert container.exit_code() == 0
    assert container.text().index("got TERM") < container.text().index("got QUIT")


def test_a_full_volume_is_told_to_the_probe(container: Container) -> None:
    (container.root / "home").mkdir()
    container.start("submitter", before=("/usr/bin/env", "FULL_VOLUME=yes"))
    container.expect("[pool-init] SpoolFull: the volume of queue and homes is full")
    assert (container.root / "run/condor/faults").read_text().startswith("SpoolFull: ")


DAMAGED = """echo '(pid:9) ERROR "JOB QUEUE DAMAGED; header ad invalid" at line 2' >>$log/SchedLog"""


def test_a_corrupt_queue_is_told_to_the_probe_and_to_the_next_container(container: Container) -> None:
    container.master(body=DAMAGED)
    (container.root / "home").mkdir()
    container.start("submitter")
    container.expect("[pool-init] QueueCorrupt: the schedd does not start")
    assert (container.root / "run/condor/faults").read_text().startswith("QueueCorrupt: ")
    container.signal(signal.SIGTERM)
    assert container.exit_code() == 0
    assert (container.root / "dev/termination-log").read_text().startswith("QueueCorrupt: ")


def test_a_queue_is_sound_again_once_the_schedd_answers(container: Container) -> None:
    shutil.copy("/bin/sleep", container.bin / "condor_schedd")
    container.master(body=f"{DAMAGED}; sleep 1; condor_schedd 60 &")
    container.program("condor_ping", "#!/bin/sh\nexit 0\n")
    (container.root / "home").mkdir()
    container.start("submitter", before=("/usr/bin/env", "HANGS=yes"))
    container.expect("[pool-init] QueueCorrupt: the schedd does not start")
    container.expect("[pool-init] QueueCorrupt: no more (the schedd answers)")
    assert (container.root / "run/condor/faults").read_text() == ""


def test_a_manager_has_no_drain_of_its_own(container: Container) -> None:
    container.master(on_term=":")
    container.start("manager", drain_seconds=0)
    container.expect("[master] up")
    container.signal(signal.SIGTERM)
    container.expect("got TERM")
    time.sleep(1)
    assert "got QUIT" not in container.text()
    container.signal(signal.SIGQUIT)
    assert container.exit_code() == 0


def test_sighup_and_changed_configuration_are_a_reconfig(container: Container) -> None:
    container.start("manager")
    container.expect("[master] up")
    container.signal(signal.SIGHUP)
    container.expect("got HUP")
    (container.config / "50-user.conf").write_text("A = 1\n")
    container.expect("config.d has changed: reconfig")


def test_a_refused_change_never_reaches_the_daemons(container: Container) -> None:
    container.start("manager")
    container.expect("[master] up")
    container.verdict("50-00-x-y, line 3: this is no setting")
    (container.config / "50-user.conf").write_text("nonsense\n")
    container.expect("refuses the configuration: 50-00-x-y, line 3: this is no setting; the daemons keep the old one")
    assert "got HUP" not in container.text()


def test_a_refused_configuration_ends_with_a_reason(container: Container) -> None:
    container.verdict("50-00-x-y, line 3: this is no setting")
    container.start("manager")
    assert container.exit_code() == 1
    assert "HTCondor refuses the configuration" in container.text()
    assert "50-00-x-y, line 3: this is no setting" in (container.root / "dev/termination-log").read_text()
    assert "[master] up" not in container.text()


def test_the_managers_check_answers_on_its_socket(container: Container) -> None:
    container.start("manager")
    container.expect("[master] up")
    container.program("setpriv", '#!/bin/sh\necho "$@" | grep -q " pool-config-check -$" && tr a-z A-Z\n')
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(container.root / "run/condorpool/check.sock"))
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(DEADLINE)
        assert client.makefile().read() == "QUESTION"


def test_a_master_that_dies_gives_its_status(container: Container) -> None:
    container.master(body="echo last words >>$log/MasterLog; exit 44")
    container.start("manager")
    assert container.exit_code() == 44
    assert "[master] last words" in container.text()


def test_a_master_that_is_killed_gives_128_and_the_signal(container: Container) -> None:
    container.master(body="kill -KILL $$")
    container.start("manager")
    assert container.exit_code() == 128 + signal.SIGKILL


def test_sshd_reports_a_refused_configuration(container: Container) -> None:
    (container.root / "home").mkdir()
    container.start("sshd")
    assert container.exit_code() != 0


def test_a_startd_that_hangs_is_killed(container: Container) -> None:
    shutil.copy(shutil.which("sleep") or "/bin/sleep", container.bin / "condor_startd")
    hang = container.root / "hang"
    container.program(
        "condor_ping", f'#!/bin/sh\n[ "$3" = STARTD ] && [ -e {hang} ] && exec sleep 60\necho "$3" >>{hang}.asked\n'
    )
    container.master(body="condor_startd 60 & wait $!; echo startd ended with $? >>$log/MasterLog")
    container.start(before=("/usr/bin/env", "HANGS=yes"))
    container.expect("[master] up")
    asked = container.root / "hang.asked"
    end = time.monotonic() + DEADLINE
    while not asked.exists() or "STARTD" not in asked.read_text():
        assert time.monotonic() < end, "nobody asked the startd"
        time.sleep(0.02)
    assert "hangs" not in container.text()
    hang.touch()
    container.expect("[pool-init] STARTD (pid ")
    container.expect("[master] startd ended with 137")

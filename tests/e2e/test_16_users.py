"""Users come, change and go while others work; jobs side by side on an executor are strangers."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support.jobs import Job, shell_job
from tests.e2e.support.manifests import secret, user
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins, guest_objects, guest_spec
from tests.e2e.support.ssh import Ssh
from tests.e2e.support.waiting import NotYetError, wait_for

FOLLOWED_SECONDS = 60.0
WORK = "echo here; exec sleep 300"
GUESSES = 6

SPY = (
    "n=0",
    'leak() { echo "LEAK $*"; }',
    # what other accounts run: their memory, environment and files, and whether a signal reaches them
    (
        "for p in /proc/[0-9]*; do u=$(stat -c %u $p 2>/dev/null) || continue; [ $u = $(id -u) ] && continue; n=$((n+1)); "
        "for f in environ mem maps; do ( : <$p/$f ) 2>/dev/null && leak $p/$f; done; "
        "for d in root cwd fd; do ls $p/$d/ >/dev/null 2>&1 && leak $p/$d; done; "
        "kill -0 ${p#/proc/} 2>/dev/null && leak signal $p; done"
    ),
    'echo "STRANGERS $n"',
    # their sandboxes: the way there is open, the sandbox is not
    (
        "for d in /var/lib/condor/execute/dir_*/scratch; do [ $d = $_CONDOR_SCRATCH_DIR ] && continue; "
        'echo "SANDBOX $(stat -c %a $d)"; ls $d >/dev/null 2>&1 && leak $d; cat $d/secret 2>/dev/null && leak $d/secret; done'
    ),
    # credentials
    (
        "for f in /etc/condor/tokens.d/token /etc/condor/passwords.d /etc/condorpool /var/lib/extrausers/shadow /etc/shadow "
        "/var/log/condor /run/condor/procd_pipe; do [ -r $f ] && leak $f; done"
    ),
    "[ -e /var/run/secrets ] && leak token of the API",
    # the node
    "find /dev -type b -readable -o -path /dev/mem -readable -o -path /dev/port -readable | while read f; do leak $f; done",
    "( echo x >/proc/sys/kernel/core_pattern ) 2>/dev/null && leak /proc/sys",
    "find / -xdev -perm /6000 -type f ! -name fusermount3 2>/dev/null | while read f; do leak set-user-id $f; done",
    # the network: the pool answers, the API server does not
    'reach() { timeout 5 bash -c "</dev/tcp/$1/$2" 2>/dev/null; }',
    "m=$(condor_config_val CONDOR_HOST); reach $m 9618 && echo POOL",
    "for h in kubernetes.default.svc.$(echo $m | cut -d. -f4-) $API; do reach $h 443 && leak API; done",
    "id -un",
)
"""What a curious job tries, one line each; it prints LEAK for whatever it should not have."""


@pytest.fixture
def open_sessions(guest_pool: Pool, guest_ssh: Ssh, logins: Logins) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Open a session each of john and jim, and put the users back at the end."""
    sessions = {name: guest_ssh.session(name, logins.keys[name], WORK) for name in ("john", "jim")}
    for name, session in sessions.items():
        assert session.stdout is not None
        assert session.stdout.readline() == "here\n", name
    yield sessions
    for session in sessions.values():
        session.kill()
        session.communicate()
    guest_pool.kubectl.apply(*guest_objects(logins))
    guest_pool.apply(guest_spec())
    guest_pool.wait_condition("Ready", "True", FOLLOWED_SECONDS)


def test_users_come_change_and_go_while_others_work(
    guest_pool: Pool, guest_ssh: Ssh, logins: Logins, open_sessions: dict[str, subprocess.Popen[str]]
) -> None:
    before = guest_pool.lives()
    entry = _entry(guest_pool, "jim")
    job = guest_pool.submit(shell_job("sleep 25; echo to the end"), user="jim")
    host = job.wait_running()

    guest_pool.kubectl.apply(
        secret("mary", authorized_keys=logins.keys["stranger"].public),
        secret("john", authorized_keys=logins.keys["jim"].public),
        secret("jane", password=logins.passwords["jim"]),
    )
    guest_pool.apply(guest_spec(user("mary", keys="mary"), without="jim"))
    edited = time.monotonic()
    guest_pool.wait_condition("UsersValid", "True", FOLLOWED_SECONDS)

    assert open_sessions["jim"].wait(FOLLOWED_SECONDS) == 255, "the session of a removed user"
    assert time.monotonic() - edited < FOLLOWED_SECONDS

    def mary() -> str:
        result = guest_ssh.with_key("mary", logins.keys["stranger"], "id -un; pwd; id -u")
        if result.code != 0:
            raise NotYetError(f"{result}")
        return result.out

    name, home, uid = wait_for("the new user's log-in", mary, FOLLOWED_SECONDS).split()
    assert (name, home) == ("mary", "/home/mary")
    assert int(uid) >= 10_000
    refused = {
        "jim by key": guest_ssh.with_key("jim", logins.keys["jim"], "id"),
        "jim by password": guest_ssh.with_password("jim", logins.passwords["jim"], "id"),
        "john by his old key": guest_ssh.with_key("john", logins.keys["john"], "id"),
        "jane by her old password": guest_ssh.with_password("jane", logins.passwords["jane"], "id"),
    }
    assert {who: (result.code, result.out) for who, result in refused.items()} == dict.fromkeys(refused, (255, ""))
    assert guest_ssh.with_key("john", logins.keys["jim"], "id -un").out == "john\n"
    assert guest_ssh.with_password("jane", logins.passwords["jim"], "id -un").out == "jane\n"
    assert open_sessions["john"].poll() is None, "the session of a user whose key was changed"
    for container in ("condor", "sshd"):
        seen = _entry(guest_pool, "jim", container)
        assert (seen[2], seen[5:]) == (entry[2], ["/home/jim", "/usr/sbin/nologin"])
    assert guest_pool.run(guest_pool.submitter, "stat", "-c", "%u %a", "/home/jim") == f"{entry[2]} 700\n"
    assert job.wait_done(90) == "to the end\n"
    assert job.events().count("001") == 1, f"on {host}: {job.events()}"
    assert guest_pool.lives() == before


def test_sftp_and_scp(guest_ssh: Ssh, logins: Logins, tmp_path: Path) -> None:
    content = "".join(f"{number}\n" for number in range(10_000))
    (tmp_path / "there").write_text(content)

    copied = guest_ssh.copy("john", logins.keys["john"], tmp_path / "there", "by-scp")
    fetched = guest_ssh.sftp("john", logins.keys["john"], f"rename by-scp by-sftp\nget by-sftp {tmp_path / 'back'}\n")

    assert (copied.code, fetched.code) == (0, 0), (copied, fetched)
    assert (tmp_path / "back").read_text() == content


def test_guessing_is_slow_and_locks_out_nobody_else(guest_ssh: Ssh, logins: Logins) -> None:
    begin = time.monotonic()
    for _ in range(GUESSES):
        assert guest_ssh.with_password("jane", "a guess", "id").code == 255
    assert time.monotonic() - begin > GUESSES * 0.2, "a guess costs a slow hash at least"

    result = guest_ssh.with_key("john", logins.keys["john"], "id -un")

    assert result.out == "john\n", f"all clients have the address of a node, and one of them guessed: {result}"


def test_no_log_tells_a_name_that_nobody_has(guest_pool: Pool, guest_ssh: Ssh) -> None:
    typed = "hunter2-in-the-wrong-field"

    assert guest_ssh.with_password(typed, "enter", "id").code == 255

    def log() -> str:
        text = guest_pool.logs(guest_pool.submitter, "sshd")
        if "Failed password for invalid user (name not shown)" not in text:
            raise NotYetError(text[-500:])
        return text

    assert typed not in wait_for("sshd's line about the refusal", log, 20)


@pytest.mark.parametrize("group", ["open", "closed"])
def test_a_job_learns_nothing_of_its_neighbour_or_its_executor(guest_pool: Pool, group: str) -> None:
    here = f'CondorPoolGroup == "{group}"'
    neighbour = guest_pool.submit(shell_job("echo private >secret; sleep 120", requirements=here), user="jane")
    executor = neighbour.wait_running()
    api = guest_pool.kubectl(
        "get", "service", "--namespace=default", "kubernetes", "--output=jsonpath={.spec.clusterIP}"
    )

    spy = guest_pool.submit(shell_job("; ".join((f"API={api}", *SPY)), requirements=here), user="john")

    lines = spy.wait_done(90).splitlines()
    assert _executor(spy) == executor
    assert [line for line in lines if line.startswith("LEAK")] == []
    assert "private" not in lines
    assert "SANDBOX 700" in lines, lines
    (strangers,) = [int(line.split()[1]) for line in lines if line.startswith("STRANGERS")]
    assert strangers >= 6, lines  # pool-init, master, procd, shared_port, startd, two starters and the neighbour's
    assert "POOL" in lines, lines
    assert lines[-1].startswith("slot1_"), lines
    guest_pool.run(guest_pool.submitter, "condor_rm", str(neighbour.cluster))


def _entry(pool: Pool, name: str, container: str = "condor") -> list[str]:
    """Return a user's line of passwd, in fields."""
    return pool.kubectl.execute(pool.submitter, container, "getent", "passwd", name).out.strip().split(":")


def _executor(job: Job) -> str:
    """Return where a job ran that has left the queue."""
    text = job.file("job.log")
    return text.partition("SlotName: ")[2].split()[0].partition("@")[2].partition(".")[0]

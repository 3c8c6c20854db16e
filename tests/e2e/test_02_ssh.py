"""The ancestor's functional test: log in over ssh, submit sleep.sub, watch it run, read its output."""

import pytest

from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins
from tests.e2e.support.ssh import Ssh
from tests.e2e.support.waiting import NotYetError, wait_for

SLEEP_SH = """#!/bin/sh
echo "sleeping for $1 seconds on $(hostname)"
sleep "$1"
echo "awake"
"""
SLEEP_SUB = """executable = sleep.sh
arguments = 12
log = sleep.log
output = sleep.out
error = sleep.err
should_transfer_files = Yes
when_to_transfer_output = ON_EXIT
request_memory = 32M
request_disk = 16M
queue
"""
PREPARE = "cat >sleep.sh && chmod +x sleep.sh"


def test_the_ancestors_functional_test(lab_pool: Pool, ssh: Ssh, logins: Logins) -> None:
    def john(command: str, stdin: str = "") -> str:
        result = ssh.with_key("john", logins.keys["john"], command, stdin)
        assert result.code == 0, f"{command}: {result}"
        return result.out

    john(PREPARE, SLEEP_SH)
    john("cat >sleep.sub", SLEEP_SUB)
    submitted = john("condor_submit sleep.sub")
    assert "1 job(s) submitted to cluster" in submitted
    cluster = submitted.rstrip(".\n").rpartition(" ")[2]

    def running() -> tuple[str, str]:
        queue = john(f"condor_q -nobatch {cluster}")
        rows = [line.split() for line in queue.splitlines() if line.split()[:1] == [f"{cluster}.0"]]
        if not rows or rows[0][5] != "R":
            raise NotYetError(queue)
        status = john("condor_status")
        busy = [line for line in status.splitlines() if line.split()[3:5] == ["Claimed", "Busy"]]
        if not busy:
            raise NotYetError(status)
        return rows[0][1], busy[0]

    owner, slot = wait_for("condor_q R and condor_status Claimed/Busy", running, 60)
    assert owner == "john"
    assert slot.startswith("slot1_1@lab-cpu-")

    def output() -> str:
        if "Job terminated" not in (log := john("cat sleep.log")):
            raise NotYetError(log)
        return john("cat sleep.out")

    lines = wait_for("the job's end", output, 90).splitlines()
    assert lines[0].startswith("sleeping for 12 seconds on lab-cpu-")
    assert lines[1] == "awake"
    assert john("cat sleep.err") == ""


def test_a_password_alone(ssh: Ssh, logins: Logins) -> None:
    result = ssh.with_password("jane", logins.passwords["jane"], "id -un && pwd && stat -c %a . && condor_q -totals")

    assert result.code == 0, result
    assert result.out.splitlines()[:3] == ["jane", "/home/jane", "700"]
    assert "Total for query: 0 jobs" in result.out


def test_key_and_password_of_one_user(ssh: Ssh, logins: Logins) -> None:
    by_key = ssh.with_key("jim", logins.keys["jim"], "id -un; id -u")
    by_password = ssh.with_password("jim", logins.passwords["jim"], "id -un; id -u")

    assert by_key.code == 0, by_key
    assert by_key == by_password
    name, uid = by_key.out.split()
    assert name == "jim"
    assert int(uid) >= 1000


@pytest.mark.parametrize("user", ["john", "root"])
def test_a_foreign_key_is_refused(ssh: Ssh, logins: Logins, user: str) -> None:
    result = ssh.with_key(user, logins.keys["stranger"], "id")

    assert result.code == 255, result
    assert "Permission denied" in result.err
    assert result.out == ""


@pytest.mark.parametrize(("user", "whose"), [("jane", "jim"), ("root", "jane")])
def test_a_wrong_password_is_refused(ssh: Ssh, logins: Logins, user: str, whose: str) -> None:
    result = ssh.with_password(user, logins.passwords[whose], "id")

    assert result.code == 255, result
    assert "Permission denied" in result.err
    assert result.out == ""


def test_the_homes_of_others_are_closed(ssh: Ssh, logins: Logins) -> None:
    result = ssh.with_key("jim", logins.keys["jim"], "ls /home/john; id -Gn; cat /etc/condorpool/users/shadow")

    assert result.code != 0, result
    assert result.err.count("Permission denied") == 2
    assert result.out.split() == ["jim"]

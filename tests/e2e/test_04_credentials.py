"""What the token of an executor can do: advertise itself, and nothing else. Without a token: read, and nothing else."""

import pytest

from tests.e2e.support.jobs import shell_job
from tests.e2e.support.pool import Pool

SERVER_LEVELS = {
    "READ": True,
    "WRITE": False,
    "DAEMON": False,
    "ADMINISTRATOR": False,
    "NEGOTIATOR": False,
    "ADVERTISE_MASTER": True,
    "ADVERTISE_STARTD": True,
    "ADVERTISE_SCHEDD": False,
}
"""Authorization levels of the collector, and whether an executor has them."""

FORGED = {
    "UPDATE_MASTER_AD": "DaemonMaster",
    "UPDATE_SCHEDD_AD": "Scheduler",
    "UPDATE_SUBMITTOR_AD": "Submitter",
    "UPDATE_NEGOTIATOR_AD": "Negotiator",
    "UPDATE_STARTD_AD": "Machine",
}
"""Commands to the collector and the types of ads that they carry."""

REFUSALS = ("DENIED", "AUTHENTICATE:1003", "failed to send")
"""What the tools say when a daemon refuses; their exit status and "Sent" say nothing."""


def advertise(pool: Pool, command: str, name: str, user: str | None = None) -> str:
    """Send an ad of a made-up daemon from an executor; return what the tool said."""
    ad = {"MyType": FORGED[command], "Name": name, "Machine": name}
    ad |= dict.fromkeys(("MyAddress", "ScheddIpAddr", "StartdIpAddr"), "<192.0.2.1:9618>")
    text = "".join(f'{key} = "{value}"\n' for key, value in ad.items())
    return pool.said(pool.executor("cpu"), "condor_advertise", command, user=user, stdin=text)


def listed(pool: Pool, command: str, name: str) -> bool:
    """Return whether the collector lists the made-up daemon."""
    ads = pool.run(pool.manager, "condor_status", "-any", "-af:t", "MyType", "Name").splitlines()
    return f"{FORGED[command]}\t{name}" in ads


def levels(pool: Pool, pod: str, *target: str, user: str | None = None) -> dict[str, bool]:
    """Return whether each authorization level was granted to a pod, by condor_ping."""
    script = 'for level in $LEVELS; do condor_ping "$@" "$level" >/dev/null 2>&1 && echo "$level"; done; true'
    command = ("env", f"LEVELS={' '.join(SERVER_LEVELS)}", "sh", "-c", script, "sh", *target)
    granted = pool.run(pod, *command, user=user).split()
    return {level: level in granted for level in SERVER_LEVELS}


def test_an_executor_may_advertise_itself_and_read(lab_pool: Pool) -> None:
    assert levels(lab_pool, lab_pool.executor("cpu"), "-type", "COLLECTOR") == SERVER_LEVELS


def test_a_submitter_may_advertise_itself_and_read(lab_pool: Pool) -> None:
    expected = {**SERVER_LEVELS, "ADVERTISE_STARTD": False, "ADVERTISE_SCHEDD": True}
    assert levels(lab_pool, lab_pool.submitter, "-type", "COLLECTOR") == expected


def test_without_a_token_one_may_only_read(lab_pool: Pool) -> None:
    granted = levels(lab_pool, lab_pool.executor("cpu"), "-type", "COLLECTOR", user="nobody")
    assert granted == {**dict.fromkeys(SERVER_LEVELS, False), "READ": True}


def test_the_schedd_takes_nothing_from_an_executor(lab_pool: Pool) -> None:
    granted = levels(lab_pool, lab_pool.executor("cpu"), "-type", "SCHEDD", "-name", _schedd(lab_pool))
    assert granted == {**dict.fromkeys(SERVER_LEVELS, False), "READ": True}


@pytest.mark.parametrize("command", ["UPDATE_SCHEDD_AD", "UPDATE_SUBMITTOR_AD", "UPDATE_NEGOTIATOR_AD"])
def test_an_executor_cannot_pose_as_another_daemon(lab_pool: Pool, command: str) -> None:
    said = advertise(lab_pool, "UPDATE_MASTER_AD", "control")
    assert listed(lab_pool, "UPDATE_MASTER_AD", "control"), f"what an executor may send did not arrive: {said}"

    said = advertise(lab_pool, command, "forged")

    assert not listed(lab_pool, command, "forged"), said


@pytest.mark.parametrize("command", ["UPDATE_MASTER_AD", "UPDATE_STARTD_AD", "UPDATE_SCHEDD_AD"])
def test_nothing_can_be_advertised_without_a_token(lab_pool: Pool, command: str) -> None:
    said = advertise(lab_pool, command, "tokenless", user="nobody")

    assert not listed(lab_pool, command, "tokenless"), said


@pytest.mark.parametrize("user", [None, "nobody"])
def test_an_executor_cannot_submit(lab_pool: Pool, user: str | None) -> None:
    description = shell_job("true", log="/tmp/remote.log", output="/dev/null", error="/dev/null")

    result = lab_pool.attempt(
        lab_pool.executor("cpu"), "condor_submit", "-remote", _schedd(lab_pool), stdin=description, user=user
    )

    assert result.code != 0, result
    assert "submitted to cluster" not in result.text
    jobs = lab_pool.run(lab_pool.submitter, "condor_q", "-allusers", "-af", "UserLog")
    assert "remote.log" not in jobs


@pytest.mark.parametrize("user", [None, "nobody"])
def test_an_executor_cannot_administrate(lab_pool: Pool, user: str | None) -> None:
    before = _daemons(lab_pool)
    manager, submitter = _master(lab_pool, "manager"), _master(lab_pool, "submitter")
    commands = (
        ("condor_off", "-addr", manager, "-daemon", "negotiator"),
        ("condor_restart", "-addr", manager),
        ("condor_reconfig", "-addr", manager),
        ("condor_off", "-addr", submitter, "-daemon", "schedd"),
        ("condor_rm", "-name", _schedd(lab_pool), "-all"),
        ("condor_userprio", "-setfactor", f"john@{lab_pool.trust_domain}", "1000000"),
    )

    said = {command: lab_pool.said(lab_pool.executor("cpu"), *command, user=user) for command in commands}

    assert not [command for command, text in said.items() if not any(refusal in text for refusal in REFUSALS)], said
    assert _daemons(lab_pool) == before


def test_keys_are_only_where_they_verify(lab_pool: Pool) -> None:
    keys = "find /etc/condor/passwords.d /etc/condor/tokens.d -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%f '"
    executor = lab_pool.attempt(lab_pool.executor("cpu"), "sh", "-c", keys).out
    submitter = lab_pool.attempt(lab_pool.submitter, "sh", "-c", keys).out
    manager = lab_pool.attempt(lab_pool.manager, "sh", "-c", keys).out

    assert (executor.split(), submitter.split()) == (["token"], ["token"])
    assert sorted(manager.split()) == ["drain", "executor", "monitor", "submitter"]


def _schedd(pool: Pool) -> str:
    return pool.run(pool.manager, "condor_status", "-schedd", "-af", "Name").split()[0]


def _master(pool: Pool, role: str) -> str:
    here = f'regexp("^{pool.name}-{role}", Name)'
    return pool.run(pool.manager, "condor_status", "-master", "-constraint", here, "-af", "MyAddress").strip()


def _daemons(pool: Pool) -> dict[str, str]:
    """Return the process ids and names of the daemons of manager and submitter."""
    return {pod: pool.run(pod, "pgrep", "-a", "^condor_") for pod in (pool.manager, pool.submitter)}

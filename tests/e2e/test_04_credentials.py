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
    "UPDATE_MASTER_AD": ("DaemonMaster", "-master"),
    "UPDATE_SCHEDD_AD": ("Scheduler", "-schedd"),
    "UPDATE_SUBMITTOR_AD": ("Submitter", "-submitters"),
    "UPDATE_NEGOTIATOR_AD": ("Negotiator", "-negotiator"),
    "UPDATE_STARTD_AD": ("Machine", "-startd"),
}


def advertise(pool: Pool, command: str, name: str, user: str | None = None) -> str:
    """Send an ad of a made-up daemon from an executor; return what the tool said."""
    kind, _ = FORGED[command]
    ad = f'MyType = "{kind}"\nName = "{name}"\nMachine = "{name}"\nMyAddress = "<192.0.2.1:9618>"\nScheddIpAddr = "<192.0.2.1:9618>"\n'
    return pool.attempt(pool.executor("cpu"), "condor_advertise", command, user=user, stdin=ad).text


def listed(pool: Pool, command: str, name: str) -> bool:
    """Return whether the collector lists the made-up daemon."""
    _, option = FORGED[command]
    return name in pool.run(pool.manager, "condor_status", option, "-af", "Name").split()


def levels(pool: Pool, pod: str, *target: str, user: str | None = None) -> dict[str, bool]:
    """Return whether each authorization level was granted to a pod, by condor_ping."""
    return {level: pool.attempt(pod, "condor_ping", *target, level, user=user).code == 0 for level in SERVER_LEVELS}


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
    executor, manager = lab_pool.executor("cpu"), lab_pool.manager
    started = ("condor_status", "-any", "-constraint", f'Machine == "{_manager_machine(lab_pool)}"')
    before = lab_pool.run(manager, *started, "-af", "MyType", "DaemonStartTime")
    priority = lab_pool.run(manager, "condor_userprio", "-allusers", "-priority")

    refused = [
        lab_pool.attempt(executor, *command, user=user)
        for command in (
            ("condor_off", "-name", _manager_machine(lab_pool), "-daemon", "negotiator"),
            ("condor_restart", "-name", _manager_machine(lab_pool)),
            ("condor_off", "-name", _schedd(lab_pool), "-daemon", "schedd"),
            ("condor_rm", "-name", _schedd(lab_pool), "-all"),
            ("condor_userprio", "-setfactor", f"john@{lab_pool.trust_domain}", "1e6"),
        )
    ]

    assert not [result for result in refused if "sent" in result.text.lower() and "failed" not in result.text.lower()]
    assert lab_pool.run(manager, *started, "-af", "MyType", "DaemonStartTime") == before
    assert lab_pool.run(manager, "condor_userprio", "-allusers", "-priority") == priority


def test_keys_are_only_where_they_verify(lab_pool: Pool) -> None:
    keys = "find /etc/condor/passwords.d /etc/condor/tokens.d -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%f '"
    executor = lab_pool.attempt(lab_pool.executor("cpu"), "sh", "-c", keys).out
    submitter = lab_pool.attempt(lab_pool.submitter, "sh", "-c", keys).out
    manager = lab_pool.attempt(lab_pool.manager, "sh", "-c", keys).out

    assert (executor.split(), submitter.split()) == (["token"], ["token"])
    assert sorted(manager.split()) == ["executor", "submitter"]


def _schedd(pool: Pool) -> str:
    return pool.run(pool.manager, "condor_status", "-schedd", "-af", "Name").split()[0]


def _manager_machine(pool: Pool) -> str:
    return pool.run(pool.manager, "condor_status", "-negotiator", "-af", "Machine").split()[0]

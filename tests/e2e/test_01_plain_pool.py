"""An empty spec is a working pool, and says so."""

from tests.e2e.support.jobs import shell_job
from tests.e2e.support.pool import POOL_KIND, Pool, describe

CONDITIONS = {
    "Ready": "True",
    "Accepted": "True",
    "ConfigValid": "True",
    "UsersValid": "True",
    "ManagerReady": "True",
    "SubmitterReady": "True",
    "ExecutorsReady": "True",
    "NetworkPolicyEnforced": "True",
    "StateKnown": "True",
    "Reconciling": "False",
    "Stalled": "False",
}


def test_ready_means_that_every_daemon_is_ready(plain_pool: Pool) -> None:
    plain_pool.wait_ready()

    pods = plain_pool.pods()
    assert len(pods) == 3, describe(pods)
    containers = [one for pod in pods for one in pod["status"]["containerStatuses"] if one["name"] == "condor"]
    assert [one["ready"] for one in containers] == [True] * 3, describe(pods)


def test_runs_a_job(plain_pool: Pool) -> None:
    plain_pool.wait_ready()

    job = plain_pool.submit(shell_job("echo hello from $(hostname)"))

    assert job.wait_done(60) == f"hello from {plain_pool.executor('executor')}\n"


def test_status_and_columns_tell_what_is(plain_pool: Pool) -> None:
    plain_pool.wait_ready()
    plain_pool.wait_condition("StateKnown", "True", 90)

    live = plain_pool.live()
    generation = live["metadata"]["generation"]
    conditions = live["status"]["conditions"]
    assert {item["type"]: item["status"] for item in conditions} == CONDITIONS
    assert {item["observedGeneration"] for item in conditions} == {generation}
    assert live["status"]["observedGeneration"] == generation
    (group,) = live["status"]["executors"]
    slots = group.pop("slots")
    assert group == {"name": "executor", "desired": 1, "ready": 1, "draining": 0}
    assert live["status"]["slots"] == slots
    header, row = plain_pool.kubectl("get", POOL_KIND).splitlines()
    assert header.split() == ["NAME", "READY", "EXECUTORS", "SLOTS", "RUNNING", "IDLE", "SSH", "AGE"]
    assert row.split()[:3] == ["plain", "True", "1/1"]


def test_nothing_of_ssh_exists_when_nobody_asked_for_it(plain_pool: Pool) -> None:
    plain_pool.wait_ready()

    objects = {(obj["kind"], obj["metadata"]["name"]) for obj in plain_pool.objects()}
    assert not [name for _, name in objects if "ssh" in name]
    (submitter,) = plain_pool.pods("submitter")
    assert [container["name"] for container in submitter["spec"]["containers"]] == ["condor"]
    assert "ssh" not in plain_pool.live()["status"]["submitter"]


def test_every_job_has_an_account_of_its_slot(plain_pool: Pool) -> None:
    plain_pool.wait_ready()

    job = plain_pool.submit(shell_job("id -un"))

    assert job.wait_done(60).startswith("slot1_")

"""An executor's pod that is deleted finishes its job first; at the end of the drain time the job is evicted and runs again."""

import time
from dataclasses import dataclass

import pytest

from tests.e2e.support.jobs import EVICTED, EXECUTING, TERMINATED, Job, shell_job
from tests.e2e.support.pool import Pool, describe
from tests.e2e.support.pools import SHORT_DRAIN_SECONDS
from tests.e2e.support.waiting import NotYetError, wait_for

FINISHING = "sleep 40; echo finished"
LONGER_THAN_THE_DRAIN = 'if grep -q "^NumJobStarts = [1-9]" $_CONDOR_JOB_AD; then echo again; else sleep 300; fi'


@dataclass(frozen=True)
class Deleted:
    """A job, and the pod that was deleted under it at a moment of the monotonic clock."""

    job: Job
    pod: str
    uid: str
    at: float


@pytest.fixture(scope="module")
def deleted(drain_pool: Pool) -> dict[str, Deleted]:
    """Start a job in each group, then delete the pods under both at once."""
    jobs = {
        name: drain_pool.submit(shell_job(script, requirements=f'CondorPoolGroup == "{name}"'))
        for name, script in (("long", FINISHING), ("short", LONGER_THAN_THE_DRAIN))
    }
    pods = {name: job.wait_running() for name, job in jobs.items()}
    uids = {name: drain_pool.kubectl.must_get("pod", pod)["metadata"]["uid"] for name, pod in pods.items()}
    drain_pool.kubectl("delete", "pod", *pods.values(), "--wait=false")
    now = time.monotonic()
    return {name: Deleted(jobs[name], pods[name], uids[name], now) for name in jobs}


def wait_gone(pool: Pool, victim: Deleted, seconds: float) -> None:
    """Wait until the deleted pod is gone; a new one of its name may be there."""

    def look() -> None:
        pod = pool.kubectl.get("pod", victim.pod)
        if pod is not None and pod["metadata"]["uid"] == victim.uid:
            raise NotYetError(describe([pod]))

    wait_for(f"the deleted pod {victim.pod} to go", look, seconds)


def test_no_daemon_shortens_a_drain_by_itself(drain_pool: Pool) -> None:
    for daemon in ("master", "startd"):
        told = drain_pool.run(
            drain_pool.executor("long"), "condor_config_val", f"-{daemon}", "SHUTDOWN_GRACEFUL_TIMEOUT"
        )
        assert told.strip() == "10 * 365 * 86400", daemon


def test_status_tells_of_draining_executors(drain_pool: Pool, deleted: dict[str, Deleted]) -> None:
    def look() -> None:
        groups = {item["name"]: item for item in drain_pool.live()["status"]["executors"]}
        if groups["long"]["draining"] != 1:
            raise NotYetError(f"{groups}")

    wait_for("a draining executor in the status", look, 15)


def test_a_job_longer_than_the_drain_time_is_evicted_and_runs_again(
    drain_pool: Pool, deleted: dict[str, Deleted]
) -> None:
    victim = deleted["short"]

    victim.job.wait_event(EVICTED, SHORT_DRAIN_SECONDS + 30)

    lasted = time.monotonic() - victim.at
    assert lasted > SHORT_DRAIN_SECONDS - 5, f"evicted {lasted:.0f} s after the deletion"
    wait_gone(drain_pool, victim, 60)
    assert victim.job.wait_done(120) == "again\n"
    events = victim.job.events()
    assert events.count(EXECUTING) == 2, events
    assert events.count(EVICTED) == 1, events


def test_a_job_shorter_than_the_drain_time_finishes(drain_pool: Pool, deleted: dict[str, Deleted]) -> None:
    victim = deleted["long"]

    assert victim.job.wait_done(120) == "finished\n"

    events = victim.job.events()
    assert events.count(EXECUTING) == 1, events
    assert EVICTED not in events
    assert events[-1] == TERMINATED
    wait_gone(drain_pool, victim, 60)
    drain_pool.wait_condition("Ready", "True", 90)

"""Executors that die without a word: their jobs are back in the queue within a minute, and never while they could still run."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.support.container import signal_container
from tests.e2e.support.jobs import EXECUTING, RUNNING, START_SECONDS, TERMINATED, Job, shell_job
from tests.e2e.support.kubectl import Kubectl, Object
from tests.e2e.support.machines import silenced, workers
from tests.e2e.support.manifests import group, secret, user
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins
from tests.e2e.support.waiting import NotYetError, stays, wait_for

RECONNECT_FAILED = "024"
LIMIT_SECONDS = 60.0
SILENT_SECONDS = 60.0
"""For which a silent node must cost no job; the node is tainted unreachable after 40 s."""
ONCE_FOR_EVER = 'if grep -q "^NumJobStarts = [1-9]" $_CONDOR_JOB_AD; then sleep 5; echo again; else sleep 3600; fi'


@pytest.fixture(scope="module")
def pool(kubectl: Kubectl, new_namespace: Callable[[str], Kubectl], logins: Logins) -> Pool:
    """Start a pool with one group on a node that may be lost, and all else on another; a user's home outlives the submitter."""
    lost, safe = (_on(name) for name in workers(kubectl))
    pool = Pool(new_namespace("lost"), "lost")
    groups = [group("doomed", privileged=False, **lost), group("spare", privileged=False, **safe)]
    pool.kubectl.apply(secret("john", authorized_keys=logins.keys["john"].public))
    submitter = {**safe, "ssh": {"users": [user("john", keys="john")]}}
    pool.apply({"executors": groups, "manager": safe, "submitter": submitter})
    pool.wait_ready()
    return pool


def _on(node: str) -> dict[str, Any]:
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


@pytest.fixture
def job(pool: Pool) -> Job:
    """Start a job on the group that is to be lost; it never ends there, and soon where it runs next."""
    pool.wait_executors({pool.executor("doomed"), pool.executor("spare")}, 90)
    job = pool.submit(shell_job(ONCE_FOR_EVER, requirements='CondorPoolGroup == "doomed" || NumJobStarts > 0'), "john")
    assert job.wait_running() == pool.executor("doomed")
    return job


def runs_again(job: Job, since: float) -> None:
    """Assert that a job is given back in time, and then runs once and to its end."""
    job.wait_event(RECONNECT_FAILED, LIMIT_SECONDS)
    took = time.monotonic() - since
    assert took < LIMIT_SECONDS, f"back in the queue after {took:.0f} s"
    assert job.wait_done(120) == "again\n"
    events = job.events()
    after = events[events.index(RECONNECT_FAILED) :]
    assert (events.count(EXECUTING), after.count(EXECUTING), events.count(TERMINATED)) == (2, 1, 1), events


def said(pool: Pool, reason: str) -> None:
    """Wait for an event about the pool."""

    def look() -> None:
        found = [name for name, _ in pool.warnings()]
        if reason not in found:
            raise NotYetError(f"{sorted(set(found))}")

    wait_for(f"an event {reason}", look, 60)


def test_a_killed_container(pool: Pool, job: Job) -> None:
    """Its kubelet starts it again in the same pod, with the same address."""
    now = time.monotonic()
    signal_container(pool.kubectl.must_get("pod", pool.executor("doomed")), "KILL")
    runs_again(job, now)
    said(pool, "ExecutorGone")


def test_a_job_whose_shadow_served_another_before(pool: Pool) -> None:
    """The second job has the claim of the first, and a shadow whose arguments still name the first."""
    pool.wait_executors({pool.executor("doomed"), pool.executor("spare")}, 90)
    doomed = 'CondorPoolGroup == "doomed" || NumJobStarts > 0'
    first = pool.submit(shell_job("sleep 5", requirements=doomed, request_cpus=3))
    job = pool.submit(shell_job(ONCE_FOR_EVER, requirements=doomed, request_cpus=3))
    first.wait_done(60)
    assert job.wait_running() == pool.executor("doomed")
    assert f"Switching to new job {job.cluster}.0" in pool.logs(pool.submitter)
    now = time.monotonic()
    signal_container(pool.kubectl.must_get("pod", pool.executor("doomed")), "KILL")
    runs_again(job, now)


def test_a_pod_that_is_killed_while_it_drains(pool: Pool, job: Job) -> None:
    """It goes for good, and another of its name comes with another address."""
    pod = pool.kubectl.must_get("pod", pool.executor("doomed"))
    pool.kubectl("delete", "pod", pool.executor("doomed"), "--wait=false")
    job.wait_status(RUNNING, 10)
    now = time.monotonic()
    signal_container(pod, "KILL")
    runs_again(job, now)


def test_a_submitter_and_an_executor_that_are_killed_together(pool: Pool, job: Job) -> None:
    """The schedd begins with a shadow that calls an executor that it has never known to be gone, and drops the claim with that shadow."""
    pods = [pool.kubectl.must_get("pod", name) for name in (pool.executor("doomed"), pool.submitter)]
    now = time.monotonic()
    for pod in pods:
        signal_container(pod, "KILL")
    wait_for("the submitter's container to be back", lambda: _restarted(pool, pods[1]), 60)
    assert job.wait_done(LIMIT_SECONDS) == "again\n"
    assert time.monotonic() - now < LIMIT_SECONDS + START_SECONDS
    assert (job.events().count(EXECUTING), job.events().count(TERMINATED)) == (2, 1)


def _restarted(pool: Pool, before: Object) -> None:
    now, then = (_condor(pod) for pod in (pool.kubectl.must_get("pod", pool.submitter), before))
    if now["restartCount"] == then["restartCount"] or not now["ready"]:
        raise NotYetError(f"started again {now['restartCount']} times")


def _condor(pod: Object) -> Object:
    return next(one for one in pod["status"]["containerStatuses"] if one["name"] == "condor")


def test_a_killed_startd(pool: Pool, job: Job) -> None:
    """Kubernetes sees nothing; condor_master starts another one ten seconds later."""
    now = time.monotonic()
    pool.run(pool.executor("doomed"), "sh", "-c", "kill -KILL $(pgrep -x condor_startd)")
    runs_again(job, now)


def test_a_silent_node_keeps_its_jobs_until_it_is_gone(kubectl: Kubectl, pool: Pool, job: Job) -> None:
    """Neither silence nor a pod that is deleted by force proves that its job has ended; the end of the Node object does."""
    node, _ = workers(kubectl)
    with silenced(kubectl, node):
        pool.kubectl("delete", "pod", pool.executor("doomed"), "--grace-period=0", "--force", seconds=60)
        said(pool, "ExecutorLost")
        stays("the job of a silent node", lambda: job.attribute("JobStatus"), SILENT_SECONDS)
        assert job.events().count(EXECUTING) == 1
        assert RECONNECT_FAILED not in job.events()
        now = time.monotonic()
        kubectl("delete", "node", node, "--wait=false")
        runs_again(job, now)
    pool.wait_ready(120)

"""The queue outlives its pod, and jobs outlive both the submitter's and the manager's; what damage is told of, and mended."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.support.container import signal_container
from tests.e2e.support.jobs import EVICTED, EXECUTING, IDLE, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import group, secret, user
from tests.e2e.support.pool import Pool, describe, is_ready
from tests.e2e.support.pools import Logins
from tests.e2e.support.waiting import NotYetError, wait_for

RECONNECTED = "023"
BACK_SECONDS = 90.0
AGAIN_SECONDS = 20.0
"""From the new manager's readiness to the begin of a job that waited: 15, and what two busy cores may add."""
NOTICE_SECONDS = 90.0
"""Until a manager that went without a word is missed: a minute, and a few seconds."""
ASKING_SECONDS = 25.0
QUICK_SECONDS = 5.0
"""An answer of the queue; ten seconds of silence out of twenty would show."""
CORRUPT_SECONDS = 120.0
"""Three failed probes, a quarter of a minute apart, and as long again."""
QUEUE = "/var/lib/condor/spool/job_queue.log"
NOWHERE = {"nodeSelector": {"nowhere": "at-all"}}


def spec(**manager: Any) -> dict[str, Any]:
    """Return the pool's spec."""
    return {
        "manager": manager,
        "submitter": {"ssh": {"users": [user("john", keys="john")]}},
        "executors": [group("cpu")],
    }


@pytest.fixture(scope="module")
def pool(new_namespace: Callable[[str], Kubectl], logins: Logins) -> Pool:
    """Return the ready pool, with a user whose home is on the claim."""
    made = Pool(new_namespace("durable"), "durable")
    made.kubectl.apply(secret("john", authorized_keys=logins.keys["john"].public))
    made.apply(spec())
    made.wait_ready()
    made.wait_executors({made.executor("cpu")}, 60)
    return made


def wait_schedd(pool: Pool) -> None:
    """Wait until the queue answers."""

    def look() -> None:
        if pool.attempt(pool.submitter, "condor_q", "-allusers", "-total").code != 0:
            raise NotYetError(describe(pool.pods("submitter")))

    wait_for("the queue to answer", look, BACK_SECONDS)


def undisturbed(job: Job) -> None:
    """Assert that a job ran once."""
    events = job.events()
    assert (events.count(EXECUTING), events.count(EVICTED)) == (1, 0), events


def test_a_running_job_outlives_the_submitter_killed_and_deleted(pool: Pool) -> None:
    job = pool.submit(shell_job("sleep 60; echo once"), user="john")
    job.wait_running()

    signal_container(pool.kubectl.must_get("pod", pool.submitter), "KILL")
    wait_for("the container to be started again", lambda: _restarted(pool), BACK_SECONDS)
    wait_schedd(pool)
    job.wait_event(RECONNECTED, BACK_SECONDS)
    pool.kubectl("delete", "pod", pool.submitter, seconds=BACK_SECONDS)
    wait_schedd(pool)

    assert job.wait_done(120) == "once\n"
    undisturbed(job)
    assert pool.submit(shell_job("true"), user="john").cluster > job.cluster


def test_a_schedd_that_is_killed_remembers_a_job_that_has_just_begun(pool: Pool) -> None:
    """The job takes over the claim and the shadow of another one, which HTCondor by itself writes down seconds later."""
    pool.wait_condition("Ready", "True", BACK_SECONDS)
    first = pool.submit(shell_job("sleep 15"), user="john")
    first.wait_running()
    second = pool.submit(shell_job("sleep 25; echo once"), user="john")
    second.wait_event(EXECUTING, BACK_SECONDS)
    pool.run(pool.submitter, "pkill", "-KILL", "-x", "condor_schedd")

    wait_schedd(pool)
    second.wait_event(RECONNECTED, BACK_SECONDS)
    assert second.wait_done(BACK_SECONDS) == "once\n"


def test_without_a_manager_jobs_run_and_are_submitted_and_with_one_they_start_at_once(pool: Pool) -> None:
    pool.wait_condition("Ready", "True", BACK_SECONDS)
    job = pool.submit(shell_job("sleep 40; echo undisturbed"), user="john")
    job.wait_running()

    pool.apply(spec(**NOWHERE))
    pool.wait_condition("ManagerReady", "False", BACK_SECONDS, "Unschedulable")
    # larger than the slot of the first job, or it would run there, on the claim that the queue has already
    waiting = pool.submit(shell_job("echo matched", request_cpus=2), user="john")
    wait_for("pool-init to notice", lambda: _noticed(pool), NOTICE_SECONDS)
    assert str(waiting.cluster) in pool.run(pool.submitter, "condor_q", "-nobatch", str(waiting.cluster), user="john")
    assert longest_question(pool, ASKING_SECONDS) < QUICK_SECONDS
    assert job.wait_done(90) == "undisturbed\n"
    undisturbed(job)
    assert EXECUTING not in waiting.events()

    pool.apply(spec())
    assert waiting.wait_done(BACK_SECONDS) == "matched\n"

    (manager,) = [pod for pod in pool.pods("manager") if is_ready(pod)]
    (ready,) = [one for one in manager["status"]["conditions"] if one["type"] == "Ready"]
    began = float(waiting.attribute_of_history("JobStartDate"))
    late = began - datetime.fromisoformat(ready["lastTransitionTime"]).timestamp()
    assert late <= AGAIN_SECONDS, f"the job began {late:.0f} s after the manager was ready"


def test_priorities_outlive_the_manager_on_a_claim_of_its_own(pool: Pool) -> None:
    pool.wait_condition("Ready", "True", BACK_SECONDS)
    assert factor_after_a_restart(pool) == "1000.0", "without a claim they begin anew"

    kept = {"size": "1Gi", "storageClassName": "standard", "retentionPolicy": "Retain"}
    pool.apply(spec(storage=kept))
    pool.wait_condition("Ready", "True", BACK_SECONDS)
    assert factor_after_a_restart(pool) == "7.0"

    claim = pool.kubectl.must_get("persistentvolumeclaim", "durable-manager")
    assert claim["spec"]["storageClassName"] == "standard"
    assert claim["status"]["capacity"] == {"storage": "1Gi"}
    assert "ownerReferences" not in claim["metadata"]
    assert pool.live()["status"]["manager"]["storage"] == {"size": "1Gi"}


def test_a_corrupt_queue_is_told_of_and_mended_as_documented(pool: Pool) -> None:
    """docs/operations.md, A corrupt queue."""
    pool.wait_condition("Ready", "True", BACK_SECONDS)
    job = pool.submit(shell_job("true", requirements='Machine == "nowhere"'), user="john")
    record = f"^103 0{job.cluster}.-1 JobPrio "
    line = pool.run(pool.submitter, "grep", "-n", record, QUEUE).partition(":")[0]
    pool.run(pool.submitter, "sed", "-i", f"{line}s/.*/1x3 garbage/", QUEUE)
    pool.run(pool.submitter, "pkill", "-KILL", "-x", "condor_schedd")

    told = pool.wait_condition("SubmitterReady", "False", CORRUPT_SECONDS, "QueueCorrupt")
    assert told["message"].startswith(f"pod {pool.submitter}: the schedd does not start"), told
    assert QUEUE.rpartition("/")[2] in told["message"]
    assert pool.condition("Stalled")["status"] == "True"
    assert "QueueCorrupt" in {reason for reason, _ in pool.warnings()}
    said = re.findall(r"\[pool-init\] QueueCorrupt: .*corrupt log record (\d+) ", pool.logs(pool.submitter))
    assert said == [line]

    pool.run(pool.submitter, "sed", "-i", f"{said[0]}d", QUEUE)
    pool.kubectl("delete", "pod", pool.submitter, seconds=BACK_SECONDS)
    wait_schedd(pool)
    job.wait_status(IDLE, 30)
    pool.wait_condition("SubmitterReady", "True", BACK_SECONDS)


def longest_question(pool: Pool, seconds: float) -> float:
    """Ask for the queue again and again for so long; return the seconds of the longest answer."""
    longest, end = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        pool.run(pool.submitter, "condor_q", "-allusers", "-total")
        longest = max(longest, time.monotonic() - began)
    return longest


def _noticed(pool: Pool) -> None:
    if "no manager is to be reached: reconfig" not in pool.logs(pool.submitter):
        raise NotYetError("it has not said so")


def factor_after_a_restart(pool: Pool) -> str:
    """Give john a better priority factor than the default of 1000, and return the one that he has with the next manager."""
    before = pool.kubectl.must_get("pod", pool.manager)["metadata"]["uid"]
    pool.run(pool.manager, "condor_userprio", "-setfactor", f"john@{pool.trust_domain}", "7")
    pool.kubectl("delete", "pod", pool.manager, seconds=BACK_SECONDS)

    def look() -> str:
        found = [pod for pod in pool.pods("manager") if is_ready(pod) and pod["metadata"]["uid"] != before]
        if not found:
            raise NotYetError(describe(pool.pods("manager")))
        name = str(found[0]["metadata"]["name"])
        told = pool.run(name, "condor_userprio", "-allusers", "-all", "-af", "Name", "PriorityFactor")
        factors = dict(line.split() for line in told.splitlines())
        return factors.get(f"john@{pool.trust_domain}", "1000.0")

    return wait_for("the next manager", look, BACK_SECONDS)


def _restarted(pool: Pool) -> None:
    statuses = pool.kubectl.must_get("pod", pool.submitter)["status"]["containerStatuses"]
    status = next(one for one in statuses if one["name"] == "condor")
    if status["restartCount"] < 1 or not status["ready"]:
        raise NotYetError(f"restarted {status['restartCount']} times")

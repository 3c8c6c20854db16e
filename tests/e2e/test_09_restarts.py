"""Restarts: of the operator's pod, which nobody notices, and of the submitter's, which keeps queue and host keys."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.support import operator
from tests.e2e.support.agent import Agent, operators_place
from tests.e2e.support.jobs import HELD, IDLE, RUNNING, shell_job
from tests.e2e.support.kubectl import Kubectl, Object
from tests.e2e.support.pool import POOL_KIND, Pool
from tests.e2e.support.pools import Logins
from tests.e2e.support.ssh import Ssh
from tests.e2e.support.waiting import NotYetError, stays, wait_for

REST_SECONDS = 120.0
"""From the last job to a status that says so: 20 s of the schedd, up to a minute of the operator while nothing changes."""


def test_a_restart_of_the_operator_writes_nothing(
    kubectl: Kubectl, lab_pool: Pool, new_namespace: Callable[[str], Kubectl]
) -> None:
    wait_at_rest(kubectl, lab_pool)
    before = objects(lab_pool)
    stays("the pool at rest", lambda: list(differences(before, objects(lab_pool))), 5)

    operator.restart(kubectl)
    witness = Pool(new_namespace("witness"), "witness")
    witness.apply({"executors": []})
    witness.wait_ready()

    changed = stays("the pool after the restart", lambda: list(differences(before, objects(lab_pool))), 5)
    assert changed == []


def test_queue_homes_and_host_keys_outlive_the_submitters_pod(lab_pool: Pool, ssh: Ssh, logins: Logins) -> None:
    keys = ssh.host_keys()
    assert "ssh-ed25519" in keys
    job = lab_pool.submit(shell_job("true", requirements='Machine == "nowhere"'), user="john")
    uid = lab_pool.kubectl.must_get("pod", lab_pool.submitter)["metadata"]["uid"]

    lab_pool.kubectl("delete", "pod", lab_pool.submitter, seconds=90)

    def back() -> str:
        pod = lab_pool.kubectl.get("pod", lab_pool.submitter)
        if pod is None or pod["metadata"]["uid"] == uid or not (shown := ssh.host_keys()):
            raise NotYetError("sshd does not answer")
        return shown

    assert wait_for("the new submitter's sshd", back, 90) == keys
    lab_pool.wait_condition("Ready", "True", 90)
    job.wait_status(IDLE, 30)
    seen = ssh.with_key("john", logins.keys["john"], f"condor_q -nobatch {job.cluster} && ls {job.directory}")
    assert f"{job.cluster}.0" in seen.out, seen
    assert "job.sub" in seen.out, seen
    later = lab_pool.submit(shell_job("echo after the restart"), user="john")
    assert later.cluster > job.cluster
    assert later.wait_done(90) == "after the restart\n"
    lab_pool.run(lab_pool.submitter, "condor_rm", str(job.cluster), user="john")


def wait_at_rest(kubectl: Kubectl, pool: Pool) -> None:
    """Wait until queue, agent and status tell the same of jobs, and the latter two of slots: then status has nothing to catch up with."""
    agent, place = Agent(pool), operators_place(kubectl)

    def look() -> None:
        queue = pool.run(pool.submitter, "condor_q", "-allusers", "-af", "JobStatus").split()
        wanted = {"idle": IDLE, "running": RUNNING, "held": HELD}
        queued = {name: queue.count(str(status)) for name, status in wanted.items()}
        said, shown = agent.state(place), agent.shown()
        told = {"slots": said["slots"], "jobs": {name: said["jobs"][name] for name in wanted}}
        if not queued == told["jobs"] == shown["jobs"] or told["slots"] != shown["slots"]:
            raise NotYetError(f"queue: {queued}; agent: {told}; status: {shown}")

    wait_for("a status that tells what is", look, REST_SECONDS)


def objects(pool: Pool) -> dict[str, Object]:
    """Return the pool and all its objects by kind and name."""
    found = [*pool.objects(), *pool.kubectl.list(POOL_KIND)]
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in found}


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Give "path: before -> after" of all that differs; of what Secrets hold the path only."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif before != after:
        yield path if path.startswith(".Secret/") else f"{path}: {before} -> {after}"

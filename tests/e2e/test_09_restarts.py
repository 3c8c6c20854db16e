"""Restarts: of the submitter's pod, which keeps queue and host keys, and of the operator's, which nobody notices."""

from collections.abc import Callable

from tests.e2e.support import operator
from tests.e2e.support.jobs import IDLE, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.pool import POOL_KIND, Pool
from tests.e2e.support.pools import Logins
from tests.e2e.support.ssh import Ssh
from tests.e2e.support.waiting import NotYetError, stays, wait_for


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


def test_a_restart_of_the_operator_writes_nothing(
    kubectl: Kubectl, lab_pool: Pool, new_namespace: Callable[[str], Kubectl]
) -> None:
    before = stays("the pool at rest", lambda: _versions(lab_pool), 5)

    operator.restart(kubectl)
    witness = Pool(new_namespace("witness"), "witness")
    witness.apply({"executors": []})
    witness.wait_ready()

    after = stays("the pool after the restart", lambda: _versions(lab_pool), 5)
    assert after == before


def _versions(pool: Pool) -> dict[str, str]:
    """Return the resourceVersions of the pool and of all its objects."""
    objects = [*pool.objects(), *pool.kubectl.list(POOL_KIND)]
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in objects}

"""FUSE: what a group declares is there for its jobs and kept up; whatever hangs or is left behind, no slot, pod or node is blocked."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.support.fuse import (
    DATA,
    ONEDATA,
    RIGHT_TOKEN,
    WRONG_TOKEN,
    fuse_spec,
    machine_ad,
    on_node,
    server,
    wait_machine,
)
from tests.e2e.support.images import load_image
from tests.e2e.support.jobs import EXECUTING, IDLE, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import secret
from tests.e2e.support.pool import READY_SECONDS, Pool
from tests.e2e.support.waiting import NotYetError, stays, wait_for

ROOT = Path(__file__).resolve().parents[2]

UP_SECONDS = 60.0
OUT_SECONDS = 25.0
"""From the moment that a server stops until the collector knows: a look, its limit, and the startd's own pause between updates."""
STATUS_SECONDS = 90.0
"""The agent is asked once a minute while nothing changes."""
REMOUNTED_SECONDS = 75.0
"""A server is ended when it has not answered for half a minute."""
DRAIN_SECONDS, GRACE_SECONDS = 10, 70
OWN_STOPPED = "mkdir own; bindfs -f /source own & until [ -e own/word ]; do sleep 0.1; done; kill -STOP $!"
"""In a job: a mount of its own whose server does not answer."""
KEY, NOT_FOR_JOBS = "key", "not-for-jobs"


@pytest.fixture(scope="module")
def fuse_pool(new_namespace: Callable[[str], Kubectl]) -> Iterator[Pool]:
    """Return the ready pool with mounts; the token of its group `late` is wrong."""
    load_image(ROOT, "fuse")
    kubectl = new_namespace("fuse")
    kubectl.apply(
        secret("keytab", **{KEY: NOT_FOR_JOBS}),
        secret("onedata", access=RIGHT_TOKEN),
        secret("late", token=WRONG_TOKEN),
    )
    pool = Pool(kubectl, "fuse")
    pool.apply(fuse_spec(DRAIN_SECONDS))
    pool.wait_condition("SubmitterReady", "True", READY_SECONDS)
    pool.wait_condition("ExecutorsReady", "False", READY_SECONDS, "MountBroken")
    yield pool
    pool.clear_queue()


def submit(pool: Pool, group: str, script: str, requirements: str = "true") -> Job:
    """Submit a job for the executor of a group."""
    return pool.submit(shell_job(script, requirements=f'CondorPoolGroup == "{group}" && {requirements}'))


def wait_file(pool: Pool, pod: str, path: str) -> None:
    """Wait for a file in a pod, by which a job says how far it is."""

    def look() -> None:
        if pool.attempt(pod, "test", "-e", path).code != 0:
            raise NotYetError("it is not there")

    wait_for(f"{path} in {pod}", look, UP_SECONDS)


@dataclass(frozen=True)
class Doomed:
    """An executor that was deleted under two mounts that hang, at a moment of the monotonic clock."""

    uid: str
    node: str
    at: float


@pytest.fixture(scope="module")
def doomed(fuse_pool: Pool) -> Doomed:
    """Delete the executor of `ending`: its mount hangs, and a job that has a hanging mount of its own waits for both."""
    pod = fuse_pool.executor("ending")
    wait_machine(fuse_pool, "ending", {"HasMount_data": "true"}, UP_SECONDS)
    script = f"{OWN_STOPPED}; cat own/word & touch {DATA}/waits; while :; do cat {DATA}/word; sleep 0.2; done"
    submit(fuse_pool, "ending", script)
    wait_file(fuse_pool, pod, "/source/waits")
    fuse_pool.run(pod, "kill", "-STOP", server(fuse_pool, pod, DATA))
    live = fuse_pool.kubectl.must_get("pod", pod)
    fuse_pool.kubectl("delete", "pod", pod, "--wait=false")
    return Doomed(live["metadata"]["uid"], live["spec"]["nodeName"], time.monotonic())


def test_a_wrong_token_keeps_jobs_away_and_says_so(fuse_pool: Pool, doomed: Doomed) -> None:
    wait_machine(fuse_pool, "late", {"HasMount_onedata": "false", "CondorPoolBrokenMounts": "onedata"}, UP_SECONDS)
    log = fuse_pool.kubectl("logs", fuse_pool.executor("late"))

    assert "[mount.onedata] invalid token" in log
    assert "[pool-init] mount onedata: its command ended with status 1" in log
    assert WRONG_TOKEN not in log
    assert machine_ad(fuse_pool, "late", "Start") == ["false"]
    told = fuse_pool.wait_condition("ExecutorsReady", "False", STATUS_SECONDS, "MountBroken")
    assert "onedata of fuse-late-0" in told["message"]
    fuse_pool.kubectl.apply(secret("late", token=RIGHT_TOKEN))
    # the kubelet looks at a pod's Secrets at once when the pod has changed
    fuse_pool.kubectl("annotate", "pod", fuse_pool.executor("late"), "e2e/changed=now")


def test_a_pod_with_hanging_mounts_ends_within_its_grace(fuse_pool: Pool, doomed: Doomed) -> None:
    pod = fuse_pool.executor("ending")

    def look() -> None:
        live = fuse_pool.kubectl.get("pod", pod)
        if live is not None and live["metadata"]["uid"] == doomed.uid:
            raise NotYetError("it is still there")

    wait_for("the deleted pod to go", look, doomed.at + GRACE_SECONDS - time.monotonic())
    left = f"grep -sl {doomed.uid} /proc/[0-9]*/cgroup; grep -E '{doomed.uid}| - fuse[. ]' /proc/1/mountinfo"
    assert on_node(doomed.node, left) == ""


def test_jobs_find_what_their_group_declares(fuse_pool: Pool) -> None:
    script = (
        f"exec 2>&1; cat {DATA}/word {ONEDATA}/word; touch {ONEDATA}/new; cat /etc/condorpool/mounts/data/{KEY}; "
        "for server in $(pgrep bindfs); do cat /proc/$server/environ; done; true"
    )
    job = submit(fuse_pool, "cpu", script, "HasMount_data && HasMount_onedata")

    out = job.wait_done(UP_SECONDS)

    assert out.startswith("shared\nspaced\n")
    assert f"'{ONEDATA}/new': Read-only file system" in out
    assert f"/etc/condorpool/mounts/data/{KEY}: Permission denied" in out
    assert out.count("/environ: Permission denied") == 2
    assert NOT_FOR_JOBS not in out
    assert RIGHT_TOKEN not in out


def test_the_token_is_known_to_its_server_alone(fuse_pool: Pool) -> None:
    pod = fuse_pool.executor("cpu")

    lines = fuse_pool.run(pod, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    knowing = fuse_pool.said(pod, "sh", "-c", f"grep -sl {RIGHT_TOKEN} /proc/[0-9]*/environ")

    assert RIGHT_TOKEN not in lines
    assert knowing.split() == [f"/proc/{server(fuse_pool, pod, ONEDATA)}/environ"]
    assert fuse_pool.run(pod, "cat", f"/etc/condorpool/mounts/data/{KEY}") == NOT_FOR_JOBS


def test_a_job_survives_the_death_of_a_server(fuse_pool: Pool) -> None:
    pod = fuse_pool.executor("cpu")
    script = f"cat {DATA}/word; touch {DATA}/begun; until [ -e /run/e2e-go ]; do sleep 0.2; done; cat {DATA}/word"
    job = submit(fuse_pool, "cpu", script)
    wait_file(fuse_pool, pod, "/source/begun")
    killed = server(fuse_pool, pod, DATA)

    fuse_pool.run(pod, "kill", "-KILL", killed)

    def look() -> None:
        if server(fuse_pool, pod, DATA) == killed or fuse_pool.attempt(pod, "test", "-e", f"{DATA}/word").code != 0:
            raise NotYetError("it is not mounted again")

    wait_for("another server", look, UP_SECONDS)
    fuse_pool.run(pod, "touch", "/run/e2e-go")
    assert job.wait_done(UP_SECONDS) == "shared\nshared\n"
    assert job.events().count(EXECUTING) == 1


def test_a_hanging_mount_keeps_jobs_away_until_it_is_mounted_again(fuse_pool: Pool) -> None:
    pod = fuse_pool.executor("cpu")
    reader = submit(
        fuse_pool, "cpu", f"until cat {DATA}/word && [ -e /run/e2e-read ]; do touch {DATA}/reads; sleep 0.2; done"
    )
    wait_file(fuse_pool, pod, "/source/reads")

    fuse_pool.run(pod, "kill", "-STOP", server(fuse_pool, pod, DATA))

    wait_machine(fuse_pool, "cpu", {"HasMount_data": "false", "CondorPoolBrokenMounts": "data"}, OUT_SECONDS)
    assert machine_ad(fuse_pool, "cpu", "HasMount_onedata", "Start") == ["true", "false"]
    other = submit(fuse_pool, "cpu", "echo needs no mount")
    stays("the job's status", lambda: other.attribute("JobStatus") == str(IDLE), 10)
    wait_machine(fuse_pool, "cpu", {"HasMount_data": "true", "CondorPoolBrokenMounts": ""}, REMOUNTED_SECONDS)
    assert other.wait_done(UP_SECONDS) == "needs no mount\n"
    fuse_pool.run(pod, "touch", "/run/e2e-read")
    assert reader.wait_done(UP_SECONDS).endswith("shared\n")
    assert reader.events().count(EXECUTING) == 1
    assert fuse_pool.kubectl.must_get("pod", pod)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_nothing_is_left_of_what_jobs_mount_themselves(fuse_pool: Pool) -> None:
    pod = fuse_pool.executor("cpu")
    left = submit(fuse_pool, "cpu", "mkdir own && bindfs /source own && cat own/word")
    stopped = submit(fuse_pool, "cpu", f"{OWN_STOPPED}; touch {DATA}/stopped; cat own/word")

    assert left.wait_done(UP_SECONDS) == "shared\n"
    wait_file(fuse_pool, pod, "/source/stopped")
    fuse_pool.run(fuse_pool.submitter, "condor_rm", str(stopped.cluster))

    def look() -> None:
        seen = fuse_pool.run(
            pod,
            "sh",
            "-c",
            "ps -eo user:16,args | grep ^slot1_; ls -d /var/lib/condor/execute/dir_*; grep ' fuse' /proc/1/mountinfo | cut -d' ' -f5; true",
        )
        slots = fuse_pool.slots('CondorPoolGroup == "cpu"')
        if sorted(seen.split()) != [DATA, ONEDATA] or [slot["State"] for slot in slots] != ["Unclaimed"]:
            raise NotYetError(f"{seen}; {slots}")

    wait_for("processes, mounts and slots of jobs to go", look, UP_SECONDS)


def test_a_corrected_token_is_used_without_a_restart(fuse_pool: Pool) -> None:
    wait_machine(fuse_pool, "late", {"HasMount_onedata": "true", "CondorPoolBrokenMounts": ""}, 120)

    pod = fuse_pool.kubectl.must_get("pod", fuse_pool.executor("late"))
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert submit(fuse_pool, "late", f"cat {ONEDATA}/word").wait_done(UP_SECONDS) == "spaced\n"
    fuse_pool.wait_condition("Ready", "True", STATUS_SECONDS)

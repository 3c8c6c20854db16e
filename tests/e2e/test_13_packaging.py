"""The operator as its users install, upgrade, roll back and remove it, under a pool that goes on working.

Each operator here serves one namespace. The CRD is the suite's: what releases do to it is tested on an API server of its own, in tests/api.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.jobs import EXECUTING, SUBMITTED, TERMINATED, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import group, secret, user
from tests.e2e.support.operator import DEPLOYMENT, RELEASE
from tests.e2e.support.pool import POOL_KIND, Pool
from tests.e2e.support.pools import Logins
from tests.e2e.support.releases import (
    ROLE_REPOSITORY,
    Release,
    apply_overlay,
    build_old_image,
    build_wall,
    load_role_image,
    new_namespace,
    tear_down,
)
from tests.e2e.support.waiting import NotYetError, stays, wait_for
from tests.history import RELEASED, unpack

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "manifests" / "overlays" / "namespace"
WORKLOADS = "deployments,statefulsets"
ROLES = ("manager", "submitter", "executor")
OLD, NEW = "condorpool/operator:released", "condorpool/operator:dev"
PROGRESS = ("006", "022", "023", "040")
"""Events of a job that runs: its size, its files, a submitter that goes and comes back."""
CPU = group("cpu", drainTimeout="1m")
"""The executors: a job of a failed test does not hold its namespace for a day."""
USER = "john"
GO = "/run/e2e-go"
WAITING_JOB = f"until [ -e {GO} ]; do sleep 1; done; echo survived"

KNOCK = """
import os, socket, sys
for address in sys.argv[1:]:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
        print("open")
    except OSError:
        print("shut")
"""


@pytest.fixture(scope="module")
def guarded(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Return kubectl for a cluster with the CRD, in which our namespaces are closed to the suite's operator."""
    if kubectl.get("crd", POOL_KIND) is None:
        request.getfixturevalue("installed")
    tear_down(kubectl)
    build_wall(kubectl)
    yield kubectl
    if not request.config.getoption("keep_cluster"):
        tear_down(kubectl)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tree that upgrades start from; the nodes have its operator."""
    directory = tmp_path_factory.mktemp("released")
    tree = unpack(RELEASED, directory / "tree")
    build_old_image(tree, directory / "image")
    return tree


@pytest.fixture(scope="module")
def overlaid(guarded: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Return a pool in a namespace whose operator came with kustomize; it may not be ready yet."""
    kubectl = new_namespace(guarded, "overlay")
    apply_overlay(kubectl, OVERLAY, tmp_path_factory.mktemp("overlay") / "mine")
    pool = Pool(kubectl, "overlay")
    pool.apply({"executors": [CPU]})
    return pool


@pytest.fixture(scope="module")
def release(guarded: Kubectl, released: Path) -> Release:
    """Return a release of the last chart and operator."""
    release = Release(new_namespace(guarded, "release"))
    assert release.apply(released, "released") == 1
    return release


@pytest.fixture(scope="module")
def pool(release: Release, overlaid: Pool, logins: Logins) -> Pool:
    """Return the ready pool of the release; it starts beside the other one."""
    pool = Pool(release.kubectl, "live")
    pool.kubectl.apply(secret(USER, authorized_keys=logins.keys[USER].public))
    pool.apply(live_spec())
    pool.wait_ready()
    return pool


def live_spec(*groups: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of the pool of the release, whose user's jobs have their files on the claim."""
    ssh = {"users": [user(USER, keys=USER)]}
    return {"submitter": {"ssh": ssh}, "executors": [CPU, *groups]}


def pods(pool: Pool) -> dict[str, Any]:
    """Return UID and restarts of the pool's pods."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(one["restartCount"] for one in pod["status"]["containerStatuses"]),
        )
        for role in ROLES
        for pod in pool.pods(role)
    }


def restarting(pool: Pool) -> dict[str, Any]:
    """Return what would restart the pool's pods if it changed."""
    found = pool.kubectl.list(WORKLOADS, f"condorpool.dev/pool={pool.name}")
    return {obj["metadata"]["name"]: obj["spec"]["template"] for obj in found}


def settle(pool: Pool) -> None:
    """Wait until manager and submitter have the pods of their present templates."""
    for workload in (f"deployment/{pool.name}-manager", f"statefulset/{pool.name}-submitter"):
        pool.kubectl("rollout", "status", workload, "--timeout=90s", seconds=100)


def versions(pool: Pool) -> dict[str, str]:
    """Return the resource versions of a pool's objects but the pods, whose status is the kubelet's, and the policies.

    No admission policy reaches Calico's API, so there the suite's operator writes too, and each admits itself to the agent.
    """
    return {
        f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"]
        for obj in pool.objects()
        if obj["kind"] != "Pod"
    }


def nothing_left(release: Release) -> None:
    """Raise NotYetError while the namespace holds anything of the release."""
    kinds = "deployments,serviceaccounts,roles,rolebindings,networkpolicies.networking.k8s.io,pods"
    left = release.kubectl.list(kinds, f"app.kubernetes.io/name={RELEASE}")
    if left:
        raise NotYetError(", ".join(f"{obj['kind']}/{obj['metadata']['name']}" for obj in left))


def start_job(pool: Pool) -> Job:
    """Submit a job that waits to be told, and wait until it runs."""
    settle(pool)
    pool.run(pool.executor("cpu"), "rm", "-f", GO)
    job = pool.submit(shell_job(WAITING_JOB), user=USER)
    job.wait_running()
    return job


def finish(pool: Pool, job: Job) -> None:
    """Tell a job to end; it has run once, without a break."""
    settle(pool)
    pool.run(pool.executor("cpu"), "touch", GO)
    assert job.wait_done(60) == "survived\n"
    assert [code for code in job.events() if code not in PROGRESS] == [SUBMITTED, EXECUTING, TERMINATED]


def test_upgrade_replaces_no_pod_and_takes_effect(release: Release, pool: Pool, released: Path) -> None:
    release.apply(released, "released")
    assert release.image() == OLD
    job, before, made = start_job(pool), pods(pool), restarting(pool)

    release.apply(ROOT, "dev")

    assert release.image() == NEW
    pool.wait_condition("NetworkPolicyEnforced", "True", 60)
    pool.wait_ready(60)
    assert restarting(pool) == made
    assert pods(pool) == before
    finish(pool, job)


def test_rollback_serves_the_pool_as_before(release: Release, pool: Pool, released: Path) -> None:
    back = release.apply(released, "released")
    release.apply(ROOT, "dev")
    pool.wait_condition("NetworkPolicyEnforced", "True", 60)
    job, before, made = start_job(pool), pods(pool), restarting(pool)

    release.rollback(back)

    assert release.image() == OLD
    pool.apply(live_spec(group("extra", 0)))
    pool.wait_condition("Ready", "True", 60)
    assert pool.kubectl.get("statefulset", "live-extra") is not None
    pool.apply(live_spec())
    pool.wait_condition("Ready", "True", 60)
    assert restarting(pool) == made
    assert pods(pool) == before
    finish(pool, job)


def test_a_pool_outlives_its_operator_and_the_next_one_writes_nothing(release: Release, pool: Pool) -> None:
    release.apply(ROOT, "dev")
    pool.wait_condition("NetworkPolicyEnforced", "True", 60)
    pool.wait_ready(60)
    job, before = start_job(pool), pods(pool)
    left = stays("the pool at rest", lambda: versions(pool), 5)

    release.helm("uninstall", RELEASE, "--wait")

    wait_for("everything of the release to go", lambda: nothing_left(release), 60)
    finish(pool, job)
    assert pods(pool) == before
    assert versions(pool) == left

    release.apply(ROOT, "dev")

    witness = Pool(release.kubectl, "witness")
    witness.apply({"executors": []})
    witness.wait_condition("Accepted", "True", 60)
    assert stays("the pool under its next operator", lambda: versions(pool), 5) == left
    assert pods(pool) == before
    witness.kubectl("delete", POOL_KIND, witness.name, "--wait=false")


def test_a_changed_default_image_rolls_pools_job_by_job_and_leaves_those_with_their_own(
    release: Release, pool: Pool
) -> None:
    release.apply(ROOT, "dev")
    other = Pool(release.kubectl, "other")
    other.apply({"image": {"repository": ROLE_REPOSITORY, "tag": "dev"}, "executors": []})
    other.wait_condition("Accepted", "True", 60)
    wait_for("the other pool's workloads", lambda: _two(restarting(other)), 60)
    job, before, kept = start_job(pool), pods(pool), restarting(other)
    image = load_role_image("next")

    release.apply(ROOT, "dev", "next")

    pool.wait_condition("ExecutorsReady", "False", 60, "RollingOut")
    settle(pool)
    assert pods(pool)[pool.executor("cpu")] == before[pool.executor("cpu")], "it has a job"
    finish(pool, job)
    pool.wait_condition("ExecutorsReady", "True", 90)
    images = {pod["spec"]["containers"][0]["image"] for role in ROLES for pod in pool.pods(role)}
    assert images == {image}
    assert restarting(other) == kept
    other.kubectl("delete", POOL_KIND, other.name, "--wait=false")


def _two(found: dict[str, Any]) -> None:
    if len(found) != 2:
        raise NotYetError(f"{sorted(found)}")


def test_the_namespace_overlay_makes_pools_ready(overlaid: Pool) -> None:
    overlaid.wait_ready()
    job = overlaid.submit(shell_job("echo done"))
    assert job.wait_done(90) == "done\n"
    account = f"--as=system:serviceaccount:{overlaid.namespace}:{DEPLOYMENT}"
    assert overlaid.kubectl("auth", "can-i", "list", "secrets", account).strip() == "yes"
    assert overlaid.kubectl.attempt("auth", "can-i", "list", "secrets", "--all-namespaces", account).out.strip() == "no"


def test_nobody_reaches_the_operator_but_the_kubelet(overlaid: Pool) -> None:
    (operator,) = overlaid.kubectl.list("pods", f"app.kubernetes.io/name={RELEASE}")
    service = overlaid.kubectl.in_namespace("default").must_get("service", "kubernetes")["spec"]["clusterIP"]
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "knock",
                "image": NEW,
                "command": ["python3", "-c", KNOCK, f"{operator['status']['podIP']}:8080", f"{service}:443"],
            }
        ],
    }
    overlaid.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": spec})
    overlaid.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/stranger", "--timeout=60s", seconds=70)
    assert overlaid.kubectl("logs", "stranger").split() == ["shut", "open"]
    assert [one["restartCount"] for one in operator["status"]["containerStatuses"]] == [0], "its probes come through"

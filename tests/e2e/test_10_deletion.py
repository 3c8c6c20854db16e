"""A deleted pool ends within a minute, leaves nothing of its own but what was asked for, and everything of its user's."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.e2e.support import operator
from tests.e2e.support.jobs import COMPLETED, IDLE, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import config_map
from tests.e2e.support.pool import POOL_KIND, UID_LABEL, Pool, describe
from tests.e2e.support.pools import COLLIDING, busy_spec
from tests.e2e.support.waiting import NotYetError, wait_for

GONE_SECONDS = 60.0
"""From the deletion of a pool, or the return of the operator, to the end of the last pod."""
COLLECTED_SECONDS = 30.0
"""What Kubernetes needs to collect the rest."""

LEFT = {("PersistentVolumeClaim", "busy-submitter")}


def deletable_kinds(kubectl: Kubectl) -> str:
    """Return every kind of object of a namespace that can be listed and deleted, but events and pools."""
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name").split()
    return ",".join(kind for kind in kinds if not kind.startswith(("events", POOL_KIND)))


def volumes(pool: Pool) -> list[str]:
    """Return the names of the volumes behind the claims of the pool's namespace."""
    return [
        volume["metadata"]["name"]
        for volume in pool.kubectl.list("persistentvolumes")
        if volume["spec"]["claimRef"]["namespace"] == pool.namespace
    ]


def wait_gone(pool: Pool) -> None:
    """Wait until no pod of a deleted pool is left."""

    def look() -> None:
        if pods := pool.pods():
            raise NotYetError(describe(pods))

    wait_for(f"the pods of {pool.trust_domain} to end", look, GONE_SECONDS)


def wait_left(pool: Pool, expected: set[tuple[str, str]]) -> None:
    """Wait until just these objects with the labels of a deleted pool are left."""
    kinds = deletable_kinds(pool.kubectl)

    def look() -> None:
        live = pool.kubectl.list(kinds, f"condorpool.dev/pool={pool.name}")
        left = {(obj["kind"], obj["metadata"]["name"]) for obj in live}
        if left != expected:
            raise NotYetError(f"{sorted(left)}")

    wait_for(f"nothing but {expected} to be left of {pool.trust_domain}", look, COLLECTED_SECONDS)


def test_deletion_leaves_nothing(plain_pool: Pool) -> None:
    plain_pool.wait_ready()
    kubectl = plain_pool.kubectl
    kubectl.apply(config_map("users-own", knobs="E2E = kept\n"))
    own = kubectl.list(deletable_kinds(kubectl), f"{UID_LABEL}={plain_pool.uid}")
    assert {obj["apiVersion"] for obj in own} >= {"apps/v1", "projectcalico.org/v3"}
    claimed = volumes(plain_pool)
    assert claimed

    kubectl("delete", POOL_KIND, plain_pool.name, "--timeout=60s", seconds=70)

    wait_gone(plain_pool)
    wait_left(plain_pool, set())

    def look() -> None:
        if left := [name for name in claimed if kubectl.get("persistentvolume", name)]:
            raise NotYetError(f"{left}")

    wait_for("the volume to go", look, COLLECTED_SECONDS)
    assert kubectl.get("configmap", "users-own") is not None


def make_busy(pool: Pool, user: str) -> list[Job]:
    """Start a job of a user on each executor."""
    names = [pool.executor("cpu", ordinal) for ordinal in range(2)]
    jobs = [
        pool.submit(shell_job("sleep 7200", requirements=f'regexp("^{name}[.]", Machine)'), user=user) for name in names
    ]
    assert [job.wait_running() for job in jobs] == names
    return jobs


def delete(pool: Pool, *options: str) -> None:
    """Delete the pool as a user does, without waiting."""
    pool.kubectl("delete", POOL_KIND, pool.name, "--wait=false", *options)


def uids(pool: Pool, *users: str) -> dict[str, str]:
    """Return the UIDs of users as the submitter has them."""
    return {name: pool.run(pool.submitter, "id", "-u", name).strip() for name in users}


def schedd(pool: Pool) -> str:
    """Return the name that the schedd has in the collector."""
    return pool.run(pool.manager, "condor_status", "-schedd", "-af", "Name").strip()


@dataclass(frozen=True)
class Former:
    """A pool that was deleted under its running jobs, and what its successor must have of it."""

    uids: Mapping[str, str]
    schedd: str
    waiting: Job
    running: list[Job]


@pytest.fixture(scope="module")
def former(busy_pool: Pool) -> Former:
    """Delete the busy pool under its running jobs; its claim is to be retained."""
    pool, last = busy_pool, COLLIDING[-1]
    waiting = pool.submit(shell_job("echo not lost", requirements='Machine == "nowhere"'), user=last)
    pool.run(pool.submitter, "sh", "-c", "echo mine >~/kept", user=last)
    running = make_busy(pool, COLLIDING[0])
    result = Former(uids(pool, *COLLIDING), schedd(pool), waiting, running)
    delete(pool)
    wait_gone(pool)
    return result


@pytest.fixture(scope="module")
def successor(busy_pool: Pool, former: Former) -> Pool:
    """Make the pool again, for the user whose UID is not the one that his name asks for."""
    wait_left(busy_pool, LEFT)
    busy_pool.apply(busy_spec(COLLIDING[-1]))
    busy_pool.wait_ready()
    return busy_pool


def test_a_busy_pool_ends_within_a_minute_and_leaves_its_claim(busy_pool: Pool, former: Former) -> None:
    assert former.uids[COLLIDING[0]] != former.uids[COLLIDING[1]]

    wait_left(busy_pool, LEFT)


def test_its_successor_has_its_queue(successor: Pool, former: Former) -> None:
    assert schedd(successor) == former.schedd
    former.waiting.wait_status(IDLE, 10)
    assert former.waiting.attribute("Owner") == COLLIDING[-1]
    for job in former.running:
        assert job.attribute("JobStatus") not in {"", str(COMPLETED)}
    successor.run(successor.submitter, "condor_rm", *(str(job.cluster) for job in former.running))

    successor.run(successor.submitter, "condor_qedit", str(former.waiting.cluster), "Requirements", "true")

    assert former.waiting.wait_done(60) == "not lost\n"


def test_its_successor_has_its_users(successor: Pool, former: Former) -> None:
    first, last = COLLIDING
    assert uids(successor, last) == {last: former.uids[last]}
    assert successor.run(successor.submitter, "cat", f"/home/{last}/kept", user=last) == "mine\n"

    successor.apply(busy_spec(*COLLIDING))

    def look() -> None:
        if successor.attempt(successor.submitter, "id", first).code != 0:
            raise NotYetError(f"no {first}")

    wait_for(f"{first} to be back", look, 60)
    assert uids(successor, *COLLIDING) == former.uids


def test_foreground_deletion_of_a_busy_pool(busy_pool: Pool) -> None:
    pool = busy_pool
    pool.apply(busy_spec(*COLLIDING))
    pool.wait_ready()
    make_busy(pool, COLLIDING[0])

    delete(pool, "--cascade=foreground")

    wait_gone(pool)
    wait_left(pool, LEFT)
    assert pool.kubectl.get(POOL_KIND, pool.name) is None


def test_deletion_while_the_operator_is_away(kubectl: Kubectl, busy_pool: Pool) -> None:
    pool = busy_pool
    pool.apply(busy_spec(*COLLIDING))
    pool.wait_ready()
    make_busy(pool, COLLIDING[0])
    claimed = volumes(pool)
    pool.apply(busy_spec(*COLLIDING, retention="Delete"))
    pool.wait_condition("Ready", "True", 30)

    with operator.absent(kubectl):
        delete(pool)

        def told() -> None:
            executors = pool.pods("executor")
            if not all("deletionTimestamp" in pod["metadata"] for pod in executors):
                raise NotYetError(describe(executors))

        wait_for("Kubernetes to tell the executors to end", told, COLLECTED_SECONDS)
        assert len(pool.pods("executor")) == 2

    wait_gone(pool)
    wait_left(pool, set())
    assert claimed
    assert not [name for name in claimed if pool.kubectl.get("persistentvolume", name)]

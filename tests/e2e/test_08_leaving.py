"""Executors leave in two phases: emptied first, with a way back; changed ones a few at a time, and none after one that does not work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.support.jobs import EVICTED, EXECUTING, IDLE, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import group
from tests.e2e.support.pool import Pool, describe, is_ending, is_ready
from tests.e2e.support.waiting import NotYetError, stays, wait_for

SETTLE_SECONDS = 120.0
TOLD_SECONDS = 45.0
"""From an order to the status that shows it: the slots tell within seconds, status every quarter of a minute."""
IDLE_TAIL_SECONDS = 45.0


@pytest.fixture(scope="module")
def pool(elastic_pool: Pool) -> Iterator[Pool]:
    """Return a pool with three executors, and give it back with one."""
    resize(elastic_pool, 3)
    elastic_pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    elastic_pool.wait_executors({elastic_pool.executor("cpu", n) for n in range(3)}, 60)
    yield elastic_pool
    elastic_pool.clear_queue()
    resize(elastic_pool, 1)


def resize(pool: Pool, replicas: int, **fields: Any) -> None:
    """Ask for so many executors."""
    pool.apply({"executors": [group("cpu", replicas, **{"maxUnavailable": 2, **fields})]})


def pinned(pool: Pool, ordinal: int, script: str) -> Job:
    """Submit a job that only one executor may run."""
    return pool.submit(shell_job(script, requirements=f'regexp("^{pool.executor("cpu", ordinal)}[.]", Machine)'))


def wait_draining(pool: Pool, number: int) -> None:
    """Wait until status tells of so many draining executors."""

    def look() -> None:
        (told,) = pool.live()["status"]["executors"]
        if told["draining"] != number:
            raise NotYetError(f"{told}; {describe(pool.pods('executor'))}")

    wait_for(f"{number} draining executors in the status", look, TOLD_SECONDS)


def wait_pods(pool: Pool, number: int, seconds: float) -> None:
    """Wait until there are just so many executors' pods."""

    def look() -> None:
        pods = pool.pods("executor")
        if len(pods) != number:
            raise NotYetError(describe(pods))

    wait_for(f"{number} pods of executors", look, seconds)


def uids(pool: Pool) -> dict[str, str]:
    """Return the executors' UIDs by name; none of one that ends."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pool.pods("executor") if not is_ending(pod)}


def test_a_busy_tail_is_drained_called_back_and_drained_again(pool: Pool) -> None:
    before = uids(pool)
    job = pinned(pool, 2, "sleep 75; echo undisturbed")
    job.wait_running()

    resize(pool, 1)
    wait_draining(pool, 2)
    waiting = pinned(pool, 1, "echo called back")
    held = stays("a drained executor that is held by a busy one behind it", lambda: waiting.attribute("JobStatus"), 12)
    assert held == str(IDLE)
    assert uids(pool) == before, "an executor was told to end while one behind it has a job"
    assert pool.condition("Ready")["status"] == "True"

    resize(pool, 3)
    wait_draining(pool, 0)
    assert waiting.wait_done(60) == "called back\n"
    assert uids(pool) == before

    resize(pool, 1)
    assert job.wait_done(120) == "undisturbed\n"
    wait_pods(pool, 1, SETTLE_SECONDS)
    events = job.events()
    assert (events.count(EXECUTING), events.count(EVICTED)) == (1, 0), events
    pool.wait_executors({pool.executor("cpu", 0)}, 30)


def test_an_idle_tail_leaves_at_once(pool: Pool) -> None:
    resize(pool, 3)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    pool.wait_executors({pool.executor("cpu", n) for n in range(3)}, 60)

    resize(pool, 1)

    wait_pods(pool, 1, IDLE_TAIL_SECONDS)


def test_a_change_that_does_not_work_stops_at_the_first_executor(pool: Pool) -> None:
    resize(pool, 3)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    pool.wait_executors({pool.executor("cpu", n) for n in range(3)}, 60)
    before = uids(pool)
    job = pinned(pool, 2, "sleep 60; echo undisturbed")
    job.wait_running()

    resize(pool, 3, nodeSelector={"nowhere": "at-all"})
    pool.wait_condition("ExecutorsReady", "False", TOLD_SECONDS, "Unschedulable")

    assert stays("the two others", lambda: _kept(pool, before), 12) == {pool.executor("cpu", n) for n in (0, 2)}
    resize(pool, 3, podLabels={"e2e": "corrected"})
    wait_for("the corrected executor", lambda: _corrected(pool, 1), SETTLE_SECONDS)
    assert job.wait_done(120) == "undisturbed\n"
    wait_for("all executors to be corrected", lambda: _corrected(pool, 3), SETTLE_SECONDS)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    events = job.events()
    assert (events.count(EXECUTING), events.count(EVICTED)) == (1, 0), events


def test_an_administrators_drain_is_left_alone(pool: Pool) -> None:
    (name, host) = next((n, m) for n, m in _machines(pool) if n == pool.executor("cpu", 0))
    uid = uids(pool)[name]
    pool.run(pool.manager, "condor_drain", "-reason", "a broken disk", host)

    resize(pool, 3, podLabels={"e2e": "once-more"})

    def told() -> None:
        message = pool.condition("ExecutorsReady")["message"]
        if f"somebody else drains {name}" not in message or "cpu: 2 of 3 ready" not in message:
            raise NotYetError(message)

    wait_for(
        "the executor that somebody else drains to be told of, and the others to be replaced", told, SETTLE_SECONDS
    )
    assert uids(pool)[name] == uid
    pool.run(pool.manager, "condor_drain", "-cancel", host)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    assert uids(pool)[name] != uid


def test_a_cordoned_node_is_emptied_and_taken_back(pool: Pool, kubectl: Kubectl) -> None:
    resize(pool, 3)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    before = uids(pool)
    node = _node(pool, 2)
    there = {name for name, at in _places(pool).items() if at == node}
    job = pinned(pool, 2, "sleep 45; echo undisturbed")
    job.wait_running()

    with cordoned(kubectl, node):
        wait_draining(pool, len(there))
        assert pool.condition("Ready")["status"] == "True"
        waiting = pinned(pool, 2, "echo taken back")
        assert job.wait_done(90) == "undisturbed\n"
        held = stays("a job for an executor on a cordoned node", lambda: waiting.attribute("JobStatus"), 12)
        assert held == str(IDLE)

    assert waiting.wait_done(60) == "taken back\n"
    assert uids(pool) == before
    assert job.events().count(EXECUTING) == 1


def test_kubectl_drain_ends_without_an_evicted_job(pool: Pool, kubectl: Kubectl) -> None:
    node = _node(pool, 2)
    job = pinned(pool, 2, "sleep 30; echo undisturbed")
    job.wait_running()

    with cordoned(kubectl, node):
        selector = f"condorpool.dev/pool={pool.name},condorpool.dev/component=executor"
        drain = ("drain", node, f"--pod-selector={selector}", "--delete-emptydir-data", "--timeout=120s")
        kubectl(*drain, seconds=130)
        assert node not in _places(pool).values()

    assert job.wait_done(5) == "undisturbed\n"
    events = job.events()
    assert (events.count(EXECUTING), events.count(EVICTED)) == (1, 0), events
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)


@contextmanager
def cordoned(kubectl: Kubectl, node: str) -> Iterator[None]:
    """Keep new pods from a node meanwhile."""
    kubectl("cordon", node)
    try:
        yield
    finally:
        kubectl("uncordon", node)


def _places(pool: Pool) -> dict[str, str]:
    """Return the executors' nodes by name; none of one that ends."""
    return {
        pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pool.pods("executor") if not is_ending(pod)
    }


def _node(pool: Pool, ordinal: int) -> str:
    return _places(pool)[pool.executor("cpu", ordinal)]


def _kept(pool: Pool, before: dict[str, str]) -> set[str]:
    """Return the names of the pods that are still those of before."""
    return {name for name, uid in uids(pool).items() if before[name] == uid}


def _corrected(pool: Pool, number: int) -> None:
    pods = pool.pods("executor")
    good = [pod for pod in pods if is_ready(pod) and pod["metadata"]["labels"].get("e2e") == "corrected"]
    if len(good) < number:
        raise NotYetError(describe(pods))


def _machines(pool: Pool) -> list[tuple[str, str]]:
    """Return pod and host name of each executor."""
    hosts = {slot["Machine"] for slot in pool.slots()}
    return [(host.partition(".")[0], host) for host in hosts]

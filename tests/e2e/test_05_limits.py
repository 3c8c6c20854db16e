"""A job that takes more than it asked for is held with the reason; the job beside it does not notice."""

from dataclasses import dataclass

import pytest

from tests.e2e.support.jobs import EVICTED, EXECUTING, HELD, RUNNING, START_SECONDS, TERMINATED, Job, shell_job
from tests.e2e.support.pool import Pool

HOLD_SECONDS = 90.0
"""Starter and shadow report every few seconds, the policy is evaluated every ten."""

EAT_MEMORY = "exec python3 -c 'import time; eaten = b\"x\" * (200 << 20); time.sleep(300)'"
EAT_DISK = "dd if=/dev/zero of=eaten bs=1M count=80; sleep 300"


@dataclass(frozen=True)
class Trio:
    """Three jobs on one executor: two that take too much, and their neighbour."""

    memory: Job
    disk: Job
    neighbour: Job


@pytest.fixture(scope="module")
def trio(lab_pool: Pool) -> Trio:
    """Submit three jobs to one executor and wait until they have started; two may be held by then."""
    here = f'Machine == "{_machine(lab_pool)}"'
    result = Trio(
        memory=lab_pool.submit(shell_job(EAT_MEMORY, requirements=here, request_memory="64M"), user="john"),
        disk=lab_pool.submit(shell_job(EAT_DISK, requirements=here, request_disk="20M"), user="jane"),
        neighbour=lab_pool.submit(shell_job("sleep 60; echo undisturbed", requirements=here), user="jim"),
    )
    for job in (result.memory, result.disk, result.neighbour):
        job.wait_event(EXECUTING, START_SECONDS)
    return result


def test_too_much_memory_is_held(trio: Trio) -> None:
    trio.memory.wait_status(HELD, HOLD_SECONDS)

    reason = trio.memory.attribute("HoldReason")
    assert "memory" in reason, reason
    assert "64 MiB" in reason, reason
    assert "request_memory" in reason, reason


def test_too_much_disk_is_held(trio: Trio) -> None:
    trio.disk.wait_status(HELD, HOLD_SECONDS)

    reason = trio.disk.attribute("HoldReason")
    assert "disk" in reason, reason
    assert "20480 KiB" in reason, reason
    assert "request_disk" in reason, reason


def test_the_neighbour_runs_on(trio: Trio) -> None:
    assert trio.neighbour.wait_done(120) == "undisturbed\n"

    events = trio.neighbour.events()
    assert EVICTED not in events
    assert events[-1] == TERMINATED
    assert events.count(EXECUTING) == 1, events


def test_a_held_job_runs_after_the_advice_was_followed(lab_pool: Pool, trio: Trio) -> None:
    trio.memory.wait_status(HELD, HOLD_SECONDS)

    lab_pool.run(lab_pool.submitter, "condor_qedit", str(trio.memory.cluster), "RequestMemory", "300", user="john")
    lab_pool.run(lab_pool.submitter, "condor_release", str(trio.memory.cluster), user="john")

    trio.memory.wait_status(RUNNING, 60)
    lab_pool.run(lab_pool.submitter, "condor_rm", "-all")


def _machine(pool: Pool) -> str:
    wanted = pool.executor("cpu")
    (machine,) = {slot["Machine"] for slot in pool.slots() if slot["Machine"].partition(".")[0] == wanted}
    return machine

"""The agent drains executors: what runs there ends by itself or is evicted once, nothing starts; a drain of somebody else's is left alone.

The pool is paused, so that the operator, which ends the drains that it does not want, keeps out.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.support.agent import Agent, Place, operators_place
from tests.e2e.support.jobs import EVICTED, EXECUTING, SUBMITTED, TERMINATED, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.pool import Pool
from tests.e2e.support.waiting import NotYetError, wait_for

SHOWN_SECONDS = 15.0
"""From a change of a startd to the agent's state: a second or two, and two of the agent's memory."""
ONCE_MORE = 'if grep -q "^NumJobStarts = [1-9]" $_CONDOR_JOB_AD; then echo again; else sleep 300; fi'
PROGRESS = ("006", "040")


@dataclass(frozen=True)
class Drainer:
    """The agent of a paused pool of two executors, as the operator commands it."""

    pool: Pool
    agent: Agent
    place: Place

    def order(self, what: str, pod: str, token: str = "token", **more: Any) -> tuple[int, Any]:
        """Give an order; return status and answer."""
        status, body = self.agent.ask(self.place, f"/v1/{what}", self.agent.secret(token), {"pod": pod, **more})
        return status, json.loads(body) if status == 200 else body

    def drain(self, pod: str, **more: Any) -> tuple[int, Any]:
        """Order a drain."""
        return self.order("drain", pod, reason="a test", **more)

    def executor(self, pod: str) -> dict[str, Any]:
        """Return what the state says of an executor."""
        return dict(self.agent.state(self.place)["executors"][pod])

    def wait_executor(self, pod: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the state says this of an executor."""

        def look() -> dict[str, Any]:
            seen = self.executor(pod)
            if {name: seen[name] for name in wanted} != wanted:
                raise NotYetError(f"{seen}")
            return seen

        return wait_for(f"{pod}: {wanted}", look, SHOWN_SECONDS)

    def machine(self, pod: str) -> str:
        """Return HTCondor's name of an executor's host."""
        return next(slot["Machine"] for slot in self.pool.slots() if slot["Machine"].partition(".")[0] == pod)

    def wait_free(self) -> None:
        """Wait until no slot is claimed, with an empty queue."""
        self.pool.clear_queue()
        for pod in (self.pool.executor("cpu", 0), self.pool.executor("cpu", 1)):
            self.wait_executor(pod, claimed=0)


@pytest.fixture(scope="module")
def paused(told_pool: Pool, kubectl: Kubectl) -> Iterator[Drainer]:
    """Pause the pool."""
    spec = told_pool.spec()
    told_pool.apply(spec | {"paused": True})
    told_pool.wait_condition("Ready", "Unknown", 30, "Paused")
    yield Drainer(told_pool, Agent(told_pool), operators_place(kubectl))
    told_pool.apply(spec | {"paused": False})


@pytest.fixture
def drainer(paused: Drainer) -> Iterator[Drainer]:
    """Begin and end with an empty queue and no drain."""
    paused.wait_free()
    yield paused
    paused.pool.clear_queue()
    for pod in (paused.pool.executor("cpu", 0), paused.pool.executor("cpu", 1)):
        paused.pool.said(paused.pool.manager, "condor_drain", "-cancel", paused.machine(pod))


def until(go: str) -> str:
    """Return a script that lasts until a file is there."""
    return f"until [ -e {go} ]; do sleep 1; done; echo survived"


def on(drainer: Drainer, pod: str) -> str:
    """Return the requirements of a job that runs on an executor only."""
    return f'TARGET.Machine == "{drainer.machine(pod)}"'


def essential(job: Job) -> list[str]:
    """Return the codes of a job's events without those of its progress."""
    return [code for code in job.events() if code not in PROGRESS]


def test_low_ordinals_are_filled_first_unless_a_job_prefers_another(drainer: Drainer) -> None:
    pool = drainer.pool
    first, last = pool.executor("cpu", 0), pool.executor("cpu", 1)
    pinned = pool.submit(shell_job("sleep 300", requirements=on(drainer, last)))
    assert pinned.wait_running() == last
    drainer.wait_executor(last, claimed=1)

    pool.submit(shell_job("sleep 300").replace("queue\n", "queue 2\n"))

    drainer.wait_executor(first, claimed=2)
    drainer.wait_executor(last, claimed=1)
    assert pool.submit(shell_job("sleep 300", rank="CondorPoolOrdinal")).wait_running() == last


def test_a_drain_lets_jobs_end_and_no_other_start(drainer: Drainer) -> None:
    pool, go = drainer.pool, "/run/e2e-go-drain"
    job = pool.submit(shell_job(until(go)))
    where = job.wait_running()
    before = time.time()

    assert drainer.drain(where) == (200, {"drain": "ours"})
    assert drainer.drain(where) == (200, {"drain": "ours"})

    shown = drainer.wait_executor(where, drain="ours", drained=False, claimed=1)
    assert abs(shown["drainSince"] - before) < 30
    waiting = pool.submit(shell_job("echo ran", requirements=on(drainer, where)))
    elsewhere = pool.submit(shell_job("hostname"))
    assert elsewhere.wait_done(60).partition(".")[0].strip() not in ("", where)
    pool.run(where, "touch", go)
    assert job.wait_done(60) == "survived\n"
    assert essential(job) == [SUBMITTED, EXECUTING, TERMINATED]
    assert drainer.wait_executor(where, drained=True)["drainRequest"] == shown["drainRequest"]
    assert waiting.events() == [SUBMITTED]

    assert drainer.order("undrain", where) == (200, {"drain": None})
    assert drainer.order("undrain", where) == (200, {"drain": None})
    drainer.wait_executor(where, drain=None, drained=False, drainSince=None)
    assert waiting.wait_done(60) == "ran\n"


def test_a_quick_drain_evicts_once_and_the_job_runs_again_elsewhere(drainer: Drainer) -> None:
    pool = drainer.pool
    job = pool.submit(shell_job(ONCE_MORE))
    where = job.wait_running()
    assert drainer.drain(where) == (200, {"drain": "ours"})
    drainer.wait_executor(where, drain="ours", drained=False)
    waiting = pool.submit(shell_job("true", requirements=on(drainer, where)))

    assert drainer.drain(where, quick=True) == (200, {"drain": "ours"})

    job.wait_event(EVICTED, 30)
    drainer.wait_executor(where, drain="ours", drained=True, claimed=0)
    assert drainer.drain(where, quick=True) == (200, {"drain": "ours"})
    assert job.wait_done(120) == "again\n"
    assert [essential(job).count(code) for code in (EXECUTING, EVICTED, TERMINATED)] == [2, 1, 1]
    assert waiting.events() == [SUBMITTED]


def test_a_drain_of_somebody_elses_is_left_alone(drainer: Drainer) -> None:
    pool, go = drainer.pool, "/run/e2e-go-foreign"
    job = pool.submit(shell_job(until(go)))
    where = job.wait_running()
    pool.run(pool.manager, "condor_drain", "-graceful", "-reason", "maintenance", drainer.machine(where))
    drainer.wait_executor(where, drain="foreign", drained=False)

    assert drainer.drain(where) == (200, {"drain": "foreign"})
    assert drainer.drain(where, quick=True) == (200, {"drain": "foreign"})
    status, text = drainer.order("undrain", where)

    assert status == 409
    assert "somebody else" in text
    pool.run(where, "touch", go)
    assert job.wait_done(60) == "survived\n"
    assert essential(job) == [SUBMITTED, EXECUTING, TERMINATED]
    drainer.wait_executor(where, drain="foreign", drained=True)


def test_a_startd_that_starts_again_has_forgotten_its_drain(drainer: Drainer) -> None:
    where = drainer.pool.executor("cpu", 1)
    assert drainer.drain(where) == (200, {"drain": "ours"})
    before = drainer.wait_executor(where, drain="ours", drained=True)

    drainer.pool.run(where, "condor_off", "-daemon", "startd", "-fast")
    drainer.pool.run(where, "condor_on", "-daemon", "startd")

    def look() -> dict[str, Any]:
        after = drainer.agent.state(drainer.place)["executors"].get(where)
        if after is None or after["started"] == before["started"]:
            raise NotYetError(f"{after}")
        return dict(after)

    after = wait_for("the startd to be started again", look, 60)
    assert (after["drain"], after["drained"]) == (None, False)


@pytest.mark.parametrize(
    ("pod", "reason", "status"),
    [("told-cpu-9", "x", 404), ("told-submitter-0", "x", 404), ("-cancel", "x", 400), ("told-cpu-0", "a\nb", 400)],
)
def test_what_is_no_order_is_refused(drainer: Drainer, pod: str, reason: str, status: int) -> None:
    assert drainer.order("drain", pod, reason=reason)[0] == status
    assert drainer.executor(drainer.pool.executor("cpu", 0))["drain"] is None


@pytest.mark.parametrize("what", ["drain", "undrain"])
def test_the_metrics_token_gives_no_orders(drainer: Drainer, what: str) -> None:
    assert drainer.order(what, drainer.pool.executor("cpu", 0), token="metrics-token")[0] == 401

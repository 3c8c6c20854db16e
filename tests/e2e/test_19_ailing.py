"""Executors that are ill in ways that take minutes to be sure of, and an agent that is silent: all at once, in one pool.

Its image moves the clock of a container as a file in it says (images/clock).
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.support.container import signal_container
from tests.e2e.support.images import TAG, load_image, repository
from tests.e2e.support.jobs import EVICTED, EXECUTING, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import group
from tests.e2e.support.pool import Pool, describe
from tests.e2e.support.waiting import NotYetError, wait_for

ROOT = Path(__file__).resolve().parents[2]
VERDICT_SECONDS = 100.0
"""From the moment that a daemon hangs until pool-init would have replaced it: 83 s at most."""
SILENCE_SECONDS = 120.0
"""A minute of silence, and the time until the agent is asked."""
SKEW_SECONDS = 120.0
"""The clock is compared once a minute; three failed probes, a quarter of a minute apart."""
JOINING_SECONDS = 210.0
"""Two minutes from the container's start, and the time that it takes to start."""
MENDED_SECONDS = 120.0

APART = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "NetworkPolicy",
    "metadata": {"name": "apart"},
    "spec": {
        "order": 1,
        "selector": "condorpool.dev/group == 'apart'",
        "types": ["Egress"],
        "egress": [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [9618]}}],
    },
}
"""A policy of somebody else's that keeps one group from the manager."""


@dataclass(frozen=True)
class Ailing:
    """The pool, with the job of an executor that drains while its startd hangs."""

    pool: Pool
    job: Job
    startd: str
    hangs_since: float

    @property
    def drains(self) -> str:
        """Name of the executor that drains."""
        return self.pool.executor("ends")


@pytest.fixture(scope="module")
def ailing(new_namespace: Callable[[str], Kubectl]) -> Ailing:
    """Return a pool in which all is wrong."""
    load_image(ROOT, "clock")
    pool = Pool(new_namespace("ill"), "ill")
    spec = {
        "image": {"repository": repository("clock"), "tag": TAG},
        "executors": [group("off"), group("ends"), group("apart", 0)],
    }
    pool.apply(spec)
    pool.wait_ready()
    pool.kubectl.apply(APART)
    pool.apply({**spec, "executors": [group("off"), group("ends"), group("apart")]})
    job = pool.submit(shell_job("sleep 120; echo undisturbed", requirements='CondorPoolGroup == "ends"'))
    job.wait_running()
    pool.kubectl("delete", "pod", pool.executor("ends"), "--wait=false")
    startd = pool.run(pool.executor("ends"), "pgrep", "-o", "-x", "condor_startd").strip()

    def drains() -> None:
        if "may finish within" not in pool.logs(pool.executor("ends")):
            raise NotYetError("pool-init says nothing of a drain")

    wait_for("pool-init to have heard", drains, 20)
    pool.run(pool.executor("ends"), "kill", "-STOP", startd)
    signal_container(pool.kubectl.must_get("pod", pool.manager), "STOP", "agent")
    pool.run(pool.executor("off"), "sh", "-c", "echo +1h >/etc/faketimerc")
    return Ailing(pool, job, startd, time.monotonic())


def test_a_clock_that_is_off(ailing: Ailing) -> None:
    pool = ailing.pool
    message = _told(pool, "ClockSkew", SKEW_SECONDS)
    assert f"pod {pool.executor('off')}: the clock of this node is more than a minute ahead of" in message
    assert "repair its time synchronization" in message

    pool.run(pool.executor("off"), "rm", "/etc/faketimerc")

    def mended() -> None:
        if "ClockSkew" in json.dumps(pool.live()["status"]["conditions"]):
            raise NotYetError("ClockSkew is still told")

    wait_for("the clock to be right again", mended, MENDED_SECONDS)


def test_an_agent_that_is_silent(ailing: Ailing) -> None:
    pool = ailing.pool
    message = pool.wait_condition("StateKnown", "False", SILENCE_SECONDS, "AgentSilent")["message"]
    assert "the agent in the manager's pod does not answer the operator" in message
    assert "slots" not in pool.live()["status"]
    assert pool.condition("ManagerReady")["status"] == "True"

    signal_container(pool.kubectl.must_get("pod", pool.manager), "CONT", "agent")

    pool.wait_condition("StateKnown", "True", MENDED_SECONDS)
    assert pool.live()["status"]["slots"]["total"] > 0


def test_a_draining_executor_is_left_alone_whatever_hangs(ailing: Ailing) -> None:
    pool = ailing.pool
    time.sleep(max(0.0, ailing.hangs_since + VERDICT_SECONDS - time.monotonic()))
    assert pool.run(ailing.drains, "pgrep", "-o", "-x", "condor_startd").strip() == ailing.startd
    pool.run(ailing.drains, "kill", "-CONT", ailing.startd)

    assert ailing.job.wait_done(90) == "undisturbed\n"

    events = ailing.job.events()
    assert (events.count(EXECUTING), events.count(EVICTED)) == (1, 0), events

    def successor() -> None:
        pods = pool.pods("executor", "ends")
        if [pod for pod in pods if "deletionTimestamp" in pod["metadata"]] or not pods:
            raise NotYetError(describe(pods))

    wait_for("the pod to go, and another to come", successor, 60)


def test_an_executor_that_never_joins(ailing: Ailing) -> None:
    pool = ailing.pool
    message = _told(pool, "NotJoined", JOINING_SECONDS)
    assert f"pod {pool.executor('apart')}: runs and is not in the pool: the collector cannot be reached" in message

    pool.kubectl("delete", "networkpolicies.projectcalico.org", "apart")

    pool.wait_condition("Ready", "True", MENDED_SECONDS)


def _told(pool: Pool, reason: str, seconds: float) -> str:
    """Wait until ExecutorsReady is False for a reason, with an event that tells the same; return its message."""
    message = str(pool.wait_condition("ExecutorsReady", "False", seconds, reason)["message"])
    assert reason in {one for one, _ in pool.warnings()}
    return message

"""The pool's own word: what the agent says over the wire, who may hear it, what status makes of it, and that its end harms nothing."""

import json
from typing import Any

import pytest

from tests.e2e.support.agent import Agent, Place, operators_place
from tests.e2e.support.jobs import EXECUTING, SUBMITTED, TERMINATED, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.neighbourhood import nodes, place, stranger
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import MONITOR
from tests.e2e.support.waiting import NotYetError, wait_for

SHOWN_SECONDS = 100.0
"""From a change in the pool to status: 20 s of the daemons, up to a minute of the operator while nothing changes."""
ABSENT_SECONDS = 180.0
"""From the end of a daemon to its being told: a minute, and up to a minute until the operator asks."""
CPUS = 3
"""Of each of the two executors."""
GO = "/run/e2e-go"
UNTIL_TOLD = f"until [ -e {GO} ]; do sleep 1; done; echo survived"
PROGRESS = ("006", "040")


@pytest.fixture(scope="module")
def agent(told_pool: Pool) -> Agent:
    """Return the agent of a pool of two executors."""
    return Agent(told_pool)


@pytest.fixture(scope="module")
def here(kubectl: Kubectl) -> Place:
    """Return the operator's pod."""
    return operators_place(kubectl)


def wait_shown(agent: Agent, total: int, claimed: int, idle: int, running: int, held: int) -> None:
    """Wait until status shows these figures."""
    wanted = {
        "slots": {"total": total, "claimed": claimed, "draining": 0},
        "jobs": {"idle": idle, "running": running, "held": held},
    }

    def look() -> None:
        if (shown := agent.shown()) != wanted:
            raise NotYetError(f"{shown}")

    wait_for(f"{wanted} in status", look, SHOWN_SECONDS)


def test_status_follows_the_queue(told_pool: Pool, agent: Agent) -> None:
    jobs = [told_pool.submit(shell_job("sleep 600")) for _ in range(2)]
    told_pool.submit(shell_job("true", hold="true"))
    told_pool.submit(shell_job("true", requirements="false"))
    for job in jobs:
        job.wait_running()

    wait_shown(agent, 2 * CPUS, 2, 1, 2, 1)

    (group,) = told_pool.live()["status"]["executors"]
    assert group["slots"] == {"total": 2 * CPUS, "claimed": 2, "draining": 0}
    header, row = told_pool.kubectl("get", "condorpools", told_pool.name).splitlines()
    shown = dict(zip(header.split(), row.split(), strict=False))
    assert (shown["SLOTS"], shown["RUNNING"], shown["IDLE"]) == (str(2 * CPUS), "2", "1")
    told_pool.wait_condition("StateKnown", "True", 10, "Answering")


def test_the_state_is_what_htcondors_own_tools_say(told_pool: Pool, agent: Agent, here: Place) -> None:
    state = agent.state(here)

    counts = told_pool.run(told_pool.submitter, "condor_q", "-allusers", "-af", "JobStatus").split()
    assert state["jobs"]["owners"] == {
        "nobody": {"idle": counts.count("1"), "running": counts.count("2"), "held": counts.count("5")}
    }
    assert {pod: one["total"] for pod, one in state["executors"].items()} == dict.fromkeys(
        told_pool.executors_in_collector(), CPUS
    )
    claimed = told_pool.slots('State == "Claimed"')
    found = {pod: one["claimed"] for pod, one in state["executors"].items() if one["claimed"]}
    hosts = [slot["Machine"].partition(".")[0] for slot in claimed]
    assert found == {host: hosts.count(host) for host in hosts}
    addresses = told_pool.run(told_pool.manager, "condor_status", "-any", "-af", "MyType", "MyAddress").splitlines()
    for daemon in state["daemons"]:
        assert f"{daemon['type']} {daemon['address']}" in addresses
        assert not daemon["stale"]
    assert {one["type"] for one in state["daemons"]} == {"Collector", "Negotiator", "Scheduler"}


@pytest.mark.parametrize("path", ["/v1/state", "/metrics", "/v1/config/check"])
@pytest.mark.parametrize("token", [None, "wrong"])
def test_nobody_is_told_anything_without_a_token(agent: Agent, here: Place, path: str, token: str | None) -> None:
    assert agent.ask(here, path, token)[0] == 401


def test_a_configuration_is_judged_in_the_pool(told_pool: Pool, agent: Agent, here: Place) -> None:
    files = told_pool.kubectl.must_get("configmap", f"{told_pool.name}-manager-config")["data"]

    def findings(**more: str) -> list[dict[str, Any]]:
        question = {"role": "manager", "files": files | {f"50-00-{name}.conf": text for name, text in more.items()}}
        status, body = agent.ask(here, "/v1/config/check", agent.secret("token"), question)
        assert status == 200, body
        return list(json.loads(body)["findings"])

    assert findings(knobs="E2E_KNOB = 1\n") == []
    (finding,) = findings(knobs="E2E_KNOB = 1\nnot a knob\n")
    assert (finding["file"], finding["line"]) == ("50-00-knobs.conf", 2)


def test_who_monitors_scrapes_metrics_and_nothing_else(told_pool: Pool, agent: Agent) -> None:
    node = next(iter(nodes(told_pool.kubectl)))
    place(told_pool.kubectl, "monitor", stranger("monitor", node, MONITOR), stranger("other", node))
    monitor, other = (Place(told_pool.kubectl, name, "condor") for name in ("monitor", "other"))
    token = agent.secret("metrics-token")

    status, text = agent.ask(monitor, "/metrics", token)

    assert status == 200
    assert f'condorpool_slots{{group="cpu"}} {2 * CPUS}\n' in text
    assert 'condorpool_jobs{state="held"} 1\n' in text
    assert agent.ask(monitor, "/v1/state", token)[0] == 401
    assert agent.ask(other, "/metrics", token)[0] == 0
    told_pool.kubectl("delete", "pod", "monitor", "other", "--wait=false")


def test_the_agent_has_no_rights(told_pool: Pool) -> None:
    def said(command: str) -> str:
        return told_pool.kubectl.execute(told_pool.manager, "agent", "sh", "-c", command).text

    assert said("id -u").strip() == "64000"
    assert "CapEff:\t0000000000000000" in said("grep CapEff /proc/self/status")
    assert "NoNewPrivs:\t1" in said("grep NoNewPrivs /proc/self/status")
    assert "Read-only file system" in said("touch /var/tmp/x")
    assert "No such file" in said("ls /etc/condor/passwords.d/monitor")


def test_the_end_of_the_agent_harms_nothing(told_pool: Pool, agent: Agent) -> None:
    told_pool.clear_queue()
    job = told_pool.submit(shell_job(UNTIL_TOLD))
    where = job.wait_running()
    before, daemons = agent.container("agent")["restartCount"], agent.container("condor")
    ready = told_pool.condition("Ready")

    killed = told_pool.kubectl.execute(told_pool.manager, "agent", "sh", "-c", "kill -TERM 1")

    def restarted() -> None:
        now = agent.container("agent")
        if now["restartCount"] == before or not now["ready"]:
            raise NotYetError(f"{killed} {now}")

    wait_for("the agent to run again", restarted, 60)
    assert agent.container("condor") == daemons
    assert told_pool.condition("Ready") == ready
    wait_shown(agent, 2 * CPUS, 1, 0, 1, 0)
    assert told_pool.condition("StateKnown")["status"] == "True"
    told_pool.run(where, "touch", GO)
    assert job.wait_done(60) == "survived\n"
    assert [code for code in job.events() if code not in PROGRESS] == [SUBMITTED, EXECUTING, TERMINATED]


def test_an_executor_that_is_ready_and_not_in_the_collector_is_told(told_pool: Pool) -> None:
    missing = told_pool.executor("cpu", 1)

    told_pool.run(missing, "condor_off", "-daemon", "startd", "-fast")

    condition = told_pool.wait_condition("ExecutorsReady", "False", ABSENT_SECONDS, "NotInCollector")
    assert missing in condition["message"]
    assert told_pool.executor("cpu", 0) not in condition["message"]
    told_pool.run(missing, "condor_on", "-daemon", "startd")
    told_pool.wait_condition("ExecutorsReady", "True", SHOWN_SECONDS)
    told_pool.wait_condition("Ready", "True", 10)

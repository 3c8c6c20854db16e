"""Daemons that are killed or hang come back without a restart of their pod, and the jobs with them; logs tell of it all."""

import re

from tests.e2e.support.jobs import EXECUTING, HELD, Job, shell_job
from tests.e2e.support.kubectl import KubectlError
from tests.e2e.support.manifests import config_map
from tests.e2e.support.pool import Pool, describe, is_ready
from tests.e2e.support.waiting import NotYetError, wait_for

RESTART_SECONDS = 45.0
"""condor_master waits ten seconds, longer for the second time."""
HANG_SECONDS = 120.0
LEVEL_SECONDS = 30.0
VERBOSE = r"^\[startd\] .*\(D_ALWAYS:2\)"
"""How D_CAT marks a line of D_FULLDEBUG."""
UNREADY_SECONDS = 75.0
"""Three failed probes, 15 s apart."""


def test_killed_daemons_are_back_and_jobs_run_on(guest_pool: Pool) -> None:
    before = guest_pool.lives()
    job = guest_pool.submit(shell_job("sleep 25; echo undisturbed"), user="john")
    job.wait_running()
    where = {"condor_schedd": guest_pool.submitter, "condor_collector": guest_pool.manager}
    where["condor_negotiator"] = guest_pool.manager
    killed = {daemon: _kill(guest_pool, pod, daemon, "KILL") for daemon, pod in where.items()}

    for daemon, pod in where.items():
        _wait_successor(guest_pool, pod, daemon, killed[daemon], RESTART_SECONDS)

    assert job.wait_done(120) == "undisturbed\n"
    assert job.events().count(EXECUTING) == 1, job.events()
    assert guest_pool.lives() == before


def test_hanging_daemons_are_replaced_within_two_minutes(guest_pool: Pool) -> None:
    guest_pool.wait_condition("Ready", "True", 60)
    before = guest_pool.lives()
    hit, spared = (_start(guest_pool, group, "sleep 90; echo done") for group in ("open", "closed"))
    startd = _kill(guest_pool, guest_pool.executor("open"), "condor_startd", "STOP")
    collector = _kill(guest_pool, guest_pool.manager, "condor_collector", "STOP")

    # its collector is lost, so it is not ready; it is not to blame, so it lives
    _wait_readiness(guest_pool, "closed", ready=False, seconds=UNREADY_SECONDS)
    _wait_successor(guest_pool, guest_pool.executor("open"), "condor_startd", startd, HANG_SECONDS)
    _wait_successor(guest_pool, guest_pool.manager, "condor_collector", collector, HANG_SECONDS)

    _wait_readiness(guest_pool, "closed", ready=True, seconds=60)
    assert spared.wait_done(120) == "done\n"
    assert spared.events().count(EXECUTING) == 1, spared.events()
    wait_for("the job of the startd that hung to run again", lambda: _executed_twice(hit), 60)
    assert guest_pool.lives() == before
    assert "[pool-init] STARTD (pid" in guest_pool.logs(guest_pool.executor("open"))
    guest_pool.run(guest_pool.submitter, "condor_rm", str(hit.cluster))


def test_the_log_of_a_starter_that_failed_is_found(guest_pool: Pool) -> None:
    job = guest_pool.submit(
        shell_job("true", executable="/no/such/program", requirements='CondorPoolGroup == "closed"'), user="john"
    )
    job.wait_status(HELD, 60)

    def line() -> str:
        found = re.findall(r"^\[starter\.slot1_\d+\] .*/no/such/program.*$", _log(guest_pool, "closed"), re.MULTILINE)
        if not found:
            raise NotYetError("no such line")
        return str(found[-1])

    wait_for("the starter's own words in the pod's log", line, 20)
    shadow = guest_pool.logs(guest_pool.submitter)
    assert re.search(rf"^\[shadow\] .*\({job.cluster}\.0\)", shadow, re.MULTILINE), "the shadow's words on this job"
    guest_pool.run(guest_pool.submitter, "condor_rm", str(job.cluster))


def test_every_line_of_every_log_is_tagged(guest_pool: Pool) -> None:
    for pod in (guest_pool.manager, guest_pool.submitter, guest_pool.executor("open")):
        untagged = [text for text in guest_pool.logs(pod).splitlines() if not re.match(r"\[[a-z_.0-9-]+\]( |$)", text)]
        assert untagged == []


def test_log_levels_follow_the_configuration(guest_pool: Pool) -> None:
    before = guest_pool.lives()
    assert not re.search(VERBOSE, _log(guest_pool, "open"), re.MULTILINE)

    _set_level(guest_pool, "D_CAT D_FULLDEBUG")

    def loud() -> None:
        if not re.search(VERBOSE, _log(guest_pool, "open"), re.MULTILINE):
            raise NotYetError("nothing of that level")

    wait_for("lines of the startd at the new level", loud, LEVEL_SECONDS)
    _set_level(guest_pool, "")
    assert guest_pool.lives() == before


def _executed_twice(job: Job) -> None:
    if job.events().count(EXECUTING) != 2:
        raise NotYetError(f"{job.events()}")


def _start(pool: Pool, group: str, script: str) -> Job:
    job = pool.submit(shell_job(script, requirements=f'CondorPoolGroup == "{group}"'), user="john")
    job.wait_running()
    return job


def _pid(pool: Pool, pod: str, daemon: str) -> str:
    """Return the process of a daemon; empty where there is none."""
    return pool.attempt(pod, "pgrep", "-o", "-P", _master(pool, pod), "-f", f"^{daemon}").out.strip()


def _master(pool: Pool, pod: str) -> str:
    return pool.run(pod, "pgrep", "-P", "1", "-x", "condor_master").strip()


def _kill(pool: Pool, pod: str, daemon: str, signal: str) -> str:
    """Send a signal to a daemon, once it is there, and return its process."""

    def look() -> str:
        pid = _pid(pool, pod, daemon)
        if not pid:
            raise NotYetError("no such process")
        return pid

    pid = wait_for(f"{daemon} in {pod}", look, 30)
    pool.run(pod, "kill", f"-{signal}", pid)
    return pid


def _wait_successor(pool: Pool, pod: str, daemon: str, former: str, seconds: float) -> None:
    """Wait until another process serves, answering as the probes want it."""
    kind = daemon.removeprefix("condor_").upper()

    def look() -> None:
        if _pid(pool, pod, daemon) in ("", former):
            raise NotYetError("no other process")
        try:
            pool.run(pod, "timeout", "5", "condor_ping", "-quiet", "-type", kind, "READ")
        except KubectlError as error:
            raise NotYetError("it does not answer") from error

    wait_for(f"another {daemon} in {pod}", look, seconds)


def _wait_readiness(pool: Pool, group: str, *, ready: bool, seconds: float) -> None:
    def look() -> None:
        pods = pool.pods("executor", group)
        if [is_ready(pod) for pod in pods] != [ready]:
            raise NotYetError(describe(pods))

    wait_for(f"ready={ready} of the executor of {group}", look, seconds)


def _log(pool: Pool, group: str) -> str:
    return pool.logs(pool.executor(group))


def _set_level(pool: Pool, level: str) -> None:
    line = f"STARTD_DEBUG = {level}".rstrip()
    pool.kubectl.apply(config_map("levels", levels=f"{line}\n"))

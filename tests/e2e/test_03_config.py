"""Configuration from ConfigMaps: layered, owned where it must be, and followed live."""

import pytest

from tests.e2e.support.jobs import EXECUTING, shell_job
from tests.e2e.support.pool import Pool, describe
from tests.e2e.support.pools import knobs
from tests.e2e.support.waiting import NotYetError, wait_for

FOLLOWED_SECONDS = 40.0
"""A few seconds on an idle machine; a kubelet that is not told to look does so after 43 s at the earliest."""
TOLD_SECONDS = 60.0
"""A check takes a second, and is tried again after five where a busy manager did not answer in time."""
ROLLED_SECONDS = 150.0

ROLES = ("manager", "submitter", "cpu")
DAEMONS = {"manager": "COLLECTOR", "submitter": "SCHEDD", "cpu": "STARTD"}
DAEMON_LISTS = {"manager": "MASTER COLLECTOR NEGOTIATOR", "submitter": "MASTER SCHEDD", "cpu": "MASTER STARTD"}


def pod_of(pool: Pool, role: str) -> str:
    """Return the pod of a role; of the executors the first one."""
    return {"manager": pool.manager, "submitter": pool.submitter}.get(role) or pool.executor(role)


def running_value(pool: Pool, role: str, knob: str) -> str:
    """Return a knob as the running daemon of a role has it, not as the files say."""
    daemon = DAEMONS[role].lower()
    return pool.run(pod_of(pool, role), "condor_config_val", f"-{daemon}", knob).strip()


@pytest.mark.parametrize("role", ROLES)
def test_every_role_reads_the_pools_and_its_own_configuration(lab_pool: Pool, role: str) -> None:
    assert running_value(lab_pool, role, "E2E_WIDE") == "wide"
    assert running_value(lab_pool, role, "E2E_LAYER") == role


@pytest.mark.parametrize("role", ROLES)
def test_what_the_operator_owns_is_in_force(lab_pool: Pool, role: str) -> None:
    daemons = running_value(lab_pool, role, "DAEMON_LIST").replace(",", " ").split()
    assert daemons == DAEMON_LISTS[role].split()
    assert running_value(lab_pool, role, "TRUST_DOMAIN") == lab_pool.trust_domain


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("DAEMON_LIST = MASTER", "line 2: DAEMON_LIST is refused: the operator owns DAEMON_LIST"),
        ("SCHEDD.ALLOW_WRITE = *", "line 2: SCHEDD.ALLOW_WRITE is refused: the operator owns ALLOW_WRITE"),
        ("USER_JOB_WRAPPER = /bin/true", "line 2: USER_JOB_WRAPPER is refused: it names a program"),
        ("this is no setting", "line 2: HTCondor refuses it: this is no setting"),
        ("START = (((", "line 2: START must be an expression, not '((('"),
        ("UPDATE_INTERVAL = often", "line 2: UPDATE_INTERVAL must be a number, not 'often'"),
    ],
)
def test_what_a_pool_may_not_set_is_told_and_changes_nothing(lab_pool: Pool, line: str, said: str) -> None:
    before = lab_pool.lives()
    lab_pool.kubectl.apply(knobs("knobs", line, "E2E_WIDE = refused", layer="pool"))

    told = lab_pool.wait_condition("ConfigValid", "False", TOLD_SECONDS, "ConfigMapInvalid")
    assert f"spec.config.configMapRefs[knobs]: key knobs.conf, {said}" in told["message"]
    assert [message for reason, message in lab_pool.warnings() if reason == "ConfigMapInvalid"].count(
        told["message"]
    ) == 1
    assert "E2E_WIDE = wide" in _texts(lab_pool)

    lab_pool.kubectl.apply(knobs("knobs", "E2E_WIDE = wide", layer="pool"))
    lab_pool.wait_condition("ConfigValid", "True", TOLD_SECONDS)
    assert {running_value(lab_pool, role, "E2E_WIDE") for role in ROLES} == {"wide"}
    assert lab_pool.lives() == before


def test_an_edit_reaches_the_running_daemons_of_all_roles_and_restarts_nothing(lab_pool: Pool) -> None:
    before = lab_pool.lives()
    job = lab_pool.submit(shell_job("sleep 30; echo undisturbed"))
    job.wait_running()

    lab_pool.kubectl.apply(knobs("knobs", "E2E_WIDE = edited", "STARTD_DEBUG = D_FULLDEBUG", layer="pool"))

    def look() -> None:
        seen = {role: running_value(lab_pool, role, "E2E_WIDE") for role in ROLES}
        if set(seen.values()) != {"edited"}:
            raise NotYetError(f"{seen}")

    wait_for("the edited knob in the running daemons", look, FOLLOWED_SECONDS)
    assert job.wait_done(90) == "undisturbed\n"
    assert job.events().count(EXECUTING) == 1
    assert lab_pool.lives() == before


def test_what_is_read_at_the_start_only_makes_new_pods_of_just_those_who_read_it(lab_pool: Pool) -> None:
    executors = {lab_pool.executor("cpu", ordinal) for ordinal in range(2)}
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in lab_pool.pods()}

    lab_pool.kubectl.apply(knobs("cpu-knobs", "MACHINE_RESOURCE_TAPES = 2", layer="cpu"))
    _wait_tapes(lab_pool, ["2", "2"])
    after = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in lab_pool.pods()}
    assert {name for name, uid in after.items() if uid != before.get(name)} == executors

    lab_pool.kubectl.apply(knobs("cpu-knobs", layer="cpu"))
    _wait_tapes(lab_pool, ["undefined", "undefined"])
    lab_pool.wait_condition("ExecutorsReady", "True", ROLLED_SECONDS)


def _wait_tapes(pool: Pool, wanted: list[str]) -> None:
    def look() -> None:
        tapes = pool.run(pool.manager, "condor_status", "-af", "TotalTapes").split()
        if tapes != wanted:
            raise NotYetError(f"tapes {tapes}; {describe(pool.pods('executor'))}")

    wait_for(f"executors with {wanted} tapes", look, ROLLED_SECONDS)


def _texts(pool: Pool) -> str:
    """Return the users' files as all roles mount them."""
    maps = [pool.kubectl.must_get("configmap", f"{pool.name}-{role}-config")["data"] for role in ROLES]
    return "".join(text for data in maps for name, text in data.items() if name.startswith("50-"))

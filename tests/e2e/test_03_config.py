"""Configuration from ConfigMaps: layered, owned where it must be, and followed live."""

from collections.abc import Mapping

import pytest

from tests.e2e.support.kubectl import Object
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import knobs
from tests.e2e.support.waiting import NotYetError, wait_for

FOLLOWED_SECONDS = 60.0
"""pool-init looks at the mounted files every few seconds, the kubelet at once where a pod was annotated."""

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
def test_what_the_operator_owns_cannot_be_overridden(lab_pool: Pool, role: str) -> None:
    daemons = running_value(lab_pool, role, "DAEMON_LIST").replace(",", " ").split()
    assert daemons == DAEMON_LISTS[role].split()
    assert running_value(lab_pool, role, "TRUST_DOMAIN") == lab_pool.trust_domain
    for knob in ("ALLOW_WRITE", "ALLOW_DAEMON", "ALLOW_ADMINISTRATOR", "ALLOW_ADVERTISE_SCHEDD"):
        text = lab_pool.run(pod_of(lab_pool, role), "condor_config_val", "-verbose", knob)
        assert "/etc/condor/config.d/90-operator.conf" in text, text
        assert not any(line.strip().endswith("= *") for line in text.splitlines()[:1]), text


def test_an_edit_reaches_the_running_daemons(lab_pool: Pool) -> None:
    before = _identities(lab_pool.pods())

    lab_pool.kubectl.apply(knobs("knobs", layer="pool", wide="edited", hostile=True))

    def written() -> None:
        texts = [config["data"].get("50-00-knobs-knobs.conf", "") for config in _role_configs(lab_pool)]
        if not all("E2E_WIDE = edited" in text for text in texts):
            raise NotYetError(f"{texts}")

    wait_for("the edited knob in the ConfigMaps of all roles", written, 20)
    # spares the minute or more until the kubelet's own look
    lab_pool.kubectl("annotate", "pods", "--all", "e2e=edited")

    def look() -> None:
        seen: Mapping[str, str] = {role: running_value(lab_pool, role, "E2E_WIDE") for role in ROLES}
        if set(seen.values()) != {"edited"}:
            raise NotYetError(f"{seen}")

    wait_for("the edited knob in the running daemons", look, FOLLOWED_SECONDS)
    assert _identities(lab_pool.pods()) == before


def _role_configs(pool: Pool) -> list[Object]:
    return [pool.kubectl.must_get("configmap", f"{pool.name}-{role}-config") for role in ROLES]


def _identities(pods: list[Object]) -> set[tuple[str, int]]:
    """Return UID and restarts of every pod."""
    return {
        (pod["metadata"]["uid"], sum(status["restartCount"] for status in pod["status"]["containerStatuses"]))
        for pod in pods
    }

"""The pool under chaos: two groups of executors, two users, and jobs that may call the ledger and nobody else."""

from pathlib import Path
from typing import Any

from tests.e2e.support.manifests import config_map, group, refs, secret, user
from tests.e2e.support.ssh import make_key

NAME = "chaos"
USERS = ("john", "jane")
KNOBS = "chaos-knobs"
LEASE_SECONDS = 120
"""Of jobs: longer than anything is held, and what is waited for at most where nobody can prove that an executor is gone."""

STEADY, HASTY = "steady", "hasty"
DRAIN_SECONDS = {STEADY: 600, HASTY: 10}
"""A group whose drains end with the last job, and one whose drains are cut short."""
REPLICAS = 2
SLOTS = 12
WIDE = {
    "limits": {"cpu": str(SLOTS), "memory": "1Gi", "ephemeral-storage": "4Gi"},
    "requests": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "256Mi"},
}


def objects(keys: Path) -> list[dict[str, Any]]:
    """Return what the pool refers to; the users' keys are made in a directory."""
    return [knobs(0), *(secret(name, authorized_keys=make_key(keys, name).public) for name in USERS)]


def knobs(number: int) -> dict[str, Any]:
    """Return the pool's configuration; with another number it is another one."""
    return config_map(KNOBS, knobs=f"JOB_DEFAULT_LEASE_DURATION = {LEASE_SECONDS}\nE2E_CHAOS = {number}\n")


def groups() -> dict[str, dict[str, Any]]:
    """Return the executor groups by name, as they are at first."""
    return {
        name: group(
            name, REPLICAS, resources=WIDE, drainTimeout=f"{seconds}s", privileged=name == STEADY, maxUnavailable=1
        )
        for name, seconds in DRAIN_SECONDS.items()
    }


def spec(executors: dict[str, dict[str, Any]], ledger: tuple[str, int]) -> dict[str, Any]:
    """Return the pool's spec."""
    address, port = ledger
    allowed = {"to": [{"ipBlock": {"cidr": f"{address}/32"}}], "ports": [{"protocol": "TCP", "port": port}]}
    return {
        "config": refs(KNOBS),
        "submitter": {"ssh": {"users": [user(name, keys=name) for name in USERS], "service": {"type": "ClusterIP"}}},
        "executors": list(executors.values()),
        "networkPolicy": {"egress": {"executors": [allowed]}},
    }

"""What can be seen of mounts: in the pod, in the machine ad, on the node."""

import subprocess
from collections.abc import Mapping
from typing import Any

from .images import TAG, repository
from .manifests import group
from .operator import program
from .pool import Pool
from .waiting import NotYetError, wait_for

DATA, ONEDATA = "/mnt/data", "/mnt/onedata"
WRONG_TOKEN, RIGHT_TOKEN = "wrong-token", "right-token"
DATA_MOUNT = {
    "name": "data",
    "path": DATA,
    "command": ["bindfs", "-f", "-o", "allow_other", "/source", "$(MOUNT_PATH)"],
    "secretRef": {"name": "keytab"},
}


def onedata_mount(secret: str, key: str) -> dict[str, Any]:
    """Return a mount of one space of Onedata, with the token at a key of a Secret."""
    oneclient = {
        "provider": "provider.example",
        "tokenSecretRef": {"name": secret, "key": key},
        "space": "physics",
        "options": ["--force-proxy-io"],
    }
    return {"name": "onedata", "path": ONEDATA, "readOnly": True, "oneclient": oneclient}


def fuse_spec(drain_seconds: int) -> dict[str, Any]:
    """Return a pool of three groups: one to break mounts in, one whose pod is deleted, one whose token is wrong at first."""
    return {
        "image": {"repository": repository("fuse"), "tag": TAG},
        "executors": [
            group("cpu", mounts=[DATA_MOUNT, onedata_mount("onedata", "access")], drainTimeout="1m"),
            group("ending", mounts=[DATA_MOUNT], drainTimeout=f"{drain_seconds}s"),
            group("late", mounts=[onedata_mount("late", "token")], drainTimeout="1m"),
        ],
    }


def machine_ad(pool: Pool, name: str, *attributes: str) -> list[str]:
    """Return attributes of the machine of a group's one executor, as text; nothing where the collector has no such machine."""
    machine = f'SlotType == "Partitionable" && CondorPoolGroup == "{name}"'
    out = pool.run(pool.manager, "condor_status", "-constraint", machine, "-af:t", *attributes)
    return out.rstrip("\n").split("\t") if out else []


def wait_machine(pool: Pool, name: str, wanted: Mapping[str, str], seconds: float) -> None:
    """Wait until the machine ad of a group's executor says this of its mounts."""

    def look() -> None:
        seen = dict(zip(wanted, machine_ad(pool, name, *wanted), strict=False))
        if seen != wanted:
            raise NotYetError(f"{seen}")

    wait_for(f"{wanted} of the machine of {name}", look, seconds)


def server(pool: Pool, pod: str, path: str) -> str:
    """Return the pid, in a pod, of the server of a mount; NotYetError where none runs."""
    pids = pool.attempt(pod, "pgrep", "--full", f"^bindfs .*{path}$").out.split()
    if not pids:
        raise NotYetError(f"no server of {path}")
    return pids[0]


def on_node(node: str, script: str) -> str:
    """Run a script on a node and return what it says."""
    command = [str(program("docker")), "exec", node, "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

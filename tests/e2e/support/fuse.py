"""The image with FUSE servers, and what can be seen of mounts: in the pod, in the machine ad, on the node."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .manifests import group
from .operator import ROLE_IMAGE, program
from .pool import Pool
from .waiting import NotYetError, wait_for

REPOSITORY, TAG = "condorpool/htcondor-fuse", "e2e"
IMAGE_SECONDS = 240.0
DATA, ONEDATA = "/mnt/data", "/mnt/onedata"
WRONG_TOKEN, RIGHT_TOKEN = "wrong-token", "right-token"
DATA_MOUNT = {
    "name": "data",
    "path": DATA,
    "command": ["bindfs", "-f", "-o", "allow_other", "/source", "$(MOUNT_PATH)"],
    "secretRef": {"name": "keytab"},
}


def load_image(root: Path) -> None:
    """Build the image and put it into the nodes."""
    options = ["--build-arg", f"APT_OPTIONS={os.environ['APT_OPTIONS']}"] if "APT_OPTIONS" in os.environ else []
    context = "tests/e2e/images/fuse"
    image = f"{REPOSITORY}:{TAG}"
    build = ["docker", "build", "--quiet", *options, "--build-arg", f"BASE={ROLE_IMAGE}", "--tag", image, context]
    for command in (build, [sys.executable, "-m", "devcluster", "load", image]):
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=IMAGE_SECONDS, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


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
        "image": {"repository": REPOSITORY, "tag": TAG},
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

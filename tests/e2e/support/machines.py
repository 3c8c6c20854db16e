"""Nodes of the dev cluster that fall silent, as a machine does that loses its network or its power, and come back."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .kubectl import Kubectl
from .operator import NAMESPACE, program
from .waiting import NotYetError, wait_for

READY_SECONDS = 120.0
CHAINS = ("PREROUTING", "OUTPUT")
"""Where iptables sees each packet first."""


def workers(kubectl: Kubectl) -> tuple[str, str]:
    """Return a worker that may be lost, and one that must stay: the operator is there."""
    names = [node["metadata"]["name"] for node in kubectl.list("nodes")]
    found = sorted(name for name in names if not name.endswith("-control-plane"))
    operators = kubectl.in_namespace(NAMESPACE).list("pods")
    stays = {pod["spec"]["nodeName"] for pod in operators} & set(found)
    lost = next(name for name in found if name not in stays)
    return lost, next(name for name in found if name != lost)


@contextmanager
def silenced(kubectl: Kubectl, node: str) -> Iterator[None]:
    """Cut a node off and freeze all that runs there; afterwards it goes on, and is a member of the cluster again, deleted or not.

    Frozen alone it would not be silent: its kernel answers for the connections of its processes.
    """
    for chain in CHAINS:
        _docker("exec", node, "iptables", "--table=raw", "--insert", chain, "--jump=DROP")
    _docker("pause", node)
    try:
        yield
    finally:
        _docker("unpause", node)
        for chain in CHAINS:
            _docker("exec", node, "iptables", "--table=raw", "--delete", chain, "--jump=DROP")
        _docker("exec", node, "systemctl", "restart", "kubelet")
        wait_for(f"node {node} to be back", lambda: _look(kubectl, node), READY_SECONDS)


def _look(kubectl: Kubectl, node: str) -> None:
    live = kubectl.get("node", node)
    conditions = {one["type"]: one["status"] for one in (live or {}).get("status", {}).get("conditions", ())}
    network = kubectl.in_namespace("kube-system").attempt(
        *("get", "pods", "--selector=k8s-app=calico-node", f"--field-selector=spec.nodeName={node}", "--output=json")
    )
    pods = json.loads(network.out or '{"items": []}')["items"]
    ready = [one["ready"] for pod in pods for one in pod["status"].get("containerStatuses", ())]
    if conditions.get("Ready") != "True" or not ready or not all(ready):
        raise NotYetError(f"{conditions}, network {ready}")


def _docker(*arguments: str) -> None:
    command = [str(program("docker")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done

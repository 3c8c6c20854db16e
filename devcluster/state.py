"""What is known about the running cluster, and what ``up`` must do about what it finds."""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from devcluster.cache import write_atomically
from devcluster.settings import Settings


class Mode(enum.StrEnum):
    """Where images come from: a Docker daemon that can pull, or Debian packages and Go modules."""

    PULL = "pull"
    BUILD = "build"


@dataclass(frozen=True)
class State:
    """Written when ``up`` starts its work; ``recipe`` is the content key of what the nodes run."""

    mode: Mode
    recipe: str = ""

    def save(self, settings: Settings) -> None:
        write_atomically(settings.runtime / "state.json", json.dumps(asdict(self)))


def load(settings: Settings) -> State | None:
    """Return the state of the cluster that this prefix started; None when there is none."""
    try:
        data = json.loads((settings.runtime / "state.json").read_text(encoding="utf-8"))
        return State(mode=Mode(data["mode"]), recipe=str(data["recipe"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Observation:
    """What ``up`` sees. ``nodes`` maps a node container to its Docker state, whoever left it there."""

    network: bool
    docker: bool
    nodes: Mapping[str, str]
    healthy: bool
    recipe: str


class Decision(enum.Enum):
    """The ways to a healthy cluster, from cheap to dear."""

    KEEP = "the cluster is healthy"
    CREATE = "Docker is up, there is no cluster"
    RECREATE = "the cluster is broken or of another recipe"
    RESTART = "Docker or its network is down"


def decide(seen: Observation, *, recipe: str, workers: int) -> Decision:
    """Choose what to do. A damaged cluster is made anew (half a minute) and never revived node by node."""
    if not (seen.network and seen.docker):
        return Decision.RESTART
    if not seen.nodes:
        return Decision.CREATE
    complete = len(seen.nodes) == workers + 1 and all(state == "running" for state in seen.nodes.values())
    if complete and seen.healthy and seen.recipe == recipe:
        return Decision.KEEP
    return Decision.RECREATE


REQUIRED_WORKLOADS = frozenset(
    {"calico-apiserver", "calico-kube-controllers", "calico-node", "coredns", "kube-proxy", "local-path-provisioner"}
)


def problems(objects: Sequence[Mapping[str, Any]], *, nodes: int) -> list[str]:
    """Return why the cluster is not usable, from its nodes, deployments, daemon sets, API services, storage classes.

    An empty list means: every node ready, Calico enforcing on each, ``projectcalico.org/v3`` served, DNS and the
    default storage class there.
    """
    found: list[str] = []
    ready_nodes = 0
    seen: set[str] = set()
    for item in objects:
        kind, name, status = item["kind"], item["metadata"]["name"], item.get("status", {})
        seen.add(name)
        if kind == "Node":
            ready_nodes += _condition(status, "Ready")
        elif kind == "Deployment" and name in REQUIRED_WORKLOADS:
            found += [] if _condition(status, "Available") else [f"deployment {name} is not available"]
        elif kind == "DaemonSet" and name in REQUIRED_WORKLOADS:
            found += [] if status.get("numberReady", 0) >= nodes else [f"daemon set {name} is not ready on all nodes"]
        elif kind == "APIService" and name == "v3.projectcalico.org":
            found += [] if _condition(status, "Available") else ["projectcalico.org/v3 is not served"]
    if ready_nodes != nodes:
        found.append(f"{ready_nodes} of {nodes} nodes are ready")
    wanted = REQUIRED_WORKLOADS | {"v3.projectcalico.org", "standard"}
    return found + [f"{name} is missing" for name in sorted(wanted - seen)]


def _condition(status: Mapping[str, Any], name: str) -> bool:
    conditions = status.get("conditions", [])
    return any(condition["type"] == name and condition["status"] == "True" for condition in conditions)

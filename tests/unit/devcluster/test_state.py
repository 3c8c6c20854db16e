"""What ``up`` decides from what it finds, and when a cluster counts as usable."""

from pathlib import Path
from typing import Any

import pytest

from devcluster import state
from devcluster.settings import Settings
from devcluster.state import REQUIRED_WORKLOADS, Decision, Mode, Observation, State, decide, problems

RUNNING = {"p-control-plane": "running", "p-worker": "running", "p-worker2": "running"}


def seen(**changes: Any) -> Observation:
    facts: dict[str, Any] = {"network": True, "docker": True, "nodes": RUNNING, "healthy": True, "recipe": "r1"}
    return Observation(**{**facts, **changes})


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (seen(), Decision.KEEP),
        (seen(nodes={}), Decision.CREATE),
        (seen(docker=False), Decision.RESTART),
        (seen(network=False), Decision.RESTART),
        (seen(network=False, docker=False, nodes={}), Decision.RESTART),
        (seen(recipe="r0"), Decision.RECREATE),
        (seen(recipe=""), Decision.RECREATE),
        (seen(healthy=False), Decision.RECREATE),
        (seen(nodes={**RUNNING, "p-worker": "exited"}), Decision.RECREATE),
        (seen(nodes={"p-control-plane": "running"}), Decision.RECREATE),
        (seen(nodes={**RUNNING, "p-worker3": "running"}), Decision.RECREATE),
    ],
)
def test_decision(observation: Observation, expected: Decision) -> None:
    assert decide(observation, recipe="r1", workers=2) is expected


def condition(name: str, status: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": status}]}


def item(kind: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "status": status}


def healthy_objects() -> list[dict[str, Any]]:
    daemon_sets = {"calico-node", "kube-proxy"}
    return [
        *(item("Node", f"n{number}", condition("Ready")) for number in range(3)),
        *(item("DaemonSet", name, {"numberReady": 3}) for name in sorted(daemon_sets)),
        *(item("Deployment", name, condition("Available")) for name in sorted(REQUIRED_WORKLOADS - daemon_sets)),
        item("APIService", "v3.projectcalico.org", condition("Available")),
        item("APIService", "v1.", condition("Available")),
        {"kind": "StorageClass", "metadata": {"name": "standard"}},
    ]


def test_a_healthy_cluster_has_no_problems() -> None:
    assert problems(healthy_objects(), nodes=3) == []


def test_a_users_broken_deployment_is_no_problem_of_the_cluster() -> None:
    objects = [*healthy_objects(), item("Deployment", "mine", condition("Available", "False"))]
    assert problems(objects, nodes=3) == []


@pytest.mark.parametrize(
    ("index", "status", "message"),
    [
        (0, condition("Ready", "Unknown"), "2 of 3 nodes are ready"),
        (3, {"numberReady": 2}, "daemon set calico-node is not ready on all nodes"),
        (5, condition("Available", "False"), "deployment calico-apiserver is not available"),
        (9, {}, "projectcalico.org/v3 is not served"),
    ],
)
def test_one_thing_that_is_not_ready_is_named(index: int, status: dict[str, Any], message: str) -> None:
    objects = healthy_objects()
    objects[index]["status"] = status
    assert problems(objects, nodes=3) == [message]


@pytest.mark.parametrize("name", sorted(REQUIRED_WORKLOADS | {"standard", "v3.projectcalico.org"}))
def test_one_thing_that_is_missing_is_named(name: str) -> None:
    objects = [candidate for candidate in healthy_objects() if candidate["metadata"]["name"] != name]
    assert problems(objects, nodes=3) == [f"{name} is missing"]


def test_state_survives_and_damage_means_none(tmp_path: Path) -> None:
    settings = Settings("p", tmp_path / "cache", tmp_path)
    assert state.load(settings) is None
    State(Mode.BUILD, "r1").save(settings)
    assert state.load(settings) == State(Mode.BUILD, "r1")
    (settings.runtime / "state.json").write_text("{", encoding="utf-8")
    assert state.load(settings) is None

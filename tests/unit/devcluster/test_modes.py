"""The plans of both modes: which steps, in which order, with which commands."""

from pathlib import Path

import pytest

from devcluster import kind, plan, shell
from devcluster.apt import Archive
from devcluster.builtmode import BuiltCluster
from devcluster.lifecycle import choose_mode
from devcluster.progress import Progress
from devcluster.pullmode import PulledCluster
from devcluster.settings import Settings
from devcluster.state import Decision, Mode

SETTINGS = Settings("p", Path("/c/devcluster"))
ARCHIVE = Archive("http://mirror.example/debian")


@pytest.mark.parametrize(
    ("wanted", "current", "can_pull", "expected"),
    [
        ("auto", None, True, Mode.PULL),
        ("auto", None, False, Mode.BUILD),
        ("auto", Mode.BUILD, True, Mode.BUILD),
        ("auto", Mode.PULL, False, Mode.PULL),
        ("pull", None, False, Mode.PULL),
        ("build", None, True, Mode.BUILD),
    ],
)
def test_mode(wanted: str, current: Mode | None, can_pull: bool, expected: Mode) -> None:
    assert choose_mode(wanted, current, can_pull=can_pull) is expected


@pytest.mark.parametrize("decision", list(Decision))
def test_both_plans_hold_together_for_every_decision(decision: Decision) -> None:
    for cluster in (
        BuiltCluster(SETTINGS, Progress(), ARCHIVE, workers=2),
        PulledCluster(SETTINGS, Progress(), workers=2),
    ):
        steps = cluster.steps(decision)
        plan.check(steps)
        assert bool(steps) is (decision is not Decision.KEEP)


def test_pull_mode_is_plain_kind_and_calico() -> None:
    names = [step.name for step in PulledCluster(SETTINGS, Progress(), workers=2).steps(Decision.CREATE)]
    assert names == ["kind, kubectl and helm", "kind cluster", "Calico", "nodes, Calico, DNS and storage ready"]


def test_pull_mode_takes_kinds_own_node_image_and_enters_no_namespace() -> None:
    command = shell.wrap(kind.create_command(SETTINGS, None), SETTINGS, Mode.PULL)
    assert command[:5] == ["kind", "create", "cluster", "--name", "p"]
    assert "--image" not in command


def test_build_mode_enters_the_network_namespace_and_names_the_image() -> None:
    command = shell.wrap(kind.create_command(SETTINGS, "kindest/node:v1"), SETTINGS, Mode.BUILD)
    assert command[:3] == ["nsenter", "--net=/run/netns/p-devcluster", "--"]
    assert command[-2:] == ["--image", "kindest/node:v1"]


def test_the_environment_of_pull_mode_leaves_docker_alone() -> None:
    pulled, built = (shell.environment(SETTINGS, mode) for mode in (Mode.PULL, Mode.BUILD))
    assert built["DOCKER_HOST"] == "unix:///run/p-devcluster/docker/docker.sock"
    assert pulled.get("DOCKER_HOST") != built["DOCKER_HOST"]
    for variables in (pulled, built):
        assert variables["KUBECONFIG"] == "/run/p-devcluster/kubeconfig"
        assert variables["PATH"].startswith("/c/devcluster/clusters/p/bin:")


def test_a_recipe_depends_on_workers_and_mirror() -> None:
    recipes = {
        BuiltCluster(SETTINGS, Progress(), archive, workers=workers).recipe
        for archive in (ARCHIVE, Archive("http://other.example/debian"))
        for workers in (1, 2)
    }
    assert len(recipes) == 4


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_kind_configuration(workers: int) -> None:
    configuration = kind.configuration(workers)
    assert [node["role"] for node in configuration["nodes"]] == ["control-plane"] + ["worker"] * workers
    assert configuration["networking"]["disableDefaultCNI"] is True
    assert '"failCgroupV1": false' in configuration["kubeadmConfigPatches"][0]

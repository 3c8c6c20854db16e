"""Releases on a real API server: what install, upgrade, rollback and removal do to the CRD, the rights and the pools.

The CRD is cluster-wide, so all this happens on a server of its own. Operators run as processes with the rights of the release.
"""

import itertools
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from condorpool_operator.labels import TEMPLATE_HASH
from tests.history import FIRST, unpack

from .cluster import ROOT, Cluster, Operator, RefusedError, eventually, pool
from .server import ApiServer, free_ports, running_server

NAME = "condorpool-operator"
SYSTEM = "condorpool-system"
CRD = "condorpools.condorpool.dev"
WORKLOADS = "deployments,statefulsets"
KINDS = f"{WORKLOADS},configmaps,secrets,services,persistentvolumeclaims,networkpolicies.networking.k8s.io"
POOL = {"executors": [{"name": "cpu", "replicas": 2}], "submitter": {"storage": {"size": "2Gi"}}}


class Release:
    """Helm and the operator that a release would run."""

    def __init__(self, server: ApiServer, logs: Path) -> None:
        self.server = server
        self.admin = Cluster(server, SYSTEM)
        self._logs = logs
        self._operators: list[Operator] = []

    def helm(self, *arguments: str) -> str:
        """Run Helm in the release's namespace and return what it says; RefusedError where it fails."""
        command = [str(self.server.binaries / "helm"), "--kubeconfig", str(self.server.kubeconfig("admin"))]
        done = subprocess.run(
            [*command, "--namespace", SYSTEM, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RefusedError(done.stderr.strip())
        return done.stdout

    def apply(self, tree: Path, *arguments: str) -> str:
        """Install or upgrade the release by the chart of a tree."""
        chart = str(tree / "charts" / NAME)
        return self.helm("upgrade", "--install", NAME, chart, "--create-namespace", "--hide-notes", *arguments)

    def operator(self, tree: Path = ROOT) -> Operator:
        """Return the operator of a tree; it is not started yet."""
        made = Operator(self.server, self._logs / f"{tree.name}.log", tree, liveness_port=str(free_ports(1)[0]))
        self._operators.append(made)
        return made

    def clean(self) -> None:
        """Leave nothing behind, whatever failed."""
        for operator in self._operators:
            operator.stop()
        self.helm("uninstall", NAME, "--ignore-not-found")
        self.admin.kubectl("delete", "crd", CRD, "--ignore-not-found")

    def crd(self) -> dict[str, Any] | None:
        """Return the CRD, or None."""
        return self.admin.get("crd", CRD)

    def fields(self) -> set[str]:
        """Return the fields of a pool's spec that the API server knows."""
        found = self.crd() or {}
        schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return set(schema["properties"]["spec"]["properties"])


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_server(tmp_path_factory.mktemp("packaging")) as server:
        Cluster(server, "default").kubectl(
            "create", "clusterrolebinding", "process", f"--clusterrole={NAME}", "--user=operator"
        )
        yield server


@pytest.fixture
def release(own_server: ApiServer, tmp_path: Path) -> Iterator[Release]:
    """Return what releases are made with."""
    release = Release(own_server, tmp_path)
    yield release
    release.clean()


_numbers = itertools.count(1)


@pytest.fixture
def pools(own_server: ApiServer) -> Cluster:
    """Return a namespace for pools."""
    cluster = Cluster(own_server, f"pools-{next(_numbers)}")
    cluster.kubectl("create", "namespace", cluster.namespace)
    return cluster


def versions(cluster: Cluster) -> dict[str, str]:
    """Return the resource versions of the pools and of all that was made for them."""
    objects = [*cluster.objects(KINDS, "condorpool.dev/pool"), *cluster.objects("condorpools")]
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in objects}


def what_restarts(workloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return by executor group the hash that gives it new pods when it changes; since that commit manager and submitter have changed."""
    annotations = {
        obj["metadata"]["name"]: obj["spec"]["template"]["metadata"].get("annotations", {}) for obj in workloads
    }
    return {name: found[TEMPLATE_HASH] for name, found in annotations.items() if TEMPLATE_HASH in found}


def test_upgrade_and_rollback_take_the_crd_along(release: Release, pools: Cluster, tmp_path: Path) -> None:
    first = unpack(FIRST, tmp_path / "first")
    release.apply(first)
    assert "networkPolicy" not in release.fields()
    old = release.operator(first)
    old.start(until="watching")
    pools.apply(pool(POOL))
    pools.settle()
    before = what_restarts(pools.objects(WORKLOADS))
    assert before.keys() == {"demo-cpu"}
    old.stop()

    release.apply(ROOT)

    assert "networkPolicy" in release.fields()
    new = release.operator()
    new.start()
    eventually(lambda: pools.condition("NetworkPolicyEnforced").get("status") == "True", "the pool's network policies")
    assert what_restarts(pools.objects(WORKLOADS)) == before
    pools.apply(pool({**POOL, "networkPolicy": {"mode": "Disabled"}}))
    pools.settle()
    new.stop()

    release.helm("rollback", NAME, "1")

    assert "networkPolicy" not in release.fields()
    old.start(until="watching")
    pools.apply(pool({**POOL, "executors": [{"name": "cpu", "replicas": 3}]}))
    pools.settle()
    assert pools.condition("Accepted")["status"] == "True"
    assert what_restarts(pools.objects(WORKLOADS)) == before
    old.stop()
    assert pools.events() == []


def test_uninstall_leaves_crd_and_pools_and_a_new_release_writes_nothing(release: Release, pools: Cluster) -> None:
    release.apply(ROOT)
    operator = release.operator()
    operator.start()
    pools.apply(pool(POOL))
    pools.settle()
    operator.stop()
    left = versions(pools)
    assert {name.partition("/")[0] for name in left} > {"CondorPool", "StatefulSet", "Deployment", "NetworkPolicy"}

    release.helm("uninstall", NAME)

    assert release.crd() is not None
    assert versions(pools) == left
    assert release.admin.kubectl("get", "clusterrole,clusterrolebinding", NAME, "--ignore-not-found") == ""
    assert release.admin.kubectl("get", "all,serviceaccounts,networkpolicies.networking.k8s.io", "--output=name") == ""

    release.apply(ROOT)
    operator.start()
    pools.apply(pool(name="witness"))
    pools.settle("witness")
    operator.stop()
    assert {name: version for name, version in versions(pools).items() if "witness" not in name} == left


def test_a_release_may_own_the_crd_altogether(release: Release, pools: Cluster) -> None:
    release.apply(ROOT, "--set=crds.keep=false")
    pools.apply(pool())
    release.helm("uninstall", NAME)
    assert release.crd() is None


def test_a_crd_from_an_administrator_is_taken_over_only_when_told(release: Release) -> None:
    release.admin.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
    with pytest.raises(RefusedError, match="invalid ownership metadata"):
        release.apply(ROOT)
    release.apply(ROOT, "--set=crds.install=false")
    release.apply(ROOT, "--set=crds.install=true", "--take-ownership", "--force-conflicts")
    owner = (release.crd() or {})["metadata"]["annotations"]
    assert owner["meta.helm.sh/release-name"] == NAME


@pytest.mark.parametrize("server_side", [False, True])
def test_cluster_overlay_is_applied_as_it_is(release: Release, *, server_side: bool) -> None:
    command = ("apply", f"--server-side={server_side}".lower(), "--kustomize", str(ROOT / "manifests/overlays/cluster"))
    first = release.admin.kubectl(*command).splitlines()
    assert {line.partition(" ")[0].partition("/")[0] for line in first} == {
        "namespace",
        "customresourcedefinition.apiextensions.k8s.io",
        "serviceaccount",
        "clusterrole.rbac.authorization.k8s.io",
        "clusterrolebinding.rbac.authorization.k8s.io",
        "networkpolicy.networking.k8s.io",
        "deployment.apps",
    }
    before = release.admin.get("deployment", NAME)
    release.admin.kubectl(*command)
    assert release.admin.get("deployment", NAME) == before
    kinds = "clusterroles,clusterrolebindings,serviceaccounts,networkpolicies.networking.k8s.io,deployments"
    release.admin.kubectl("delete", kinds, "--selector", f"app.kubernetes.io/name={NAME}")

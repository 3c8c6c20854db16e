"""The kustomizations make what the chart makes, and name nothing that is not there."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.chart.rendering import Objects, build, kinds, only, render
from tools.kustomize import kustomize_files

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = ROOT / "manifests" / "overlays" / "cluster"
NAMESPACE = ROOT / "manifests" / "overlays" / "namespace"
OWN_NAMESPACE = {"name": "CONDORPOOL_NAMESPACES", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}


@pytest.fixture(scope="module")
def cluster() -> Objects:
    return build(CLUSTER)


@pytest.fixture(scope="module")
def namespace() -> Objects:
    return build(NAMESPACE)


def without_release(objects: Objects) -> Objects:
    """Return the chart's objects without what only a release of Helm has."""
    for obj in objects.values():
        for labels in (obj["metadata"].get("labels", {}), _template(obj).get("labels", {})):
            labels.pop("app.kubernetes.io/managed-by", None)
            labels.pop("helm.sh/chart", None)
        if obj["kind"] == "CustomResourceDefinition":
            del obj["metadata"]["annotations"]
    return objects


def _template(obj: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = obj.get("spec", {}).get("template", {}).get("metadata", {})
    return found


def environment(objects: Objects) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    return found


def test_generated_files_are_current() -> None:
    stale = [str(path) for path, text in kustomize_files().items() if path.read_text() != text]
    assert stale == [], "run `make generate` and commit"


def test_cluster_overlay_is_the_chart_with_a_namespace(cluster: Objects) -> None:
    del cluster["Namespace", "/condorpool-system"]
    assert cluster == without_release(render(namespace="condorpool-system"))


def test_namespace_overlay_is_the_chart_for_one_namespace(namespace: Objects) -> None:
    chart = render('watchNamespaces=["condorpool"]', "crds.install=false", namespace="condorpool")
    named = {"name": "CONDORPOOL_NAMESPACES", "value": "condorpool"}
    found, wanted = environment(namespace), environment(chart)
    assert OWN_NAMESPACE in found
    assert named in wanted
    found.remove(OWN_NAMESPACE)
    wanted.remove(named)
    assert namespace == without_release(chart)


@pytest.mark.parametrize(
    ("overlay", "values", "role"), [(CLUSTER, "[]", "ClusterRole"), (NAMESPACE, '["condorpool"]', "Role")]
)
def test_rights_are_those_of_the_chart(overlay: Path, values: str, role: str) -> None:
    rules = only(build(overlay), role)["rules"]
    assert rules == only(render(f"watchNamespaces={values}"), role)["rules"]
    assert len(rules) > 5


def test_namespace_overlay_has_nothing_cluster_wide(namespace: Objects) -> None:
    assert kinds(namespace) == {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "Deployment"}
    assert {obj["metadata"]["namespace"] for obj in namespace.values()} == {"condorpool"}


@pytest.mark.parametrize(("overlay", "binding"), [(CLUSTER, "ClusterRoleBinding"), (NAMESPACE, "RoleBinding")])
def test_a_kustomization_of_a_user_moves_everything(tmp_path: Path, overlay: Path, binding: str) -> None:
    """The namespace and the images, as docs/operations.md tells it."""
    mine = {
        "namespace": "physics",
        "resources": [os.path.relpath(overlay, tmp_path.resolve())],
        "images": [{"name": "condorpool/operator", "newName": "lab.example/operator", "newTag": "1.0"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    objects = build(tmp_path)
    placed = {obj["metadata"]["namespace"] for obj in objects.values() if "namespace" in obj["metadata"]}
    assert placed == {"physics"}
    assert [name for kind, name in objects if kind == "Namespace"] in ([], ["/physics"])
    assert {subject["namespace"] for subject in only(objects, binding)["subjects"]} == {"physics"}
    container = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "lab.example/operator:1.0"


@pytest.mark.parametrize(
    "directory", [ROOT / "manifests" / "base", CLUSTER, NAMESPACE], ids=lambda directory: directory.name
)
def test_every_file_is_a_resource(directory: Path) -> None:
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    files = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == {name for name in kustomization["resources"] if not name.startswith("..")}


def test_crds_can_be_applied_as_a_directory_too() -> None:
    """`kubectl apply -f crds` takes every .yaml file for an object."""
    assert [path.name for path in (ROOT / "crds").glob("*.y*ml")] == ["condorpools.condorpool.dev.yaml"]
    assert kinds(build(ROOT / "crds")) == {"CustomResourceDefinition"}

"""The chart and the kustomizations as Helm and kubectl render them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "condorpool-operator"

Objects = dict[tuple[str, str], dict[str, Any]]
"""Objects by kind and namespace/name."""


def program(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the dev cluster; AssertionError that names the fix where it is missing."""
    found = shutil.which(name)
    assert found, (
        f'{name} is not on PATH: run `make test-unit`, or PATH="$(python3 -m devcluster binaries {name}):$PATH"'
    )
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm."""
    return program("helm", *arguments)


def render(*values: str, namespace: str = "ops") -> Objects:
    """Return what the chart makes of some values."""
    settings = [f"--set-json={value}" for value in values]
    return _parse(helm("template", "condorpool-operator", str(CHART), "--namespace", namespace, *settings))


def build(kustomization: Path) -> Objects:
    """Return what a kustomization makes."""
    return _parse(program("kubectl", "kustomize", str(kustomization)))


def _parse(done: subprocess.CompletedProcess[str]) -> Objects:
    assert done.returncode == 0, done.stderr
    return {
        (obj["kind"], obj["metadata"].get("namespace", "") + "/" + obj["metadata"]["name"]): obj
        for obj in yaml.safe_load_all(done.stdout)
        if obj
    }


def only(objects: Objects, kind: str) -> dict[str, Any]:
    """Return the one object of a kind."""
    (found,) = [obj for (name, _), obj in objects.items() if name == kind]
    return found


def kinds(objects: Objects) -> set[str]:
    """Return the kinds of objects."""
    return {kind for kind, _ in objects}

"""The trees that upgrades start from: the commit that closed part 1, the first that could be installed, and the last release."""

import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIRST = "b17eb3f5435a44c9bd6e0818ebe9148c9c29583c"
RELEASED = "7da6a60ccad52846bcec1111d4f5639a9f3dd8ee"
"""What users have now: the commit that closed part 3. Move it on with each release."""
PATHS = ("charts", "crds", "operator")
TEMPLATE_HASH = "condorpool.dev/template-hash"


def first_tree(directory: Path) -> Path:
    """Unpack chart, CRD and operator of that commit into a new directory and return it; AssertionError where git does not have them."""
    _require(FIRST)
    directory.mkdir(parents=True)
    archive = directory / "tree.tar"
    made = _git("archive", "--format=tar", f"--output={archive}", FIRST, *PATHS)
    assert made.returncode == 0, made.stderr.decode()
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    archive.unlink()
    return directory


def released_file(path: str) -> str:
    """Return a file as the last release has it; AssertionError where git does not have that."""
    _require(RELEASED)
    shown = _git("show", f"{RELEASED}:{path}")
    assert shown.returncode == 0, shown.stderr.decode()
    return shown.stdout.decode()


def _require(commit: str) -> None:
    known = _git("cat-file", "-e", f"{commit}^{{commit}}")
    shallow = _git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    fix = "the clone is shallow: `git fetch --unshallow` brings it" if shallow else known.stderr.decode().strip()
    assert known.returncode == 0, f"the upgrade tests need commit {commit[:7]}: {fix}"


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, timeout=60, check=False)


def what_restarts(workloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return by executor group the hash that gives it new pods when it changes.

    Manager and submitter are left out: since that commit the one has got a second container and the other a probe that tells of faults,
    so an upgrade replaces their pods once; running jobs go on.
    """
    annotations = {
        obj["metadata"]["name"]: obj["spec"]["template"]["metadata"].get("annotations", {}) for obj in workloads
    }
    return {name: found[TEMPLATE_HASH] for name, found in annotations.items() if TEMPLATE_HASH in found}

"""The tree that upgrades start from: the commit that closed part 1 of the project, the first that could be installed."""

import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIRST = "b17eb3f5435a44c9bd6e0818ebe9148c9c29583c"
PATHS = ("charts", "crds", "operator")
TEMPLATE_HASH = "condorpool.dev/template-hash"


def first_tree(directory: Path) -> Path:
    """Unpack chart, CRD and operator of that commit into a new directory and return it; AssertionError where git does not have them."""
    known = _git("cat-file", "-e", f"{FIRST}^{{commit}}")
    shallow = _git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    fix = "the clone is shallow: `git fetch --unshallow` brings it" if shallow else known.stderr.decode().strip()
    assert known.returncode == 0, f"the upgrade tests need commit {FIRST[:7]}: {fix}"
    directory.mkdir(parents=True)
    archive = directory / "tree.tar"
    made = _git("archive", "--format=tar", f"--output={archive}", FIRST, *PATHS)
    assert made.returncode == 0, made.stderr.decode()
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    archive.unlink()
    return directory


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

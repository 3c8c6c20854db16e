"""The trees that upgrades start from: the first that could be installed, and the last release."""

import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST = "b17eb3f5435a44c9bd6e0818ebe9148c9c29583c"
RELEASED = "9e9b071fb0be09e121a25ca5d2e5ae09c27e2d7b"
"""What users have now. Move it on with each release."""
PATHS = ("charts", "crds", "operator")


def unpack(commit: str, directory: Path) -> Path:
    """Unpack chart, CRD and operator of a commit into a new directory and return it; AssertionError where git does not have them."""
    _require(commit)
    directory.mkdir(parents=True)
    archive = directory / "tree.tar"
    made = _git("archive", "--format=tar", f"--output={archive}", commit, *PATHS)
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

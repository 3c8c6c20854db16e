"""The cluster under test, as the environment names it."""

import contextlib
import os
from pathlib import Path

from pytest_kind import KindCluster

from . import operator


def connect(root: Path) -> KindCluster:
    """Return pytest-kind's view of the cluster that the environment names; it is neither created nor deleted here."""
    kubeconfig = os.environ.get("KUBECONFIG")
    assert kubeconfig, "KUBECONFIG is not set: run this by `python3 -m devcluster run -- .venv/bin/…`"
    build = root / "build"
    build.mkdir(exist_ok=True)
    with contextlib.chdir(
        build
    ):  # pytest-kind makes a directory for a kubeconfig and programs that it is not asked for
        return KindCluster(
            os.environ.get("CONDORPOOL_CLUSTER") or "condorpool",
            kubeconfig=Path(kubeconfig),
            kind_path=operator.program("kind"),
            kubectl_path=operator.program("kubectl"),
        )

"""The operator under test: installed by its Helm chart, with its own image and its own rights."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .kubectl import Kubectl
from .manifests import MARK

RELEASE = "condorpool-operator"
DEPLOYMENT = "condorpool-operator"
NAMESPACE = "condorpool-system"
CHART = Path("charts") / RELEASE
INSTALL_SECONDS = 120.0
FLAGS = ("--create-namespace", "--wait", "--take-ownership", "--force-conflicts")
"""What tests have scaled or patched in the release before is the release's again."""
ROLE_IMAGE = "condorpool/htcondor:dev"


def program(name: str) -> Path:
    """Return the path of a program; AssertionError that says how to run the suite where it is missing."""
    found = shutil.which(name)
    assert found, f"{name} is not on PATH: run the suite with `python3 -m devcluster run -- .venv/bin/pytest tests/e2e`"
    return Path(found)


def install(kubectl: Kubectl, root: Path) -> None:
    """Install the chart, or upgrade what is there, and wait until the operator runs: a new pod, so that it is the image at hand."""
    values = {
        "image.repository": "condorpool/operator",
        "image.tag": "dev",
        "roleImage.repository": ROLE_IMAGE.partition(":")[0],
        "roleImage.tag": ROLE_IMAGE.partition(":")[2],
        "podAnnotations.e2e-session": uuid.uuid4().hex,
    }
    settings = [f"--set-string={name}={value}" for name, value in values.items()]
    command = [str(program("helm")), "upgrade", "--install", RELEASE, str(root / CHART), "--namespace", NAMESPACE]
    done = subprocess.run(
        [*command, *FLAGS, f"--timeout={INSTALL_SECONDS:g}s", *settings],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS + 30,
        check=False,
    )
    state = kubectl.in_namespace(NAMESPACE).attempt("get", "pods", "--output=wide").text
    assert done.returncode == 0, f"helm: {done.stdout}{done.stderr}\n{state}"


def restart(kubectl: Kubectl) -> None:
    """Replace the operator's pod and wait until the new one runs."""
    operator = kubectl.in_namespace(NAMESPACE)
    operator("rollout", "restart", f"deployment/{DEPLOYMENT}")
    operator("rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=120s", seconds=130)


@contextmanager
def setting(kubectl: Kubectl, name: str, value: str) -> Iterator[None]:
    """Give the operator a setting, and take it away at the end of the block."""
    operator = kubectl.in_namespace(NAMESPACE)

    def put(change: str) -> None:
        operator("set", "env", f"deployment/{DEPLOYMENT}", change)
        operator("rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=120s", seconds=130)

    put(f"CONDORPOOL_{name}={value}")
    try:
        yield
    finally:
        put(f"CONDORPOOL_{name}-")


@contextmanager
def absent(kubectl: Kubectl) -> Iterator[None]:
    """Stop the operator; it runs again at the end of the block."""
    scale(kubectl, 0)
    try:
        yield
    finally:
        scale(kubectl, 1)


def scale(kubectl: Kubectl, replicas: int) -> None:
    """Set the number of the operator's pods to none or one and wait until it is so."""
    operator = kubectl.in_namespace(NAMESPACE)
    operator("scale", f"deployment/{DEPLOYMENT}", f"--replicas={replicas}")
    operator("rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=120s", seconds=130)
    if replicas == 0:
        selector = f"--selector=app.kubernetes.io/name={DEPLOYMENT}"
        operator("wait", "--for=delete", "pods", selector, "--timeout=60s", seconds=70)


def remove_leftovers(kubectl: Kubectl) -> None:
    """Remove what a killed run left behind, without waiting for its jobs."""
    for namespace in kubectl.list("namespaces", _marked()):
        remove_namespace(kubectl, namespace["metadata"]["name"])
    remove_cluster_objects(kubectl)


def remove_cluster_objects(kubectl: Kubectl) -> None:
    """Remove what the suite made outside of namespaces."""
    kubectl("delete", "storageclasses,priorityclasses", f"--selector={_marked()}", "--ignore-not-found")


def _marked() -> str:
    return ",".join(f"{key}={value}" for key, value in MARK.items())


def remove_namespace(kubectl: Kubectl, name: str) -> None:
    """Delete a namespace, its pods without their time to drain; what is left of it goes in the background.

    The pods first: the grace period that the kubelet reads first is the one that it keeps to.
    """
    kubectl.in_namespace(name).attempt("delete", "pods", "--all", "--grace-period=5", "--wait=false")
    kubectl.attempt("delete", "namespace", name, "--wait=false")

"""The operator under test: installed by its Helm chart, with its own image and its own rights."""

import shutil
import subprocess
import uuid
from pathlib import Path

from .kubectl import Kubectl
from .manifests import MARK

RELEASE = "condorpool-operator"
DEPLOYMENT = "condorpool-operator"
NAMESPACE = "condorpool-system"
CHART = Path("charts") / RELEASE
INSTALL_SECONDS = 120.0
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
        [*command, "--create-namespace", "--wait", f"--timeout={INSTALL_SECONDS:g}s", *settings],
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


def remove_leftovers(kubectl: Kubectl) -> None:
    """Remove what a killed run left behind, without waiting for its jobs."""
    label = ",".join(f"{key}={value}" for key, value in MARK.items())
    for namespace in kubectl.list("namespaces", label):
        remove_namespace(kubectl, namespace["metadata"]["name"])


def remove_namespace(kubectl: Kubectl, name: str) -> None:
    """Delete a namespace, its pods without their time to drain; what is left of it goes in the background."""
    kubectl.attempt("delete", "namespace", name, "--wait=false")
    kubectl.in_namespace(name).attempt("delete", "pods", "--all", "--grace-period=5", "--wait=false")

"""Operators of their own, each for one namespace, that the suite's operator is kept out of.

The suite's operator serves the whole cluster, and two operators would write the same objects. So an admission policy forbids its service
account to write anything in namespaces with a label of ours; it tries again now and then, which is what it does for any refusal.
"""

import json
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .kubectl import Kubectl
from .operator import CHART, DEPLOYMENT, NAMESPACE, RELEASE, ROLE_IMAGE, program
from .waiting import NotYetError, wait_for

MARK = {"test-suite": "condorpool-e2e-packaging"}
"""Label of the namespaces that the suite's operator is kept out of."""
WALL = "condorpool-e2e-packaging"
OPERATOR_SECONDS = 120.0
ROLE_REPOSITORY = ROLE_IMAGE.partition(":")[0]
OLD_IMAGE = "condorpool/operator:released"

OLD_DOCKERFILE = """
FROM condorpool/operator:dev
USER root
RUN rm -r /opt/condorpool/condorpool_operator
COPY condorpool_operator/ /opt/condorpool/condorpool_operator/
RUN python3 -m compileall -q /opt/condorpool/condorpool_operator
USER 65532:65532
"""
"""The code of another commit on the libraries of today."""


def load_role_image(tag: str) -> str:
    """Give the role image one more tag, put it into the nodes and return its name."""
    image = f"{ROLE_REPOSITORY}:{tag}"
    run([str(program("docker")), "tag", ROLE_IMAGE, image], seconds=20)
    run(["python3", "-m", "devcluster", "load", image], seconds=120)
    return image


def build_wall(kubectl: Kubectl) -> None:
    """Forbid the suite's operator to write in namespaces with the label."""
    account = f"system:serviceaccount:{NAMESPACE}:{DEPLOYMENT}"
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    api = "admissionregistration.k8s.io/v1"
    policy = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": WALL},
        "spec": {
            "matchConstraints": {"namespaceSelector": {"matchLabels": MARK}, "resourceRules": [everything]},
            "matchConditions": [{"name": "by-the-suite", "expression": f"request.userInfo.username == '{account}'"}],
            "validations": [{"expression": "false", "reason": "Forbidden", "message": "has an operator of its own"}],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": WALL},
        "spec": {"policyName": WALL, "validationActions": ["Deny"]},
    }
    kubectl.apply(policy, binding)


def new_namespace(kubectl: Kubectl, purpose: str) -> Kubectl:
    """Make a namespace, wait until the suite's operator is kept out of it, and return kubectl for it."""
    name = f"e2e-{purpose}-{uuid.uuid4().hex[:5]}"
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": MARK}})
    made = kubectl.in_namespace(name)
    intruder = (
        "create",
        "configmap",
        "intruder",
        "--dry-run=server",
        f"--as=system:serviceaccount:{NAMESPACE}:{DEPLOYMENT}",
    )

    def refused() -> None:
        if made.attempt(*intruder).code == 0:
            raise NotYetError("the suite's operator may still write")

    wait_for(f"the admission policy to guard {name}", refused, 30)
    return made


def tear_down(kubectl: Kubectl) -> None:
    """Remove all namespaces with the label and the policy, as after a run that was killed."""
    label = ",".join(f"{key}={value}" for key, value in MARK.items())
    for namespace in kubectl.list("namespaces", label):
        name = namespace["metadata"]["name"]
        kubectl.attempt("delete", "namespace", name, "--wait=false")
        kubectl.in_namespace(name).attempt("delete", "pods", "--all", "--grace-period=5", "--wait=false")
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        kubectl("delete", kind, WALL, "--ignore-not-found")


def build_old_image(tree: Path, directory: Path) -> None:
    """Build the operator's image of another tree and put it into the nodes."""
    directory.mkdir()
    (directory / "Dockerfile").write_text(OLD_DOCKERFILE)
    shutil.copytree(tree / "operator" / "condorpool_operator", directory / "condorpool_operator")
    run([str(program("docker")), "build", "--quiet", "--tag", OLD_IMAGE, str(directory)], seconds=120)
    run(["python3", "-m", "devcluster", "load", OLD_IMAGE], seconds=120)


def run(command: list[str], *, stdin: str = "", seconds: float) -> str:
    """Run a program and return its output; AssertionError with all that it said where it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Release:
    """A release of the chart in a namespace, serving that namespace; the CRD is the suite's."""

    kubectl: Kubectl

    @property
    def namespace(self) -> str:
        """The namespace of the release and of its pools."""
        assert self.kubectl.namespace is not None
        return self.kubectl.namespace

    def helm(self, *arguments: str, stdin: str = "") -> str:
        """Run Helm in the namespace."""
        command = [str(program("helm")), "--namespace", self.namespace, *arguments]
        return run(command, stdin=stdin, seconds=OPERATOR_SECONDS + 30)

    def apply(self, tree: Path, tag: str, role_tag: str = "dev") -> int:
        """Install or upgrade by the chart of a tree, wait until the operator is ready, and return the revision."""
        values: dict[str, Any] = {
            "watchNamespaces": [self.namespace],
            "crds": {"install": False},
            "image": {"repository": "condorpool/operator", "tag": tag},
            "roleImage": {"repository": ROLE_REPOSITORY, "tag": role_tag},
        }
        arguments = ("upgrade", "--install", RELEASE, str(tree / CHART), "--values=-", "--wait")
        self.helm(*arguments, f"--timeout={OPERATOR_SECONDS:g}s", stdin=json.dumps(values))
        return self.revision()

    def revision(self) -> int:
        """Return the revision that is deployed."""
        return int(json.loads(self.helm("history", RELEASE, "--output=json"))[-1]["revision"])

    def rollback(self, revision: int) -> None:
        """Go back to a revision and wait until its operator is ready."""
        self.helm("rollback", RELEASE, str(revision), "--wait", f"--timeout={OPERATOR_SECONDS:g}s")

    def image(self) -> str:
        """Return the image of the operator that is ready."""
        pods = self.kubectl.list("pods", f"app.kubernetes.io/name={RELEASE}")
        ready = [
            pod
            for pod in pods
            if all(one["ready"] for one in pod["status"].get("containerStatuses", [{"ready": False}]))
        ]
        assert len(ready) == 1, f"{len(ready)} of {len(pods)} pods are ready"
        return str(ready[0]["spec"]["containers"][0]["image"])


def apply_overlay(kubectl: Kubectl, overlay: Path, directory: Path) -> None:
    """Apply an overlay to a namespace, as docs/operations.md tells it, and wait until the operator is ready."""
    directory.mkdir()
    kustomization = {"namespace": kubectl.namespace, "resources": [os.path.relpath(overlay, directory.resolve())]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    kubectl("apply", "--kustomize", str(directory))
    kubectl(
        "rollout",
        "status",
        f"deployment/{DEPLOYMENT}",
        f"--timeout={OPERATOR_SECONDS:g}s",
        seconds=OPERATOR_SECONDS + 10,
    )

"""What is kept of a failed test: objects, events, pods, queue and logs, in one folder."""

import json
import re
from pathlib import Path

from .kubectl import Kubectl
from .operator import DEPLOYMENT, NAMESPACE

FOLDER = Path("build") / "e2e-evidence"
QUEUE_COMMANDS = {
    "condor_q": ("condor_q", "-allusers", "-nobatch"),
    "condor_q-long": ("condor_q", "-allusers", "-long"),
    "condor_status": ("condor_status", "-any"),
}


def collect(test: str, kubectl: Kubectl, namespaces: list[str]) -> Path:
    """Write everything that may tell why a test failed; return the folder."""
    folder = FOLDER / re.sub(r"[^A-Za-z0-9_.-]+", "_", test.rpartition("/")[2])
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "nodes.txt", kubectl, "get", "nodes", "--output=wide")
    operator = kubectl.in_namespace(NAMESPACE)
    _write(folder / "operator.log", operator, "logs", f"deployment/{DEPLOYMENT}", "--tail=5000")
    _write(folder / "operator-pods.txt", operator, "describe", "pods")
    for namespace in namespaces:
        _namespace(folder / namespace, kubectl.in_namespace(namespace))
    return folder


def _namespace(folder: Path, kubectl: Kubectl) -> None:
    folder.mkdir(exist_ok=True)
    _write(folder / "condorpools.yaml", kubectl, "get", "condorpools", "--output=yaml")
    _write(folder / "events.txt", kubectl, "get", "events", "--sort-by=.lastTimestamp")
    _write(folder / "pods.txt", kubectl, "get", "pods", "--output=wide")
    _write(folder / "describe-pods.txt", kubectl, "describe", "pods")
    _write(folder / "workloads.yaml", kubectl, "get", "deployments,statefulsets,services,pvc", "--output=yaml")
    for group in ("networking.k8s.io", "projectcalico.org"):
        _write(folder / f"networkpolicies.{group}.yaml", kubectl, "get", f"networkpolicies.{group}", "--output=yaml")
    for pod in json.loads(kubectl.attempt("get", "pods", "--output=json").out or '{"items": []}')["items"]:
        _pod(folder, kubectl, pod["metadata"]["name"], [item["name"] for item in pod["spec"]["containers"]])


def _pod(folder: Path, kubectl: Kubectl, pod: str, containers: list[str]) -> None:
    for container in containers:
        _write(folder / f"{pod}.{container}.log", kubectl, "logs", pod, f"--container={container}")
        previous = kubectl.attempt("logs", pod, f"--container={container}", "--previous")
        if previous.code == 0:
            (folder / f"{pod}.{container}.previous.log").write_text(previous.out)
    if pod.endswith("-submitter-0"):
        for name, command in QUEUE_COMMANDS.items():
            _write(folder / f"{name}.txt", kubectl, "exec", pod, "--container=condor", "--", *command)


def _write(path: Path, kubectl: Kubectl, *args: str) -> None:
    try:
        text = kubectl.attempt(*args).text
    except AssertionError as error:  # what does not answer is evidence too, and must not hide the rest
        text = str(error)
    path.write_text(text)

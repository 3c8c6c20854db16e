"""What the API tests do with the server: kubectl, and the operator as a process of its own with the chart's rights."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .server import ApiServer

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 30.0
Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], what: str, seconds: float = DEADLINE_SECONDS) -> Seen:
    """Return what `look` sees once it is true; fail with `what` and the last sight after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}; last seen: {seen!r}")
        time.sleep(0.1)


class RefusedError(Exception):
    """kubectl failed; the text is what it printed."""


class Cluster:
    """kubectl as the administrator, in one namespace."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed; RefusedError where it fails."""
        command = [str(self.server.binaries / "kubectl"), "--kubeconfig", str(self.server.kubeconfig("admin"))]
        command += ["--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RefusedError(done.stderr.strip())
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects as a user does."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of one or more kinds."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", "-l", selector))["items"]
        return found

    def versions(self, selector: str = "condorpool.dev/pool") -> dict[str, str]:
        """Return the resource versions of the pools' objects and of the pools."""
        kinds = "secrets,configmaps,persistentvolumeclaims,services,poddisruptionbudgets,networkpolicies,deployments,statefulsets"
        objects = self.objects(kinds, selector) + self.objects("condorpools")
        return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in objects}

    def condition(self, kind: str, pool: str = "demo") -> dict[str, Any]:
        """Return a condition of a pool, empty where there is none."""
        found = self.get("condorpool", pool) or {}
        conditions = found.get("status", {}).get("conditions", ())
        return next((one for one in conditions if one["type"] == kind), {})

    def events(self, kind: str = "Warning") -> list[tuple[str, str]]:
        """Return (reason, message) of the events of a kind about pools; the API server's own, as about Services, are not the operator's."""
        events = [one for one in self.objects("events") if one["involvedObject"]["kind"] == "CondorPool"]
        return [(one["reason"], one["message"]) for one in events if one["type"] == kind]

    def settle(self, pool: str = "demo") -> None:
        """Wait until the operator has reported on the pool's present generation."""

        def reported() -> bool:
            found = self.get("condorpool", pool)
            return found is not None and found["status"]["observedGeneration"] == found["metadata"]["generation"]

        eventually(reported, f"a status of {pool} at its present generation")

    def manager_pod(self, pool: str, **ready: bool) -> None:
        """Make the manager's pod, or change it, with containers that are ready or not, as a kubelet would report them."""
        owner = self.get("condorpool", pool) or {}
        labels = {"pool": pool, "pool-uid": owner["metadata"]["uid"], "component": "manager"}
        managed = {"app.kubernetes.io/managed-by": "condorpool-operator"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{pool}-manager-x",
                "labels": managed | {f"condorpool.dev/{key}": value for key, value in labels.items()},
            },
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": name, "image": "none"} for name in ("condor", "agent")],
            },
        }
        self.apply(pod)
        rest = {"restartCount": 0, "image": "none", "imageID": ""}
        statuses = [{"name": name, "ready": state, **rest} for name, state in ready.items()]
        patch = json.dumps({"status": {"containerStatuses": statuses}})
        self.kubectl("patch", "pod", f"{pool}-manager-x", "--subresource=status", "--type=merge", "-p", patch)

    def workload_is_up(self, kind: str, name: str) -> None:
        """Report a single-pod workload as a controller would whose pod is ready."""
        generation = (self.get(kind, name) or {})["metadata"]["generation"]
        status = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
        if kind == "statefulset":
            status |= {"currentRevision": "r", "updateRevision": "r"}
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def pool(spec: dict[str, Any] | None = None, name: str = "demo") -> dict[str, Any]:
    """Return a CondorPool."""
    return {
        "apiVersion": "condorpool.dev/v1alpha1",
        "kind": "CondorPool",
        "metadata": {"name": name},
        "spec": spec or {},
    }


class Operator:
    """The operator as a process, logged in as the user who has the chart's rights and no others."""

    def __init__(
        self, server: ApiServer, log: Path, tree: Path = ROOT, user: str = "operator", **settings: str
    ) -> None:
        self._server = server
        self._user = user
        self._log = log
        self._tree = tree
        self._settings = {f"CONDORPOOL_{name.upper()}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, until: str = "serving ") -> None:
        """Start the process and wait for a line in its log."""
        environment = {
            **os.environ,
            **self._settings,
            "KUBECONFIG": str(self._server.kubeconfig(self._user)),
            "PYTHONPATH": str(self._tree / "operator"),
        }
        before = self.log().count(until)
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "condorpool_operator"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        eventually(lambda: self.log().count(until) > before, "the operator to start")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=20)
            self._process = None

    def log(self) -> str:
        """Return what the operator logged."""
        return self._log.read_text() if self._log.exists() else ""


PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPf0mR6sC8Zk6V2GqWmFv0aXzF2o0r0r0r0r0r0r0r0r john"
BY_KEY = {"submitter": {"ssh": {"users": [{"name": "john", "authorizedKeysSecretRef": {"name": "john"}}]}}}


BY_KEY_AND_PASSWORD = {
    "submitter": {
        "ssh": {
            "users": [
                {
                    "name": "john",
                    "authorizedKeysSecretRef": {"name": "john"},
                    "passwordSecretRef": {"name": "john"},
                }
            ]
        }
    }
}


def secret(name: str, **data: str) -> dict[str, Any]:
    """Return a Secret of a user's."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> dict[str, Any]:
    """Return a ConfigMap of a user's."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}

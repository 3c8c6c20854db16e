"""From `kubectl apply` to the end of the first job, against a pool of the same shape that was written by hand.

The CondorPool has network policies, as by default; the pool by hand has none. Both are started in turn in new namespaces with new
claims and images that are there, the same job is submitted over ssh through a NodePort in both, and the order changes from turn to
turn, so that a busy machine is busy for both.
"""

import base64
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from condorpool_operator.minting import new_host_key, new_signing_key, new_token
from tools.console import Console

from .nodes import Api, is_ready, kubectl, program, proxy, remove_namespace, until
from .report import Figure, Results, ratios

PART = "firstjob"
TURNS = 5
LIMIT, AIM = 1.2, 1.1
PODS = 4
REFERENCE = Path(__file__).parent / "reference"
USER = "john"

Objects = list[dict[str, Any]]

POOL_SPEC: dict[str, Any] = {
    "submitter": {
        "storage": {"size": "1Gi"},
        "ssh": {"users": [{"name": USER, "authorizedKeysSecretRef": {"name": USER}}]},
    },
    "executors": [
        {
            "name": "executor",
            "replicas": 2,
            "resources": {"limits": {"cpu": 2, "memory": "2Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        }
    ],
}

JOB = """
cd && rm -f s.log
printf '%s\\n' executable=/bin/sleep arguments=2 transfer_executable=false request_memory=32M request_disk=16M log=s.log queue >s.sub
until condor_submit s.sub >/dev/null 2>&1; do sleep .2; done
date +%s.%N
until grep -q ^001 s.log; do sleep .05; done
date +%s.%N
condor_wait s.log >/dev/null
date +%s.%N
"""
"""Prints when the job was submitted, when it began, and when it ended."""


def secret(name: str, **files: bytes) -> dict[str, Any]:
    """Return a Secret."""
    data = {key.replace("__", "."): base64.b64encode(content).decode() for key, content in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def own_pool(_namespace: str, public_key: str) -> str:
    """Return the manifest of a CondorPool and its user."""
    pool = {
        "apiVersion": "condorpool.dev/v1alpha1",
        "kind": "CondorPool",
        "metadata": {"name": "pool"},
        "spec": POOL_SPEC,
    }
    return _stream([secret(USER, authorized_keys=public_key.encode()), pool])


def reference_pool(namespace: str, public_key: str) -> str:
    """Return the manifest of the pool by hand, with new credentials."""
    domain = f"reference.{namespace}"
    keys = {role: new_signing_key() for role in ("submitter", "executor")}
    objects = [secret("signing-keys", **keys), secret("ssh-host-key", ssh_host_ed25519_key=new_host_key())]
    objects += [secret(f"{role}-token", token=new_token(key, role, domain)) for role, key in keys.items()]
    users = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssh-users"}, "data": {USER: public_key}}
    texts = [path.read_text().replace("NAMESPACE", namespace) for path in sorted(REFERENCE.glob("*.yaml"))]
    return "---\n".join([_stream([*objects, users]), *texts])


def _stream(objects: Objects) -> str:
    return "---\n".join(json.dumps(one) + "\n" for one in objects)


class Turn:
    """One start of one of the pools; times are seconds after kubectl began to apply."""

    def __init__(self, connect: Callable[[], Api], key: Path, node: str) -> None:
        self._connect, self._key, self._node = connect, key, node
        self.times: dict[str, float] = {}

    def run(self, namespace: str, manifest: str, service: str) -> dict[str, float]:
        """Apply and follow until the job has ended."""
        api = self._connect()
        kubectl("create", "namespace", namespace)
        job = threading.Thread(target=self._job, args=(f"/api/v1/namespaces/{namespace}/services/{service}",))
        self._began = time.time()
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
        self._note("applied")
        job.start()
        path = f"/api/v1/namespaces/{namespace}/pods"
        until(lambda: self._all_ready(api.get(path)["items"]), "all pods to be ready")
        self._note("all pods ready")
        pool = f"/apis/condorpool.dev/v1alpha1/namespaces/{namespace}/condorpools/pool"
        if api.get(pool) is not None:
            until(lambda: self._pool_ready(api.get(pool)), "the CondorPool to be Ready")
            self._note("CondorPool Ready")
        job.join()
        if "job done" not in self.times:
            raise RuntimeError(f"the job did not end: {self.times}")
        return self.times

    def _note(self, what: str, at: float | None = None) -> None:
        self.times[what] = (time.time() if at is None else at) - self._began

    @staticmethod
    def _all_ready(pods: list[Any]) -> bool | None:
        return True if len(pods) == PODS and all(map(is_ready, pods)) else None

    @staticmethod
    def _pool_ready(pool: Any) -> bool | None:
        conditions = pool.get("status", {}).get("conditions", ())
        return True if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions) else None

    def _job(self, service: str) -> None:
        api = self._connect()
        port = until(
            lambda: (api.get(service) or {"spec": {"ports": [{}]}})["spec"]["ports"][0].get("nodePort"), "ssh's port"
        )
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=1", "BatchMode=yes")
        ssh = ["ssh", "-q", "-F", "none", "-i", str(self._key), "-p", str(port), *(f"-o{one}" for one in options)]
        ssh.append(f"{USER}@{self._node}")

        def answers() -> bool | None:
            return True if subprocess.run([*ssh, "true"], capture_output=True, check=False).returncode == 0 else None

        until(answers, "ssh to answer")
        self._note("ssh")
        for what, stamp in zip(("job submitted", "job started", "job done"), program(*ssh, JOB).split(), strict=True):
            self._note(what, float(stamp))


async def run(console: Console, results: Results) -> None:
    """Measure."""
    address = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}'
    node = kubectl("get", "nodes", "-o", f"jsonpath={address}")
    seen: dict[str, list[dict[str, float]]] = {"reference": [], "operator": []}
    with proxy() as connect, tempfile.TemporaryDirectory() as directory:
        key = Path(directory) / "key"
        program("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", USER, "-f", str(key))
        public_key = key.with_suffix(".pub").read_text()
        kinds = {"reference": (reference_pool, "ssh"), "operator": (own_pool, "pool-ssh")}
        for turn in range(results.repeats(TURNS)):
            for kind in list(kinds) if turn % 2 else reversed(kinds):
                render, service = kinds[kind]
                namespace = f"bench-{kind}-{turn}"
                try:
                    times = Turn(connect, key, node).run(namespace, render(namespace, public_key), service)
                finally:
                    remove_namespace(connect(), namespace)
                console.say(f"{kind}: " + ", ".join(f"{what} {value:.1f} s" for what, value in times.items()))
                seen[kind].append(times)
    results.add(*_figures(seen))


def _figures(seen: dict[str, list[dict[str, float]]]) -> list[Figure]:
    figures = [
        Figure(PART, f"{kind}: apply to {what}", "s", tuple(one[what] for one in turns))
        for kind, turns in seen.items()
        for what in turns[0]
    ]
    for what, bounds in (("all pods ready", (None, None)), ("job done", (LIMIT, AIM))):
        values, references = ([one[what] for one in seen[kind]] for kind in ("operator", "reference"))
        figures.append(Figure(PART, f"apply to {what}: operator / reference", "", ratios(values, references), *bounds))
    return figures

"""The dev cluster as the benchmarks use it, from inside its network: kubectl, quick looks through its proxy, its nodes' programs."""

import contextlib
import http.client
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Seen = TypeVar("Seen")

LOOK_SECONDS = 0.05
CALL_SECONDS = 180


def program(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """Run a program and return its output; RuntimeError where it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=CALL_SECONDS, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{shlex.join(command)[:300]}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl."""
    return program("kubectl", *arguments, stdin=stdin, check=check)


def until(look: Callable[[], Seen | None], what: str, seconds: float = 180.0) -> Seen:
    """Return what a look sees once it sees something; TimeoutError at the deadline."""
    deadline = time.monotonic() + seconds
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(LOOK_SECONDS)
    return seen


class Api:
    """GET and PATCH through kubectl's proxy on a kept connection: a look takes milliseconds."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def _send(self, method: str, path: str, body: str | None = None) -> Any:
        headers = {"Content-Type": "application/merge-patch+json"} if body else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content)

    def get(self, path: str) -> Any:
        """Return an object or a list, None where there is none."""
        return self._send("GET", path)

    def merge(self, path: str, body: Any) -> Any:
        """Patch an object."""
        return self._send("PATCH", path, json.dumps(body))


@contextlib.contextmanager
def proxy() -> Iterator[Callable[[], Api]]:
    """Run kubectl's proxy; give a function that opens a connection, one for each thread."""
    process = subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("no output of kubectl proxy")
        port = int(process.stdout.readline().rpartition(":")[2])
        yield lambda: Api(port)
    finally:
        process.kill()
        process.wait()


def is_ready(pod: Any) -> bool:
    """Return whether the kubelet calls a pod ready."""
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def remove_namespace(api: Api, name: str) -> None:
    """Remove a namespace with all that runs in it, at once, and wait until it is gone."""
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
    kubectl("delete", "pods", "--all", "-n", name, "--grace-period=1", "--wait=false", check=False)
    until(lambda: True if api.get(f"/api/v1/namespaces/{name}") is None else None, f"the end of namespace {name}")


def on_node(node: str, *command: str) -> str:
    """Run a program on a node."""
    return program("docker", "exec", node, *command)


def process_of(pod: Any, container: str) -> int:
    """Return the id, on its node, of the first process of a container of a pod: the one whose cgroup is named after it."""
    (status,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == container]
    name = status["containerID"].rpartition("/")[2]
    files = on_node(pod["spec"]["nodeName"], "sh", "-c", f"grep -l {name} /proc/[0-9]*/cgroup 2>/dev/null || true")
    return min(int(file.split("/")[2]) for file in files.split())

"""What can be done to the machines under a pool, by their containers; and how all of it is taken back, whatever is left of it."""

import subprocess
from collections.abc import Callable

from tests.e2e.support import operator
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.machines import CHAINS, READY_SECONDS
from tests.e2e.support.waiting import NotYetError, wait_for

from .acts import Act, Maker

API_SERVER = "kube-apiserver"


def makers(kubectl: Kubectl) -> dict[str, Maker]:
    """Return how each kind of fault is made that touches a whole node or the API server."""
    names = sorted(node["metadata"]["name"] for node in kubectl.list("nodes"))
    (control_plane,) = [name for name in names if name.endswith("-control-plane")]
    workers = [name for name in names if name != control_plane]

    def on(do: Callable[[str], object], undo: Callable[[str], object]) -> Maker:
        def make(pick: int) -> Act:
            node = workers[pick % len(workers)]
            return Act(node, lambda: do(node), lambda: undo(node))

        return make

    def server(signal: str) -> Callable[[], object]:
        return lambda: docker("exec", control_plane, "pkill", f"-{signal}", "-x", API_SERVER)

    return {
        "kubelet stopped": on(
            lambda node: docker("exec", node, "systemctl", "stop", "kubelet"),
            lambda node: docker("exec", node, "systemctl", "start", "kubelet"),
        ),
        "node frozen": on(lambda node: docker("pause", node), lambda node: docker("unpause", node)),
        "node cut off": on(_cut, _mend),
        "node cordoned": on(lambda node: kubectl("cordon", node), lambda node: kubectl("uncordon", node)),
        "API server stopped": lambda _: Act(API_SERVER, server("STOP"), server("CONT")),
        "API server killed": lambda _: Act(API_SERVER, server("KILL")),
    }


def _cut(node: str) -> None:
    for chain in CHAINS:
        docker("exec", node, "iptables", "--table=raw", "--insert", chain, "--jump=DROP")


def _mend(node: str) -> None:
    """Take away every such rule, also those of a run that was killed."""
    for chain in CHAINS:
        rule = f"{chain} --jump=DROP"
        script = f"while iptables --table=raw --check {rule} 2>/dev/null; do iptables --table=raw --delete {rule}; done"
        docker("exec", node, "sh", "-c", script)


def heal(kubectl: Kubectl) -> None:
    """Undo every fault of machines, and wait until nodes and operator are ready."""
    listed = docker("ps", "--all", "--format={{.Names}} {{.State}}", "--filter=label=io.x-k8s.kind.role").splitlines()
    for name, state in (line.split() for line in listed):
        if state == "paused":
            docker("unpause", name)
        _mend(name)
        docker("exec", name, "sh", "-c", f"pkill -CONT -x {API_SERVER} || true")
        docker("exec", name, "systemctl", "start", "kubelet")
    wait_for("the nodes to be ready", lambda: _look(kubectl), READY_SECONDS)
    system = kubectl.in_namespace(operator.NAMESPACE)
    system("rollout", "status", f"deployment/{operator.DEPLOYMENT}", "--timeout=120s", seconds=130)


def _look(kubectl: Kubectl) -> None:
    said = kubectl.attempt("get", "--raw=/readyz")
    if said.code != 0:
        raise NotYetError(said.text)
    nodes = kubectl.list("nodes")
    for node in nodes:
        if node["spec"].get("unschedulable"):
            kubectl("uncordon", node["metadata"]["name"])
    ready = {
        node["metadata"]["name"]: next(
            (one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"), "?"
        )
        for node in nodes
    }
    if set(ready.values()) != {"True"}:
        raise NotYetError(f"{ready}")


def docker(*arguments: str) -> str:
    """Run docker and return what it says; AssertionError where it fails."""
    command = [str(operator.program("docker")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout

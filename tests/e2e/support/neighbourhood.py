"""Everybody around the pools under test: strangers in pods, nodes, the cluster's own services, a listener outside."""

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .flows import NODE
from .kubectl import Kubectl, Object
from .network import PROGRAM, Source, Target, pod_id, pod_source
from .operator import DEPLOYMENT, NAMESPACE, ROLE_IMAGE
from .pool import Pool
from .prober import DNS, TCP, UDP

CONDOR_PORT, AGENT_PORT, SSH_PORT = 9618, 9619, 22
NODE_CACHE = "169.254.20.10"
"""Where a node's own DNS cache answers, in clusters that have one."""
CLOSED_PORTS = {(TCP, AGENT_PORT), (UDP, 9), (UDP, CONDOR_PORT)}
"""Ports at which mostly nobody listens: a packet that may pass is answered by the kernel."""
KNOWN_PORTS = {"manager": {(TCP, AGENT_PORT)}, "submitter": {(TCP, SSH_PORT)}}
"""Ports beside that of the daemons that have columns of their own."""
STARTED = "--for=condition=Ready"


def stranger(
    name: str, node: str, labels: Mapping[str, str] | None = None, ports: Sequence[int] = (), *, on_node: bool = False
) -> dict[str, Any]:
    """Return a pod that is no member of any pool, listens on some ports, and can run the prober; on_node is in the node's network."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {
            "nodeName": node,
            "hostNetwork": on_node,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "condor",
                    "image": ROLE_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", *PROGRAM, "serve", json.dumps({"ports": list(ports)})],
                }
            ],
        },
    }


@contextmanager
def node_caches(kubectl: Kubectl, names: Iterable[str], upstream: str) -> Iterator[None]:
    """Answer DNS on nodes at the address of a node's cache, which is theirs meanwhile."""
    pods = [_node_cache(name, upstream) for name in sorted(names)]
    place(kubectl, "cache", *pods)
    try:
        yield
    finally:
        for pod in pods:
            kubectl.execute(pod["metadata"]["name"], "condor", *_on_node("del"))


def _on_node(change: str) -> tuple[str, ...]:
    return ("nsenter", "--target=1", "--mount", "--net", "--", "ip", "address", change, f"{NODE_CACHE}/32", "dev", "lo")


def _node_cache(node: str, upstream: str) -> dict[str, Any]:
    pod = stranger(f"cache-on-{node}", node, on_node=True)
    request = json.dumps({"address": NODE_CACHE, "upstream": upstream})
    script = f'{" ".join(_on_node("replace"))} && exec python3 -I -S -c "$0" forward "$1"'
    (container,) = pod["spec"]["containers"]
    container["command"] = ["sh", "-c", script, PROGRAM[-1], request]
    container["securityContext"] = {"privileged": True}
    container["readinessProbe"] = {"tcpSocket": {"host": NODE_CACHE, "port": 53}, "periodSeconds": 1}
    pod["spec"]["hostPID"] = True
    return pod


def nodes(kubectl: Kubectl) -> dict[str, str]:
    """Return the nodes' names and addresses; the workers come first."""
    found = kubectl.list("nodes")
    found.sort(key=lambda node: "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"])
    return {
        node["metadata"]["name"]: next(
            address["address"] for address in node["status"]["addresses"] if address["type"] == "InternalIP"
        )
        for node in found
    }


def place(kubectl: Kubectl, row: str, *pods: Mapping[str, Any]) -> list[tuple[Source, Object]]:
    """Create strangers, wait until they run, and return each as a source and as it is."""
    kubectl.apply(*pods)
    names = [pod["metadata"]["name"] for pod in pods]
    kubectl("wait", STARTED, "--timeout=60s", *(f"pod/{name}" for name in names), seconds=70)
    live = [kubectl.must_get("pod", name) for name in names]
    return [(pod_source(row, kubectl, pod), pod) for pod in live]


def node_sources(kubectl: Kubectl, names: Sequence[str]) -> list[Source]:
    """Return a source in the network of each node."""
    pods = [stranger(f"on-{name}", name, on_node=True) for name in names]
    return [source for source, _ in place(kubectl, NODE, *pods)]


def operator_source(kubectl: Kubectl) -> Source:
    """Return the operator's pod as a source."""
    system = kubectl.in_namespace(NAMESPACE)
    (pod,) = [
        pod
        for pod in system.list("pods", f"app.kubernetes.io/name={DEPLOYMENT}")
        if pod["status"]["phase"] == "Running"
    ]
    return pod_source("operator", system, pod, "operator")


def pod_target(
    column: str, pod: Object, port: int = CONDOR_PORT, protocol: str = TCP, *, listens: bool = True
) -> Target:
    """Return a port of a pod."""
    name = f"{pod_id(pod)} {protocol} {port}"
    address, node = pod["status"]["podIP"], pod["spec"]["nodeName"]
    return Target(column, name, address, port, protocol, pod_id(pod), node, listens=listens)


class Members:
    """A pool's pods as sources and as targets."""

    def __init__(self, pool: Pool, node_addresses: Mapping[str, str]) -> None:
        self.pool = pool
        self._nodes = node_addresses
        self.pods = {
            str(pod["metadata"]["name"]): pod
            for role in ("manager", "submitter", "executor")
            for pod in pool.pods(role)
        }
        self.sources = [pod_source(_role(pod), pool.kubectl, pod) for pod in self.pods.values()]

    def _first(self, role: str) -> Source:
        return next(source for source in self.sources if source.row == role)

    @property
    def manager(self) -> Source:
        """The manager's pod."""
        return self._first("manager")

    @property
    def submitter(self) -> Source:
        """The submitter's pod."""
        return self._first("submitter")

    @property
    def executors(self) -> list[Source]:
        """The executors' pods."""
        return [source for source in self.sources if source.row == "executor"]

    def daemons(self, column: str | None = None) -> list[Target]:
        """Return the daemons' port by every address that leads to it; all in one column where one is named."""
        found = [pod_target(column or _role(pod), pod) for pod in self.pods.values()]
        for service in self.pool.kubectl.list("services", f"condorpool.dev/pool={self.pool.name}"):
            address, ports = service["spec"].get("clusterIP", "None"), service["spec"].get("ports", [])
            if address != "None" and CONDOR_PORT in {port["port"] for port in ports}:
                found.append(self._by_service(column or "manager", service, self.pods[self.pool.manager], CONDOR_PORT))
        return found

    def agent(self) -> list[Target]:
        """Return the agent's port by both addresses that lead to it."""
        pod = self.pods[self.pool.manager]
        service = self.pool.kubectl.must_get("service", f"{self.pool.name}-manager")
        return [pod_target("agent", pod, AGENT_PORT), self._by_service("agent", service, pod, AGENT_PORT)]

    def ssh(self, column: str = "ssh") -> list[Target]:
        """Return sshd's port by every address that leads to it: the pod's, the Service's, every node's."""
        pod = self.pods[self.pool.submitter]
        service = self.pool.kubectl.must_get("service", f"{self.pool.name}-ssh")
        port = service["spec"]["ports"][0]
        by_node = [
            Target(
                column, f"NodePort of {self.pool.trust_domain} at {name}", address, port["nodePort"], pod=pod_id(pod)
            )
            for name, address in self._nodes.items()
        ]
        return [pod_target(column, pod, SSH_PORT), self._by_service(column, service, pod, port["port"]), *by_node]

    def others(self) -> list[Target]:
        """Return other ports: those at which something listens, and some at which nothing does.

        HTCondor's UDP sockets are left out: they do not answer, so nobody can tell from outside whether a datagram arrived.
        """
        found = []
        for source, pod in zip(self.sources, self.pods.values(), strict=True):
            known = {(TCP, CONDOR_PORT)} | KNOWN_PORTS.get(_role(pod), set())
            listening = source.listening()
            found += [pod_target("other", pod, port) for protocol, port in listening - known if protocol == TCP]
            found += [pod_target("other", pod, port, how, listens=False) for how, port in CLOSED_PORTS - listening]
        return found

    @staticmethod
    def _by_service(column: str, service: Object, pod: Object, port: int) -> Target:
        name = f"Service {service['metadata']['name']}"
        return Target(column, name, service["spec"]["clusterIP"], port, TCP, pod_id(pod), pod["spec"]["nodeName"])


def _role(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["condorpool.dev/component"])


def cluster_targets(kubectl: Kubectl, node_addresses: Mapping[str, str]) -> list[Target]:
    """Return what every cluster has: DNS and its metrics, the API server, the kubelets."""
    system, default = kubectl.in_namespace("kube-system"), kubectl.in_namespace("default")
    pods = system.list("pods", "k8s-app=kube-dns")
    dns_service = system.must_get("service", "kube-dns")["spec"]["clusterIP"]
    found = [pod_target("dns", pod, 53, protocol) for pod in pods for protocol in (DNS, TCP)]
    found += [Target("dns", f"Service kube-dns {protocol}", dns_service, 53, protocol) for protocol in (DNS, TCP)]
    found += [pod_target("metrics", pod, 9153) for pod in pods]
    found.append(
        Target("api", "Service kubernetes", default.must_get("service", "kubernetes")["spec"]["clusterIP"], 443)
    )
    for endpoint in default.list("endpointslices", "kubernetes.io/service-name=kubernetes"):
        port = endpoint["ports"][0]["port"]
        found += [Target("api", "API server", item["addresses"][0], port) for item in endpoint["endpoints"]]
    return found + [Target("kubelet", f"kubelet of {name}", address, 10250) for name, address in node_addresses.items()]


class _Mirror(socketserver.BaseRequestHandler):
    """Tells a client the address that it is seen with."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a prober that has seen enough
            self.request.sendall(f"{self.client_address[0]}\n".encode())


@contextmanager
def listener(node_address: str) -> Iterator[Target]:
    """Listen on this machine, where the nodes and what is behind them can reach it; give the target."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((node_address, 9))
        address = sock.getsockname()[0]
    with socketserver.ThreadingTCPServer((address, 0), _Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Target("outside", f"outside port {server.server_address[1]}", address, server.server_address[1])
        server.shutdown()

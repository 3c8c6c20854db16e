"""Everything that is pinned: versions, Go packages, Debian packages. Changing one rebuilds what depends on it."""

from dataclasses import dataclass, field

KUBERNETES = "1.35.4"
ETCD = "3.6.5"
CALICO = "3.28.5"
CALICO_MODULE = "github.com/projectcalico/calico"
CALICO_MODULE_VERSION = "v1.11.0-cni-plugin.0.20250813170300-a0db560f0520"
COREDNS = "1.13.1"
LOCAL_PATH = "0.0.30"
KIND = "0.33.0"
KIND_MODULE = "sigs.k8s.io/kind"
HELM = "4.3.1"
KUBECONFORM = "0.8.0"

NODE_SUITE = "trixie"
SLIM_SUITES = ("forky", "trixie")


@dataclass(frozen=True)
class GoProgram:
    """One program of one Go module under ``devcluster/go``.

    ``values`` are variables that the linker sets (``-X name=value``); ``links`` are further names of the binary.
    """

    name: str
    module: str
    package: str
    values: tuple[tuple[str, str], ...] = ()
    links: tuple[str, ...] = field(default=())


def _kubernetes_values() -> tuple[tuple[str, str], ...]:
    """Name the version in both packages that report it: kubeadm and the kubelet refuse to work with an unknown one."""
    major, minor, _ = KUBERNETES.split(".")
    facts = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": f"v{KUBERNETES}",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return tuple((f"{package}.{name}", value) for package in packages for name, value in facts.items())


def _calico(name: str, package: str, variable: str) -> GoProgram:
    return GoProgram(name, "calico", f"{CALICO_MODULE}/{package}", ((variable, f"v{CALICO}"),))


KUBERNETES_NAMES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
)

PROGRAMS = (
    GoProgram("kind", "kind", KIND_MODULE),
    GoProgram("kube", "kubernetes", ".", _kubernetes_values(), KUBERNETES_NAMES),
    GoProgram("etcd", "kubernetes", "go.etcd.io/etcd/server/v3"),
    GoProgram("pause", "kubernetes", "./pause"),
    _calico("calico", "cni-plugin/cmd/calico", "main.VERSION"),
    _calico("install", "cni-plugin/cmd/install", "main.VERSION"),
    _calico("kube-controllers", "kube-controllers/cmd/kube-controllers", "main.VERSION"),
    _calico("check-status", "kube-controllers/cmd/check-status", "main.VERSION"),
    _calico("calico-node", "node/cmd/calico-node", f"{CALICO_MODULE}/node/buildinfo.GitVersion"),
    _calico("apiserver", "apiserver/cmd/apiserver", f"{CALICO_MODULE}/apiserver/cmd/apiserver/server.VERSION"),
    GoProgram("coredns", "clusterapps", "./coredns"),
    GoProgram("local-path-provisioner", "clusterapps", "github.com/rancher/local-path-provisioner"),
    GoProgram("helm", "helm", "helm.sh/helm/v4/cmd/helm", (("helm.sh/helm/v4/internal/version.version", f"v{HELM}"),)),
)

ON_DEMAND = (
    GoProgram(
        "kubeconform",
        "kubeconform",
        "github.com/yannh/kubeconform/cmd/kubeconform",
        (("main.version", f"v{KUBECONFORM}"),),
    ),
)
"""Programs that no cluster needs: built when `binaries` is asked for them."""

HOST_NAMES = (*KUBERNETES_NAMES, "etcd", "helm", "kind")
"""Programs for the machine itself: what ``run`` has on PATH."""

BINARY_NAMES = (*HOST_NAMES, *(program.name for program in ON_DEMAND))
"""What ``binaries`` may be asked for."""

API_TEST_NAMES = ("etcd", "helm", "kube-apiserver", "kube-controller-manager", "kubectl")

DOCKER_PACKAGES = (
    "ca-certificates",
    "containerd",
    "docker-cli",
    "docker.io",
    "iproute2",
    "iptables",
    "kmod",
    "nftables",
    "procps",
    "runc",
)

NODE_PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "e2fsprogs",
    "ethtool",
    "ipset",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "mount",
    "nftables",
    "pigz",
    "procps",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
)

CLUSTER_PACKAGES = (
    "busybox",
    "conntrack",
    "containernetworking-plugins",
    "iproute2",
    "ipset",
    "iptables",
    "kmod",
    "nftables",
)

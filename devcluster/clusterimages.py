"""The images that kubeadm and the Calico manifests ask for, made from one Debian root and our Go programs.

All share one layer; they differ in entrypoint and working directory only.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import docker, rootfs, versions
from devcluster.apt import Archive
from devcluster.binaries import artifact, program
from devcluster.cache import content_key
from devcluster.process import output
from devcluster.settings import Settings

KEY_LABEL = "dev.condorpool.devcluster"
CALICO_APISERVER = f"calico/apiserver:v{versions.CALICO}"
CALICO_CNI = f"docker.io/calico/cni:v{versions.CALICO}"
CALICO_KUBE_CONTROLLERS = f"docker.io/calico/kube-controllers:v{versions.CALICO}"
CALICO_NODE = f"docker.io/calico/node:v{versions.CALICO}"
LOCAL_PATH_PROVISIONER = f"docker.io/kindest/local-path-provisioner:v{versions.LOCAL_PATH}"
LOCAL_PATH_HELPER = f"docker.io/kindest/local-path-helper:v{versions.LOCAL_PATH}"

LAYOUT = {
    "usr/local/bin/kube": "kube",
    "usr/local/bin/etcd": "etcd",
    "usr/local/bin/local-path-provisioner": "local-path-provisioner",
    "usr/bin/calico-node": "calico-node",
    "usr/bin/kube-controllers": "kube-controllers",
    "usr/bin/check-status": "check-status",
    "opt/cni/bin/calico": "calico",
    "opt/cni/bin/calico-ipam": "calico",
    "opt/cni/bin/install": "install",
    "code/apiserver": "apiserver",
    "coredns": "coredns",
    "pause": "pause",
}
"""Path in the images -> program. The paths are those that the manifests and their probes name."""

START_CALICO_NODE = """#!/bin/sh
# What Calico's own image does by its service supervisor, for a VXLAN cluster: no BIRD, no confd.
set -eu
calico-node -startup
NODENAME=$(cat /var/lib/calico/nodename)
export NODENAME
calico-node -allocate-tunnel-addrs -allocate-tunnel-addrs-run-once
calico-node -monitor-token &
exec calico-node -felix
"""

_START_PATH = "usr/local/bin/start-calico-node"


@dataclass(frozen=True)
class ClusterImage:
    """A name that a manifest asks for, and the configuration that tells it from the others."""

    name: str
    entrypoint: tuple[str, ...] = ()
    workdir: str = "/"

    def dockerfile(self, base: str) -> str:
        lines = [f"FROM {base}", f"WORKDIR {self.workdir}"]
        if self.entrypoint:
            lines.append("ENTRYPOINT [" + ", ".join(f'"{word}"' for word in self.entrypoint) + "]")
        return "\n".join(lines) + "\n"


def image_for(name: str) -> ClusterImage:
    """Return the image for a name on kubeadm's list."""
    if "/pause:" in name:
        return ClusterImage(name, ("/pause",))
    if "/coredns:" in name:
        return ClusterImage(name, ("/coredns",))
    return ClusterImage(name)


ADDONS = (
    ClusterImage(CALICO_APISERVER, ("/code/apiserver",), "/code"),
    ClusterImage(CALICO_CNI),
    ClusterImage(CALICO_KUBE_CONTROLLERS, ("/usr/bin/kube-controllers",)),
    ClusterImage(CALICO_NODE, (f"/{_START_PATH}",)),
    ClusterImage(LOCAL_PATH_PROVISIONER, ("local-path-provisioner",)),
    ClusterImage(LOCAL_PATH_HELPER),
)


def kubeadm_images(kubeadm: Path) -> list[str]:
    """Return the names that kubeadm of this version asks for."""
    return output([kubeadm, "config", "images", "list", "--kubernetes-version", f"v{versions.KUBERNETES}"]).split()


def pause_image(names: list[str]) -> str:
    return next(name for name in names if "/pause:" in name)


def programs(settings: Settings) -> dict[str, Path]:
    """Return the cached files of all programs that go into the images."""
    return {name: artifact(program(name), settings) / name for name in set(LAYOUT.values())}


def key(settings: Settings, archive: Archive) -> str:
    """Return the content key of the shared layer."""
    files = {name: path.parent.name for name, path in programs(settings).items()}
    return content_key(rootfs.CLUSTER.path(settings, archive).name, LAYOUT, START_CALICO_NODE, files, ADDONS)


def lay_out(overlay: Path, files: Mapping[str, Path]) -> None:
    """Fill the directory that is laid over the Debian root."""
    for path, name in LAYOUT.items():
        target = overlay / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[name], target)
        target.chmod(0o755)
    for name in versions.KUBERNETES_NAMES:
        (overlay / "usr/local/bin" / name).symlink_to("kube")
    script = overlay / _START_PATH
    script.write_text(START_CALICO_NODE, encoding="utf-8")
    script.chmod(0o755)


def build(settings: Settings, archive: Archive, kubeadm: Path) -> list[str]:
    """Make all images unless they are there; return their names."""
    base = "condorpool-devcluster/cluster:latest"
    images = [*(image_for(name) for name in kubeadm_images(kubeadm)), *ADDONS]
    if docker.label(settings, base, KEY_LABEL) != key(settings, archive):
        overlay = settings.runtime / "cluster-overlay"
        shutil.rmtree(overlay, ignore_errors=True)
        lay_out(overlay, programs(settings))
        changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        changes.append(f"LABEL {KEY_LABEL}={key(settings, archive)}")
        trees = [overlay, rootfs.CLUSTER.path(settings, archive)]
        docker.import_trees(settings, base, trees, changes, log=settings.logs / "images.log")
        shutil.rmtree(overlay)
    for image in images:
        if docker.label(settings, image.name, KEY_LABEL) != key(settings, archive):
            with docker.replacing(settings, image.name):
                docker.query(settings, "build", "--tag", image.name, "-", stdin=image.dockerfile(base), timeout=120)
    return [image.name for image in images]

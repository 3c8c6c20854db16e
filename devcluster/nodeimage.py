"""kind's node image on Debian: systemd, containerd, Kubernetes, and every cluster image already in containerd's store."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devcluster import clusterimages, docker, modules, rootfs, storage, versions
from devcluster.apt import Archive
from devcluster.binaries import artifact, program
from devcluster.cache import content_key
from devcluster.errors import DevClusterError
from devcluster.process import output, run, shell_words
from devcluster.settings import Settings

NAME = f"kindest/node:v{versions.KUBERNETES}"

_ENABLED_UNITS = ("containerd.service", "kubelet.service", "undo-mount-hacks.service")
_HOOK = "/kind/bin/mount-product-files.sh"

_CONFIG_PROBE = 'sandbox_image = ""\nrestrict_oom_score_adj = false'
"""What the content key runs through ``containerd_config`` to notice a changed adaptation."""

_IMPORT = """
set -eu
mkdir -p /run/containerd
containerd > /var/log/containerd-import.log 2>&1 &
daemon=$!
for attempt in $(seq 100); do
    ctr version > /dev/null 2>&1 && break
    sleep 0.1
done
ctr -n k8s.io images import --all-platforms --digests --no-unpack -
ctr -n k8s.io images list -q | while read -r image; do
    ctr -n k8s.io images label "$image" io.cri-containerd.pinned=pinned > /dev/null
done
kill "$daemon"
wait "$daemon" || true
rm -f /var/log/containerd-import.log
"""

_CHANGES = (
    "ENV container=docker",
    "STOPSIGNAL SIGRTMIN+3",
    'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
)


def containerd_config(upstream: str, pause: str) -> str:
    """Adapt kind's containerd configuration to Debian's containerd and to kubeadm's pause image.

    ``restrict_oom_score_adj``: lowering a score needs CAP_SYS_RESOURCE, which the machine may lack.
    ``bin_dir``: Debian's default is /usr/lib/cni. Raises DevClusterError when the file no longer has what is replaced.
    """
    text, pauses = re.subn(r'sandbox_image = "[^"]*"', f'sandbox_image = "{pause}"', upstream)
    text, scores = re.subn(r"restrict_oom_score_adj = \w+", "restrict_oom_score_adj = true", text)
    if (pauses, scores) != (1, 1):
        raise DevClusterError(f"kind {versions.KIND}'s containerd configuration has another form than expected")
    return f'{text.rstrip()}\n\n[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "/opt/cni/bin"\n'


def base_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return containerd's default container specification with kind's hook and without rlimits (the node's hold)."""
    process = {name: value for name, value in spec["process"].items() if name != "rlimits"}
    hooks = dict(spec.get("hooks", {}))
    hooks["createContainer"] = [*hooks.get("createContainer", []), {"path": _HOOK}]
    return {**spec, "process": process, "hooks": hooks}


def key(settings: Settings, archive: Archive) -> str:
    """Return the content key of the node image: everything that goes into it."""
    return content_key(
        rootfs.NODE.path(settings, archive).name,
        clusterimages.key(settings, archive),
        (versions.KIND, versions.KUBERNETES),
        (_ENABLED_UNITS, _HOOK, _IMPORT, _CHANGES),
        (containerd_config(_CONFIG_PROBE, ""), base_spec({"process": {}})),
        storage.manifest(),
    )


def lay_out(overlay: Path, root: Path, kube: Path, pause: str) -> None:
    """Fill the directory that is laid over the Debian root: kind's files, Kubernetes, the units that start."""
    files = modules.directory(versions.KIND_MODULE, f"v{versions.KIND}", "kind") / "images/base/files"
    for source in sorted(path for path in files.rglob("*") if path.is_file()):
        target = overlay / source.relative_to(files)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if target.parent.name == "bin" else 0o644)
    config = overlay / "etc/containerd/config.toml"
    config.write_text(containerd_config(config.read_text(encoding="utf-8"), pause), encoding="utf-8")
    spec = json.loads(output(["chroot", root, "ctr", "oci", "spec"]))
    (overlay / "etc/containerd/cri-base.json").write_text(json.dumps(base_spec(spec)), encoding="utf-8")
    wants = overlay / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in _ENABLED_UNITS:
        (wants / unit).symlink_to(f"/etc/systemd/system/{unit}")
    binaries = overlay / "usr/bin"
    binaries.mkdir(parents=True)
    shutil.copyfile(kube, binaries / "kube")
    (binaries / "kube").chmod(0o755)
    for name in ("kubelet", "kubeadm", "kubectl"):
        (binaries / name).symlink_to("kube")
    (overlay / "kind/manifests").mkdir(parents=True)
    (overlay / "kind/manifests/default-storage.yaml").write_text(storage.manifest(), encoding="utf-8")
    (overlay / "kind/version").write_text(f"v{versions.KUBERNETES}", encoding="utf-8")


def build(settings: Settings, archive: Archive, images: Sequence[str]) -> None:
    """Make the node image unless it is there. ``images`` are the cluster images that it carries."""
    wanted = key(settings, archive)
    if docker.label(settings, NAME, clusterimages.KEY_LABEL) == wanted:
        return
    log = settings.logs / "images.log"
    root = rootfs.NODE.path(settings, archive)
    overlay = settings.runtime / "node-overlay"
    shutil.rmtree(overlay, ignore_errors=True)
    kube = artifact(program("kube"), settings) / "kube"
    lay_out(overlay, root, kube, clusterimages.pause_image(list(images)))
    base = "condorpool-devcluster/node-base:latest"
    docker.import_trees(settings, base, [overlay, root], _CHANGES, log=log)
    shutil.rmtree(overlay)
    _import_images(settings, base, images, wanted, log)


def _import_images(settings: Settings, base: str, images: Sequence[str], wanted: str, log: Path) -> None:
    """Run containerd in a container of the base, stream the images into it, commit the result."""
    client = docker.client(settings)
    name = "condorpool-devcluster-node-build"
    docker.remove_containers(settings, [name])
    docker.query(settings, "run", "--detach", "--privileged", "--name", name, "--entrypoint=sleep", base, "infinity")
    save = shell_words([client, "save", *images])
    load = shell_words([client, "exec", "--interactive", name, "sh", "-c", _IMPORT])
    environment = {**os.environ, **docker.environment(settings)}
    run(["bash", "-o", "pipefail", "-ec", f"{save} | {load}"], log=log, timeout=600, env=environment)
    changes = [*_CHANGES, f"LABEL {clusterimages.KEY_LABEL}={wanted}"]
    words = [word for change in changes for word in ("--change", change)]
    with docker.replacing(settings, NAME):
        docker.query(settings, "commit", *words, name, NAME, timeout=300)
    docker.remove_containers(settings, [name])

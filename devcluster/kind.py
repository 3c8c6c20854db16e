"""The kind cluster: its configuration, creation and removal."""

import json
from typing import Any

from devcluster import shell
from devcluster.cache import write_atomically
from devcluster.process import run
from devcluster.settings import Settings
from devcluster.state import Mode

POD_SUBNET = "10.244.0.0/16"


def configuration(workers: int) -> dict[str, Any]:
    """Return kind's configuration.

    kubelets since 1.35 refuse cgroup v1 unless told; elsewhere the field is idle. What is only good for a cluster
    that outlives its machine is off, it costs CPU: etcd's fsync, leader election among single instances.
    """
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
    }
    alone = {"extraArgs": [{"name": "leader-elect", "value": "false"}]}
    control_plane = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "controllerManager": alone,
        "scheduler": alone,
        "etcd": {"local": {"extraArgs": [{"name": "unsafe-no-fsync", "value": "true"}]}},
    }
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "networking": {"disableDefaultCNI": True, "podSubnet": POD_SUBNET},
        "nodes": [{"role": "control-plane"}, *({"role": "worker"} for _ in range(workers))],
        "kubeadmConfigPatches": [json.dumps(kubelet), json.dumps(control_plane)],
    }


def create_command(settings: Settings, image: str | None) -> list[str]:
    """Return kind's call; without an image kind takes its own default."""
    command = ["kind", "create", "cluster", "--name", settings.prefix, "--retain"]
    command += ["--config", str(settings.runtime / "kind.json"), "--kubeconfig", str(settings.kubeconfig)]
    return [*command, "--image", image] if image else command


def create(settings: Settings, mode: Mode, *, workers: int, image: str | None) -> None:
    """Create the cluster; its nodes are not ready before there is a network."""
    write_atomically(settings.runtime / "kind.json", json.dumps(configuration(workers), indent=1))
    run(
        shell.wrap(create_command(settings, image), settings, mode),
        log=settings.logs / "kind.log",
        timeout=600,
        env=shell.environment(settings, mode),
    )


def delete_command(settings: Settings) -> list[str]:
    return ["kind", "delete", "cluster", "--name", settings.prefix, "--kubeconfig", str(settings.kubeconfig)]

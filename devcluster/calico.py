"""Calico from its own manifests, by kustomize: the same files in both modes, patched where our images differ."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from devcluster import modules, shell, versions
from devcluster.process import output, run
from devcluster.settings import Settings
from devcluster.state import Mode

MANIFESTS = ("calico-vxlan.yaml", "apiserver.yaml")
_SERVICE = "calico-api.calico-apiserver.svc"
_UPSTREAM = "https://raw.githubusercontent.com/projectcalico/calico/v{version}/manifests/{name}"
_BPF_VOLUMES = ("sys-fs", "nodeproc")
_FELIX_HEALTH_PORT = 9099


def upstream_manifests() -> list[str]:
    """Return the addresses of Calico's manifests on a machine that reaches the internet."""
    return [_UPSTREAM.format(version=versions.CALICO, name=name) for name in MANIFESTS]


def kustomization(resources: list[str], certificate: str, key: str, mode: Mode) -> dict[str, Any]:
    """Return the kustomization: a serving certificate for Calico's API server that the aggregator trusts.

    The pod network is taken from kubeadm's configuration by calico-node itself. ``certificate`` and ``key`` are PEM.
    """
    secret = {
        "name": "calico-apiserver-certs",
        "namespace": "calico-apiserver",
        "literals": [f"apiserver.crt={certificate}", f"apiserver.key={key}"],
        "options": {"disableNameSuffixHash": True},
    }
    trust = {"op": "add", "path": "/spec/caBundle", "value": base64.b64encode(certificate.encode()).decode()}
    merges = [node_patch(), controllers_patch(), apiserver_patch(), *([without_bpf()] if mode is Mode.BUILD else [])]
    patches = [
        _patch("APIService", "v3.projectcalico.org", [trust]),
        *(_patch(merge["kind"], merge["metadata"]["name"], merge) for merge in merges),
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "secretGenerator": [secret],
        "patches": patches,
    }


def node_patch() -> dict[str, Any]:
    """Return the merge patch that makes calico-node cheap: an idle cluster should not keep a core busy.

    Its exec probes start a 50 MB program six times a minute on each node; felix answers the same by HTTP, so often
    that a node is ready the second it can be. 250m of CPU requested on each node is an eighth of a small machine.
    """
    container = {
        "name": "calico-node",
        "resources": {"requests": {"cpu": "50m"}},
        "livenessProbe": _felix_probe("/liveness", period=10),
        "readinessProbe": _felix_probe("/readiness", period=2),
    }
    return _merge("DaemonSet", "calico-node", "kube-system", {"containers": [container]})


def without_bpf() -> dict[str, Any]:
    """Return the merge patch that drops the eBPF preparation, which our calico-node is built without."""
    pod = {
        "initContainers": [{"name": "mount-bpffs", "$patch": "delete"}],
        "volumes": [{"name": name, "$patch": "delete"} for name in _BPF_VOLUMES],
    }
    return _merge("DaemonSet", "calico-node", "kube-system", pod)


def controllers_patch() -> dict[str, Any]:
    """Return the merge patch that starts the status check of Calico's controllers less often."""
    probes = {"livenessProbe": {"periodSeconds": 60}, "readinessProbe": {"periodSeconds": 20}}
    container = {"name": "calico-kube-controllers", **probes}
    return _merge("Deployment", "calico-kube-controllers", "kube-system", {"containers": [container]})


def apiserver_patch() -> dict[str, Any]:
    """Return the merge patch that asks Calico's API server every two seconds, not once a minute, and logs no request."""
    container = {"name": "calico-apiserver", "args": ["--secure-port=5443"], "readinessProbe": {"periodSeconds": 2}}
    return _merge("Deployment", "calico-apiserver", "calico-apiserver", {"containers": [container]})


def _felix_probe(path: str, *, period: int) -> dict[str, Any]:
    request = {"host": "localhost", "path": path, "port": _FELIX_HEALTH_PORT}
    return {"exec": None, "httpGet": request, "periodSeconds": period}


def _merge(kind: str, name: str, namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    """Return a strategic merge patch for the pod template of a workload."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": pod}},
    }


def _patch(kind: str, name: str, content: object) -> dict[str, Any]:
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(content)}


def certificate(directory: Path) -> tuple[str, str]:
    """Return a new self-signed certificate for the service of Calico's API server, and its key, as PEM."""
    key_file, certificate_file = directory / "apiserver.key", directory / "apiserver.crt"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-days", "3650", "-subj", f"/CN={_SERVICE}", "-addext", f"subjectAltName=DNS:{_SERVICE}"]
    output([*command, "-keyout", key_file, "-out", certificate_file])
    return certificate_file.read_text(encoding="ascii"), key_file.read_text(encoding="ascii")


def install(settings: Settings, mode: Mode) -> None:
    """Apply Calico and its API server to the cluster."""
    directory = settings.runtime / "calico"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    if mode is Mode.BUILD:
        module = modules.directory(versions.CALICO_MODULE, versions.CALICO_MODULE_VERSION, "calico")
        for name in MANIFESTS:
            shutil.copyfile(module / "manifests" / name, directory / name)
        resources = list(MANIFESTS)
    else:
        resources = upstream_manifests()
    document = kustomization(resources, *certificate(directory), mode)
    (directory / "kustomization.yaml").write_text(json.dumps(document, indent=1), encoding="utf-8")
    run(
        shell.wrap(["kubectl", "apply", "--server-side", "--kustomize", directory], settings, mode),
        log=settings.logs / "calico.log",
        timeout=180,
        env=shell.environment(settings, mode),
    )
    shutil.rmtree(directory)

"""What the pods of all roles have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from .. import labels, naming
from ..api.placement import Placement, Resources
from ..api.v1alpha1 import Storage
from .context import Context

AGENT, SSHD = "agent", "sshd"
"""Names of containers, beside HTCondor's."""
SECRET_MODE = 0o600
FAULTS = "/run/condor/faults"
"""Where pool-init writes what is wrong with its pod (docs/design/image-contract.md, Probes)."""
STARTUP_PROBE = {"tcpSocket": {"port": naming.CONDOR_PORT}, "periodSeconds": 1, "failureThreshold": 120}
"""Only starts the clock of the other probes, which ask the daemons (docs/design/image-contract.md, Probes)."""


def readiness_probe(*checks: str) -> dict[str, Any]:
    """Return a probe by condor_ping, such as "COLLECTOR READ": this daemon answers, and grants this to the pod's credentials.

    It prints the faults that pool-init knows of, and fails by them.
    """
    return _every_quarter_minute(f"! grep -s . {FAULTS}", *map(_ping, checks))


def ping_probe(*checks: str) -> dict[str, Any]:
    """Return the probe without the faults."""
    return _every_quarter_minute(*map(_ping, checks))


def _ping(check: str) -> str:
    return f"timeout 8 condor_ping -quiet -type {check}"


def _every_quarter_minute(*commands: str) -> dict[str, Any]:
    return _exec_probe(" && ".join(commands)) | {"periodSeconds": 15, "timeoutSeconds": 10}


def liveness_probe(daemon: str) -> dict[str, Any]:
    """Return a probe that fails after five minutes of silence of a daemon; the kill does not wait for the pod's own grace."""
    probe = {"periodSeconds": 60, "timeoutSeconds": 20, "failureThreshold": 5, "terminationGracePeriodSeconds": 20}
    return _exec_probe(f"timeout 15 condor_ping -quiet -type {daemon} READ") | probe


def _exec_probe(command: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", command]}}


def container(
    context: Context, role: str, resources: Mapping[str, Any], mounts: Mapping[str, Mapping[str, Any] | str]
) -> dict[str, Any]:
    """Return a container of the role image; mounts map a path to a volume's name, or to a whole mount without its path."""
    return {
        "name": SSHD if role == SSHD else naming.CONDOR_CONTAINER,
        "image": context.image,
        "imagePullPolicy": context.pool.spec.image.pull_policy or context.settings.image_pull_policy,
        "args": [role],
        "resources": dict(resources),
        "volumeMounts": [
            {"mountPath": path, **({"name": mount} if isinstance(mount, str) else mount)}
            for path, mount in mounts.items()
        ],
    }


def resources_or(given: Resources | None, limits: Mapping[str, str], requests: Mapping[str, str]) -> dict[str, Any]:
    """Return the stated resources over the role's own."""
    given = given or Resources()
    return {"limits": {**limits, **(given.limits or {})}, "requests": {**requests, **(given.requests or {})}}


def pod_template(
    context: Context,
    placement: Placement,
    selector: Mapping[str, str],
    containers: Sequence[Mapping[str, Any]],
    volumes: Mapping[str, Mapping[str, Any]],
    grace_seconds: int,
    *,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a pod template: Kubernetes' variables kept out of HTCondor's environment, no API token, short DNS look-ups."""
    metadata: dict[str, Any] = {
        "labels": {
            **(placement.pod_labels or {}),
            **labels.owned(context.pool.name, context.pool.uid),
            **selector,
        }
    }
    all_annotations = {**(placement.pod_annotations or {}), **(annotations or {})}
    if all_annotations:
        metadata["annotations"] = all_annotations
    return {
        "metadata": metadata,
        "spec": {
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": grace_seconds,
            "containers": list(containers),
            "volumes": [{"name": name, **volume} for name, volume in volumes.items()],
            **_pull_secrets(context),
            **_placement(placement),
            **spec,
        },
    }


def _pull_secrets(context: Context) -> dict[str, Any]:
    names = context.pool.spec.image.pull_secrets
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}


def _placement(placement: Placement) -> dict[str, Any]:
    fields = {"node_selector", "tolerations", "affinity", "topology_spread_constraints", "priority_class_name"}
    return {
        key: value
        for key, value in placement.model_dump(by_alias=True, exclude_none=True, include=fields).items()
        if value
    }


def config_map_volume(name: str) -> dict[str, Any]:
    """Return a volume with a whole ConfigMap, which follows its edits."""
    return {"configMap": {"name": name}}


def secret_volume(name: str, keys: Sequence[str] = (), mode: int = SECRET_MODE) -> dict[str, Any]:
    """Return a volume with a Secret, or some of its keys."""
    secret: dict[str, Any] = {"secretName": name, "defaultMode": mode}
    if keys:
        secret["items"] = [{"key": key, "path": key} for key in keys]
    return {"secret": secret}


def service(
    context: Context, name: str, component: str, group: str | None, ports: Sequence[Mapping[str, Any]], **spec: Any
) -> dict[str, Any]:
    """Return a Service; its addresses are published before readiness, as the daemons must meet to become ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": context.metadata(name, component, group),
        "spec": {
            "publishNotReadyAddresses": True,
            "selector": labels.selector(context.pool.name, component, group),
            "ports": list(ports),
            **spec,
        },
    }


def claim(context: Context, name: str, component: str, storage: Storage) -> dict[str, Any]:
    """Return the claim of a role; a retained one belongs to no pool.

    It is an object of its own and not a template of the workload, which could never be changed: so that a claim can grow.
    """
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage.size}}}
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    retained = storage.retention_policy == "Retain"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": context.metadata(name, component, retained=retained),
        "spec": spec,
    }


def claim_volume(name: str) -> dict[str, Any]:
    """Return the volume of a claim."""
    return {"persistentVolumeClaim": {"claimName": name}}


def condor_port() -> dict[str, Any]:
    """Return the one port that all daemons of a pod share."""
    return {"name": "condor", "port": naming.CONDOR_PORT, "targetPort": naming.CONDOR_PORT, "protocol": "TCP"}

"""Executor groups: StatefulSets whose pods end only when their jobs have."""

import hashlib
import json
from typing import Any

from .. import labels, naming
from ..api.model import duration_seconds
from ..api.v1alpha1 import ExecutorGroup
from . import pods
from .config import build_config
from .context import Context
from .knobs import restart_annotation
from .mounts import credential_mounts, credential_volumes, mount_list
from .sizes import Advertised, advertised, executor_resources

GRACE_MARGIN_SECONDS = 60
"""Between the end of the drain clock in the pod and the kubelet's SIGKILL."""

KEEP = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""Node autoscalers do not wait for a drain: they must leave executors alone."""

_PING = "COLLECTOR ADVERTISE_STARTD"
_DRAIN_VARIABLE = "POOL_DRAIN_SECONDS"
_BEACON_VARIABLE = "POOL_BEACON"


def replicas(group: ExecutorGroup) -> int:
    """Return how many executors a group asks for."""
    return 1 if group.replicas is None else group.replicas


def build_group(context: Context, group: ExecutorGroup) -> list[dict[str, Any]]:
    """Return the objects of one executor group: configuration, headless Service, disruption budget, StatefulSet."""
    name = context.names.group(group.name)
    selector = labels.selector(context.pool.name, naming.EXECUTOR, group.name)
    return [
        build_config(context, group.name, naming.EXECUTOR),
        pods.service(context, name, naming.EXECUTOR, group.name, [pods.condor_port()], clusterIP="None"),
        _disruption_budget(context, group, name, selector),
        _stateful_set(context, group, name, selector),
    ]


def build_beacon(context: Context) -> dict[str, Any]:
    """Return the Service whose name draining executors look for: while it resolves, their pool exists.

    An ExternalName has no address and no endpoints that could be missing; where it points to exists in every cluster.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": context.metadata(context.names.beacon(context.pool.uid), naming.EXECUTOR),
        "spec": {
            "type": "ExternalName",
            "externalName": f"kubernetes.default.svc.{context.settings.cluster_domain}",
        },
    }


def _disruption_budget(context: Context, group: ExecutorGroup, name: str, selector: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": context.metadata(name, naming.EXECUTOR, group.name),
        "spec": {
            "maxUnavailable": group.max_unavailable,
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
            "selector": {"matchLabels": selector},
        },
    }


def _environment(context: Context, group: ExecutorGroup, size: Advertised) -> list[dict[str, str]]:
    values = {
        "POOL_COLLECTOR": context.names.collector,
        "POOL_CPUS": size.cpus,
        "POOL_MEMORY": size.memory,
        "POOL_DISK": size.disk,
        _DRAIN_VARIABLE: duration_seconds(group.drain_timeout),
        _BEACON_VARIABLE: context.names.beacon_host(context.pool.uid),
        **({"POOL_MOUNTS": mount_list(group.mounts), "POOL_NEEDS_MOUNTS": True} if group.mounts else {}),
    }
    return [{"name": name, "value": str(value)} for name, value in values.items()]


def _stateful_set(context: Context, group: ExecutorGroup, name: str, selector: dict[str, str]) -> dict[str, Any]:
    resources = executor_resources(group)
    condor = pods.container(
        context,
        naming.EXECUTOR,
        resources,
        {
            "/etc/condor/config.d": "config",
            "/etc/condor/tokens.d": {"name": "token", "readOnly": True},
            "/var/lib/condor/execute": "execute",
            **credential_mounts(group.mounts),
        },
    ) | {
        "env": _environment(context, group, advertised(resources["limits"], len(group.mounts))),
        "ports": [{"name": "condor", "containerPort": naming.CONDOR_PORT, "protocol": "TCP"}],
        "securityContext": {"privileged": group.privileged},
        "startupProbe": pods.STARTUP_PROBE,
        "readinessProbe": pods.readiness_probe(_PING),
    }
    template = pods.pod_template(
        context,
        group,
        selector,
        [condor],
        {
            "config": pods.config_map_volume(context.names.config(group.name)),
            "token": pods.secret_volume(context.names.token(naming.EXECUTOR)),
            "execute": {"emptyDir": {}},
            **credential_volumes(group.mounts),
        },
        duration_seconds(group.drain_timeout) + GRACE_MARGIN_SECONDS,
        annotations=KEEP | restart_annotation(naming.EXECUTOR, context.user_config[group.name]),
    )
    template["spec"].setdefault("topologySpreadConstraints", _spread(selector))
    template["metadata"]["annotations"][labels.TEMPLATE_HASH] = template_hash(template)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": context.metadata(name, naming.EXECUTOR, group.name),
        "spec": {
            "replicas": context.replicas.get(group.name, replicas(group)),
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }


def _spread(selector: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }
    ]


def template_hash(template: dict[str, Any]) -> str:
    """Return a hash of all in a pod template that only a new pod can take on.

    The drain time and the beacon are left out: they are read when a pod ends, and a pod keeps those that it was made with. So does it keep
    its probe, which counts here as it was before it told of faults: an upgrade of the operator is no reason for a new executor.
    """
    content = json.loads(json.dumps(template))
    content["spec"].pop("terminationGracePeriodSeconds")
    for container in content["spec"]["containers"]:
        container["readinessProbe"] = pods.ping_probe(_PING)
        last = (_DRAIN_VARIABLE, _BEACON_VARIABLE)
        container["env"] = [variable for variable in container["env"] if variable["name"] not in last]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

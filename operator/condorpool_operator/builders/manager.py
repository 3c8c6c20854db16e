"""The central manager: collector and negotiator, one pod behind a fixed address."""

from typing import Any

from .. import labels, naming
from . import pods
from .config import build_config
from .context import Context
from .knobs import restart_annotation

LIMITS = {"memory": "1Gi"}
REQUESTS = {"cpu": "50m", "memory": "128Mi"}
GRACE_SECONDS = 30


def build_manager(context: Context) -> list[dict[str, Any]]:
    """Return the manager's configuration, Service and Deployment.

    The Service keeps the address that all daemons resolve; the fixed host name keeps the names in the ads; Recreate, as two collectors
    would split the pool.
    """
    names, spec = context.names, context.pool.spec.manager
    condor = pods.container(
        context,
        naming.MANAGER,
        pods.resources_or(spec.resources, LIMITS, REQUESTS),
        {"/etc/condor/config.d": "config", "/etc/condor/passwords.d": {"name": "keys", "readOnly": True}},
    ) | {
        "ports": [{"name": "condor", "containerPort": naming.CONDOR_PORT, "protocol": "TCP"}],
        "startupProbe": pods.STARTUP_PROBE,
        "readinessProbe": pods.readiness_probe("COLLECTOR READ", "NEGOTIATOR READ"),
        "livenessProbe": pods.liveness_probe("COLLECTOR"),
    }
    selector = labels.selector(context.pool.name, naming.MANAGER)
    template = pods.pod_template(
        context,
        spec,
        selector,
        [condor],
        {
            "config": pods.config_map_volume(names.config(naming.MANAGER)),
            "keys": pods.secret_volume(names.signing_keys),
        },
        GRACE_SECONDS,
        annotations=restart_annotation(naming.MANAGER, context.user_config[naming.MANAGER]),
        hostname=names.manager,
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": context.metadata(names.manager, naming.MANAGER),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }
    return [
        build_config(context, naming.MANAGER, naming.MANAGER),
        pods.service(context, names.manager, naming.MANAGER, None, [pods.condor_port()]),
        deployment,
    ]

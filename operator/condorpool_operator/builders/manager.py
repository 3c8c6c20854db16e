"""The central manager: collector and negotiator, one pod behind a fixed address, and the agent that tells the pool's state beside them."""

from typing import Any

from .. import labels, naming
from . import pods
from .config import build_config
from .context import Context
from .credentials import TOKEN_FILE
from .knobs import restart_annotation

LIMITS = {"memory": "1Gi"}
REQUESTS = {"cpu": "50m", "memory": "128Mi"}
AGENT_LIMITS = {"memory": "128Mi"}
AGENT_REQUESTS = {"cpu": "10m", "memory": "48Mi"}
GRACE_SECONDS = 30

AGENT_UID = 64000
"""No account of the image, and above those of users and slots."""
AGENT_FILE_MODE = 0o444
"""Only the agent's container mounts these files, and only root could own them."""
IDENTITY_FILE = "idtoken"
_EXCHANGE = "/run/condorpool"
_SPOOL = "/var/lib/condor/spool"
_STATE = "state"


def build_manager(context: Context) -> list[dict[str, Any]]:
    """Return the manager's configuration, Service, Deployment, and its claim where asked for.

    The Service keeps the address that all daemons resolve; the fixed host name keeps the names in the ads; Recreate, as two collectors
    would split the pool. The Service publishes addresses before readiness, so an agent that fails cuts nobody off.
    """
    names, spec = context.names, context.pool.spec.manager
    storage = spec.storage
    condor = pods.container(
        context,
        naming.MANAGER,
        pods.resources_or(spec.resources, LIMITS, REQUESTS),
        {
            "/etc/condor/config.d": "config",
            "/etc/condor/passwords.d": {"name": "keys", "readOnly": True},
            _EXCHANGE: "run",
            **({} if storage is None else {_SPOOL: {"name": _STATE, "subPath": "spool"}}),
        },
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
        [condor, _agent(context)],
        {
            "config": pods.config_map_volume(names.config(naming.MANAGER)),
            "keys": pods.secret_volume(names.signing_keys),
            "agent": _agent_volume(context),
            "identity": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            "run": {"emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            **({} if storage is None else {_STATE: pods.claim_volume(names.manager)}),
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
        pods.service(context, names.manager, naming.MANAGER, None, [pods.condor_port(), _agent_port()]),
        *([] if storage is None else [pods.claim(context, names.manager, naming.MANAGER, storage)]),
        deployment,
    ]


def _agent_port() -> dict[str, Any]:
    return {"name": "agent", "port": naming.AGENT_PORT, "targetPort": naming.AGENT_PORT, "protocol": "TCP"}


def _agent(context: Context) -> dict[str, Any]:
    """Return the agent's container: without root, rights or anything to write to but its own identity; its end restarts nothing else."""
    mounts: dict[str, dict[str, Any] | str] = {
        "/etc/condorpool/agent": {"name": "agent", "readOnly": True},
        "/run/condorpool-agent": "identity",
        _EXCHANGE: "run",
    }
    agent = pods.container(
        context, naming.MANAGER, {"limits": dict(AGENT_LIMITS), "requests": dict(AGENT_REQUESTS)}, mounts
    )
    del agent["args"]
    alive = {"httpGet": {"path": "/healthz", "port": naming.AGENT_PORT, "scheme": "HTTPS"}, "timeoutSeconds": 10}
    return agent | {
        "name": pods.AGENT,
        "command": ["/usr/sbin/pool-agent"],
        "ports": [{"name": "agent", "containerPort": naming.AGENT_PORT, "protocol": "TCP"}],
        "securityContext": {
            "runAsUser": AGENT_UID,
            "runAsGroup": AGENT_UID,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": {
            "tcpSocket": {"port": naming.AGENT_PORT},
            "periodSeconds": 1,
            "failureThreshold": 120,
        },
        "readinessProbe": alive | {"periodSeconds": 30},
        "livenessProbe": alive | {"periodSeconds": 60, "failureThreshold": 5},
    }


def _agent_volume(context: Context) -> dict[str, Any]:
    """Return the agent's files in one directory: certificate and tokens of its interface, and its own token for the collector."""
    token = {"key": TOKEN_FILE, "path": IDENTITY_FILE}
    sources = [
        {"secret": {"name": context.names.agent}},
        {"secret": {"name": context.names.token(naming.MONITOR), "items": [token]}},
    ]
    return {"projected": {"sources": sources, "defaultMode": AGENT_FILE_MODE}}

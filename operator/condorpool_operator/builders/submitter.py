"""The submitter: schedd on a claim that outlives its pod, and sshd beside it where asked for."""

import json
from typing import Any

from .. import ends, labels, naming
from ..api.v1alpha1 import Ssh
from . import pods
from .config import build_config, build_sshd_config
from .context import Context
from .credentials import build_users
from .knobs import restart_annotation

LIMITS = {"memory": "2Gi"}
REQUESTS = {"cpu": "50m", "memory": "128Mi"}
SSHD_LIMITS = {"memory": "1Gi"}
SSHD_REQUESTS = {"cpu": "10m", "memory": "32Mi"}
GRACE_SECONDS = 60

_STATE = "state"


def build_submitter(context: Context) -> list[dict[str, Any]]:
    """Return the submitter's objects: user database, configuration, claim, Services and StatefulSet."""
    names, spec = context.names, context.pool.spec.submitter
    objects = [
        build_users(context),
        _config(context),
        _claim(context),
        pods.service(context, names.submitter, naming.SUBMITTER, None, [pods.condor_port()], clusterIP="None"),
        _stateful_set(context),
    ]
    if spec.ssh is not None:
        objects += [build_sshd_config(context, spec.ssh), _ssh_service(context, spec.ssh)]
    return objects


def _config(context: Context) -> dict[str, Any]:
    config = build_config(context, naming.SUBMITTER, naming.SUBMITTER)
    if context.ends:
        config["data"][ends.FILE] = context.ends
    return config


def _claim(context: Context) -> dict[str, Any]:
    storage = context.pool.spec.submitter.storage
    claim = pods.claim(context, context.names.submitter, naming.SUBMITTER, storage)
    if storage.retention_policy == "Retain":
        uids = {account.name: account.uid for account in context.accounts}
        claim["metadata"]["annotations"] = {labels.UIDS: json.dumps(uids, sort_keys=True)}
    return claim


def _ssh_service(context: Context, ssh: Ssh) -> dict[str, Any]:
    port: dict[str, Any] = {"name": "ssh", "port": naming.SSH_PORT, "targetPort": naming.SSH_PORT, "protocol": "TCP"}
    if ssh.service.node_port is not None:
        port["nodePort"] = ssh.service.node_port
    policy = ssh.service.traffic_policy
    ranges = ssh.service.source_ranges
    service = pods.service(
        context,
        context.names.ssh,
        naming.SUBMITTER,
        None,
        [port],
        type=ssh.service.type,
        **({"externalTrafficPolicy": policy} if policy else {}),
        **({"loadBalancerSourceRanges": list(ranges)} if ranges and ssh.service.type == "LoadBalancer" else {}),
    )
    if ssh.service.annotations:
        service["metadata"]["annotations"] = dict(ssh.service.annotations)
    return service


def _schedd(context: Context) -> dict[str, Any]:
    condor = pods.container(
        context,
        naming.SUBMITTER,
        pods.resources_or(context.pool.spec.submitter.resources, LIMITS, REQUESTS),
        {
            "/etc/condor/config.d": "config",
            "/etc/condor/tokens.d": {"name": "token", "readOnly": True},
            "/etc/condorpool/users": {"name": "accounts", "readOnly": True},
            "/var/lib/condor/spool": {"name": _STATE, "subPath": "spool"},
            "/home": {"name": _STATE, "subPath": "home"},
            "/run/condorpool": "run",
        },
    )
    return condor | {
        "env": [{"name": "POOL_COLLECTOR", "value": context.names.collector}],
        "ports": [{"name": "condor", "containerPort": naming.CONDOR_PORT, "protocol": "TCP"}],
        "startupProbe": pods.STARTUP_PROBE,
        "readinessProbe": pods.readiness_probe("COLLECTOR ADVERTISE_SCHEDD"),
        "livenessProbe": pods.liveness_probe("SCHEDD"),
    }


def _sshd(context: Context, ssh: Ssh) -> dict[str, Any]:
    sshd = pods.container(
        context,
        "sshd",
        pods.resources_or(ssh.resources, SSHD_LIMITS, SSHD_REQUESTS),
        {
            "/etc/condor/config.d": "config",
            "/etc/condorpool/users": {"name": "users", "readOnly": True},
            "/etc/condorpool/ssh": {"name": "host-keys", "readOnly": True},
            "/etc/condorpool/sshd": {"name": "sshd-config", "readOnly": True},
            "/home": {"name": _STATE, "subPath": "home"},
            "/run/condorpool": "run",
        },
    )
    tcp = {"tcpSocket": {"port": naming.SSH_PORT}}
    return sshd | {
        "ports": [{"name": "ssh", "containerPort": naming.SSH_PORT, "protocol": "TCP"}],
        "startupProbe": tcp | {"periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": tcp | {"periodSeconds": 30},
    }


def _stateful_set(context: Context) -> dict[str, Any]:
    names, spec = context.names, context.pool.spec.submitter
    selector = labels.selector(context.pool.name, naming.SUBMITTER)
    containers = [_schedd(context)]
    volumes: dict[str, Any] = {
        "config": pods.config_map_volume(names.config(naming.SUBMITTER)),
        "token": pods.secret_volume(names.token(naming.SUBMITTER)),
        "accounts": pods.secret_volume(names.users, ("passwd", "group")),
        "run": {"emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        _STATE: pods.claim_volume(names.submitter),
    }
    if spec.ssh is not None:
        containers.append(_sshd(context, spec.ssh))
        volumes |= {
            "users": pods.secret_volume(names.users),
            "host-keys": pods.secret_volume(names.host_keys),
            "sshd-config": pods.config_map_volume(names.ssh),
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": context.metadata(names.submitter, naming.SUBMITTER),
        "spec": {
            "replicas": 1,
            "serviceName": names.submitter,
            "selector": {"matchLabels": selector},
            "template": pods.pod_template(
                context,
                spec,
                selector,
                containers,
                volumes,
                GRACE_SECONDS,
                annotations=restart_annotation(naming.SUBMITTER, context.user_config[naming.SUBMITTER]),
            ),
        },
    }

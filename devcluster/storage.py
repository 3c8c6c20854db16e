"""The default storage class of a built cluster: local-path-provisioner, installed by kind from the node image."""

import json
from typing import Any

from devcluster.clusterimages import LOCAL_PATH_HELPER, LOCAL_PATH_PROVISIONER

NAMESPACE = "local-path-storage"
_ACCOUNT = "local-path-provisioner-service-account"
"""The name is compiled into the provisioner: its helper pods ask for it."""

_PATHS = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/var/local-path-provisioner"]}]}
_SETUP = '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n'
_TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'

Manifest = dict[str, Any]


def manifest() -> str:
    """Return all objects as one List; JSON is YAML."""
    items = [_namespace(), _account(), *_permissions(), _configuration(), _deployment(), _storage_class()]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1) + "\n"


def _namespace() -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _account() -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _ACCOUNT, "namespace": NAMESPACE}}


def _rule(group: str, resources: str, verbs: str) -> Manifest:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


def _permissions() -> list[Manifest]:
    api, name = "rbac.authorization.k8s.io/v1", "local-path-provisioner"
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": NAMESPACE}
    local = {"name": name, "namespace": NAMESPACE}
    cluster_rules = [
        _rule("", "nodes persistentvolumeclaims configmaps pods pods/log", "get list watch"),
        _rule("", "persistentvolumes", "get list watch create patch update delete"),
        _rule("", "events", "create patch"),
        _rule("storage.k8s.io", "storageclasses", "get list watch"),
    ]
    pods = [_rule("", "pods", "get list watch create patch update delete")]
    return [
        {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": cluster_rules},
        {
            "apiVersion": api,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        },
        {"apiVersion": api, "kind": "Role", "metadata": local, "rules": pods},
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": local,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]


def _configuration() -> Manifest:
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "helper-pod", "image": LOCAL_PATH_HELPER, "imagePullPolicy": "IfNotPresent"}],
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-path-config", "namespace": NAMESPACE},
        "data": {
            "config.json": json.dumps(_PATHS),
            "setup": _SETUP,
            "teardown": _TEARDOWN,
            "helperPod.yaml": json.dumps(helper),
        },
    }


def _deployment() -> Manifest:
    labels = {"app": "local-path-provisioner"}
    container = {
        "name": "local-path-provisioner",
        "image": LOCAL_PATH_PROVISIONER,
        "imagePullPolicy": "IfNotPresent",
        "command": ["local-path-provisioner", "--debug", "start"],
        "args": ["--helper-image", LOCAL_PATH_HELPER, "--config", "/etc/config/config.json"],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
        ],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config/"}],
    }
    control_plane = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}
    pod = {
        "serviceAccountName": _ACCOUNT,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [control_plane],
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "local-path-config"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "local-path-provisioner", "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _storage_class() -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }

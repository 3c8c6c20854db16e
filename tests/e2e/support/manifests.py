"""The objects that the tests apply, as plain dicts."""

from collections.abc import Mapping
from typing import Any

MARK = {"test-suite": "condorpool-e2e"}
"""Label of every namespace that the suite makes."""

SMALL = {
    "limits": {"cpu": "3", "memory": "1Gi", "ephemeral-storage": "4Gi"},
    "requests": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "256Mi"},
}
"""An executor for three jobs at a time that asks little of a small cluster."""


def namespace(name: str) -> dict[str, Any]:
    """Return a namespace of the suite's."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": MARK}}


def condor_pool(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CondorPool."""
    return {
        "apiVersion": "condorpool.dev/v1alpha1",
        "kind": "CondorPool",
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def config_map(name: str, **files: str) -> dict[str, Any]:
    """Return a ConfigMap with files of configuration; `knobs` is called knobs.conf."""
    data = {f"{key}.conf": text for key, text in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **texts: str) -> dict[str, Any]:
    """Return a Secret with texts."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts}


def group(name: str, replicas: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a small executor group."""
    return {"name": name, "replicas": replicas, "resources": SMALL, **fields}


def user(name: str, *, keys: str | None = None, password: str | None = None) -> dict[str, Any]:
    """Return a user of the submitter, by the names of his Secrets."""
    entry: dict[str, Any] = {"name": name}
    if keys is not None:
        entry["authorizedKeysSecretRef"] = {"name": keys}
    if password is not None:
        entry["passwordSecretRef"] = {"name": password}
    return entry


def refs(*names: str) -> dict[str, Any]:
    """Return a piece of configuration from ConfigMaps."""
    return {"configMapRefs": [{"name": name} for name in names]}

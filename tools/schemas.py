"""JSON schemas of the kinds that we ship, for kubeconform: from files that are on the machine anyway, so that no network is needed.

Kubernetes' own kinds come from the OpenAPI document in the Go module that the dev cluster's kubectl is built from, CondorPool from its
CRD. As the API server does under strict field validation, they refuse what they do not know.
"""

import json
from collections.abc import Iterator
from typing import Any

from devcluster import modules
from devcluster.versions import KUBERNETES

Schema = dict[str, Any]

_PREFIX = "#/definitions/"
_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SCALARS: dict[str, Schema] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["integer", "string"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["number", "string"]},
}
"""Types that the document calls strings, whatever the API server takes for them."""


def kubernetes_definitions() -> dict[str, Schema]:
    """Return the definitions of all types of Kubernetes by name."""
    module = modules.directory("k8s.io/kubernetes", f"v{KUBERNETES}", "kubernetes")
    document = json.loads((module / "api" / "openapi-spec" / "swagger.json").read_text())
    return {**document["definitions"], **_SCALARS}


def native_schema(definitions: dict[str, Schema], api_version: str, kind: str) -> Schema:
    """Return the schema of one of Kubernetes' own kinds; LookupError where there is none."""
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    for name, definition in definitions.items():
        if wanted in definition.get("x-kubernetes-group-version-kind", ()):
            return _closed({"$ref": f"{_PREFIX}{name}"}, definitions)
    raise LookupError(f"Kubernetes {KUBERNETES} has no {kind} in {api_version}")


def custom_schema(definitions: dict[str, Schema], crd: dict[str, Any]) -> Schema:
    """Return the schema of the kind that a CRD defines; its CEL rules are the API server's."""
    root: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    general = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _PREFIX + _METADATA}}
    return _closed({**root, "properties": {**root["properties"], **general}}, definitions)


def _closed(root: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a strict schema together with every definition that it leads to."""
    found: dict[str, Schema] = {}
    waiting = list(_references(root))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = strict(definitions[name])
            waiting += _references(definitions[name])
    return {**strict(root), "definitions": found}


def _references(node: Any) -> Iterator[str]:
    """Return the names of the definitions that a schema refers to."""
    if isinstance(node, dict):
        if isinstance(name := node.get("$ref"), str):
            yield name.removeprefix(_PREFIX)
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def strict(node: Any) -> Any:
    """Return a schema that refuses fields that it does not name and takes whole numbers for texts where Kubernetes does."""
    if isinstance(node, list):
        return [strict(child) for child in node]
    if not isinstance(node, dict):
        return node
    result = {key: strict(child) for key, child in node.items()}
    if node.get("x-kubernetes-int-or-string") is True:
        result["type"] = ["integer", "string"]
    named = isinstance(node.get("properties"), dict) and "additionalProperties" not in node
    if named and node.get("x-kubernetes-preserve-unknown-fields") is not True:
        result["additionalProperties"] = False
    return result

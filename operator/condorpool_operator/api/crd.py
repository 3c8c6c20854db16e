"""The CustomResourceDefinition, made from the models.

pydantic's JSON schema is not structural: references are resolved, titles dropped, ``anyOf null`` removed, ``additionalProperties``
dropped beside ``properties`` (the API server prunes or refuses unknown fields by itself), patterns of map keys dropped, and of the
defaults only scalars kept.
"""

from typing import Any

from .status import CondorPoolStatus
from .v1alpha1 import GROUP, KIND, PLURAL, POOL_NAME_MAX, VERSION, CondorPoolSpec

_DROPPED = ("title", "$defs", "const")
_COLUMNS = (
    ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
    ("Executors", "string", ".status.executorsReady", 0),
    ("Slots", "integer", ".status.slots.total", 0),
    ("Running", "integer", ".status.jobs.running", 0),
    ("Idle", "integer", ".status.jobs.idle", 0),
    ("SSH", "string", ".status.submitter.ssh.endpoint", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", 1),
    ("Image", "string", ".status.image", 1),
)


def _size(pool: str, role: str, default: str) -> str:
    storage = f"{pool}.spec.{role}.storage"
    return (
        f"quantity(has({pool}.spec.{role}) && has({storage}) && has({storage}.size) "
        f"? string({storage}.size) : '{default}')"
    )


def _never_shrinks(role: str, default: str, unless: str = "") -> dict[str, str]:
    """Return the rule for a claim; it is compared with the claim and not with the old spec, so that a refused growth can be taken back."""
    size, former = (_size(pool, role, default) for pool in ("self", "oldSelf"))
    claimed = f"self.status.{role}.storage"
    return {
        "rule": f"{unless}!has(self.status) || !has(self.status.{role}) || !has({claimed}) || "
        f"{size}.compareTo({former}) == 0 || {size}.compareTo(quantity({claimed}.size)) >= 0",
        "message": f"spec.{role}.storage.size may grow, never shrink below what the claim has (status.{role}.storage.size)",
    }


_SHRINKS = (
    _never_shrinks("submitter", "10Gi"),
    _never_shrinks("manager", "1Gi", "!has(self.spec.manager) || !has(self.spec.manager.storage) || "),
)


def structural(node: Any, definitions: dict[str, Any]) -> Any:
    """Return a JSON schema node of pydantic's as a structural schema node."""
    if isinstance(node, list):
        return [structural(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        return structural({**target, **node}, definitions)
    if not node.get("x-kubernetes-int-or-string"):
        node = _without_null(node)
        if "$ref" in node:
            return structural(node, definitions)
    if "properties" in node:
        node.pop("additionalProperties", None)
        node["properties"] = {name: structural(value, definitions) for name, value in node["properties"].items()}
    if node.get("x-kubernetes-preserve-unknown-fields"):
        node.pop("additionalProperties", None)
    if "patternProperties" in node:
        (node["additionalProperties"],) = node.pop("patternProperties").values()
    if not isinstance(node.get("default"), str | int):
        node.pop("default", None)
    return {
        key: value if key in ("properties", "default") else structural(value, definitions)
        for key, value in node.items()
        if key not in _DROPPED and key != "propertyNames"
    }


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    variants = node.pop("anyOf", None)
    if variants is None:
        return node
    (only,) = [variant for variant in variants if variant != {"type": "null"}]
    return {**only, **node}


def model_schema(model: type[CondorPoolSpec] | type[CondorPoolStatus]) -> dict[str, Any]:
    """Return the structural schema of a model."""
    raw = model.model_json_schema(by_alias=True)
    result: dict[str, Any] = structural(raw, raw.get("$defs", {}))
    return result


def custom_resource_definition() -> dict[str, Any]:
    """Return the CondorPool CRD as a plain dict."""
    spec = model_schema(CondorPoolSpec)
    status = {**model_schema(CondorPoolStatus), "default": {"observedGeneration": -1}}
    root = {
        "type": "object",
        "description": "A whole HTCondor pool: central manager, access point, executors.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [
            {
                "rule": f"size(self.metadata.name) <= {POOL_NAME_MAX}",
                "message": f"the name of a pool must have at most {POOL_NAME_MAX} characters, "
                "as pods and Services are called after it",
            },
            {
                "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "message": "the name of a pool must be lower-case letters, digits and -, with a letter first",
            },
            *_SHRINKS,
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["cpool"],
                "categories": ["condor"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
                        for name, kind, path, priority in _COLUMNS
                    ],
                }
            ],
        },
    }

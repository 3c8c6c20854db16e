"""The check of what users apply: its schemas refuse what the API server refuses, and it looks at every value of the chart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from condorpool_operator.api.crd import custom_resource_definition
from tools.conform import KUSTOMIZATIONS, VALUES
from tools.schemas import custom_schema, native_schema

ROOT = Path(__file__).resolve().parents[3]
WIDGET = {
    "type": "object",
    "properties": {
        "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "parts": {"type": "array", "items": {"$ref": "#/definitions/Part"}},
    },
    "x-kubernetes-group-version-kind": [{"group": "lab.example", "version": "v1", "kind": "Widget"}],
}
DEFINITIONS: dict[str, Any] = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {"name": {"type": "string"}}},
    "Part": {"type": "object", "properties": {"size": {"type": "integer"}, "part": {"$ref": "#/definitions/Part"}}},
    "Unused": {"type": "string"},
    "Widget": WIDGET,
}
NAMED = {"apiVersion": "condorpool.dev/v1alpha1", "kind": "CondorPool", "metadata": {"name": "demo"}}


def valid(schema: dict[str, Any], obj: dict[str, Any]) -> bool:
    Draft7Validator.check_schema(schema)
    return bool(Draft7Validator(schema).is_valid(obj))


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"metadata": {"name": "x"}, "labels": {"any": "text"}, "parts": [{"part": {"size": 1}}]}, True),
        ({"colour": "red"}, False),
        ({"metadata": {"nam": "x"}}, False),
        ({"labels": {"any": 1}}, False),
        ({"parts": [{"part": {"size": "1"}}]}, False),
        ({"parts": [{"part": {"siz": 1}}]}, False),
    ],
)
def test_native_kinds_are_checked_all_the_way_down(obj: dict[str, Any], *, expected: bool) -> None:
    schema = native_schema(DEFINITIONS, "lab.example/v1", "Widget")
    assert schema["definitions"].keys() == DEFINITIONS.keys() - {"Unused"}
    assert valid(schema, obj) is expected


def test_a_kind_that_is_not_there_is_said() -> None:
    with pytest.raises(LookupError, match=r"no Gadget in lab\.example/v1"):
        native_schema(DEFINITIONS, "lab.example/v1", "Gadget")


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({**NAMED, "spec": {}}, True),
        ({**NAMED, "spec": {"executors": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}}, True),
        ({**NAMED, "spec": {"manager": {"affinity": {"nodeAffinity": {}}}}}, True),
        (NAMED, False),
        ({**NAMED, "spec": {}, "metadata": {"nam": "demo"}}, False),
        ({**NAMED, "spec": {"executors": [{"name": "a", "replica": 1}]}}, False),
        ({**NAMED, "spec": {"executors": [{"name": "a", "replicas": "1"}]}}, False),
        ({**NAMED, "spec": {"executors": [{"name": "A"}]}}, False),
    ],
)
def test_pools_are_checked_by_the_crd(obj: dict[str, Any], *, expected: bool) -> None:
    assert valid(custom_schema(DEFINITIONS, custom_resource_definition()), obj) is expected


def leaves(values: dict[str, Any], defaults: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Return the path of every value that is no switch, and whether it differs from its default."""
    for name, default in defaults.items():
        if isinstance(default, dict) and default and name != "resources":
            yield from leaves(values.get(name, {}), default, f"{path}{name}.")
        elif not isinstance(default, bool):
            yield f"{path}{name}", values.get(name, default) != default


def test_one_form_of_the_chart_changes_every_value() -> None:
    defaults = yaml.safe_load((ROOT / "charts" / "condorpool-operator" / "values.yaml").read_text())
    assert [path for path, changed in leaves(VALUES["every-value"], defaults) if not changed] == []


def test_every_kustomization_is_looked_at() -> None:
    found = {path.parent.relative_to(ROOT) for path in ROOT.glob("manifests/**/kustomization.yaml")}
    assert found - {Path(directory) for directory in KUSTOMIZATIONS} == {Path("manifests/base")}, (
        "it has no rights: never applied"
    )

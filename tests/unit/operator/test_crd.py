"""The generated CRD: in step with the models, structural, bounded, described."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from condorpool_operator.api.crd import custom_resource_definition
from tools.generate import generated_files

CRD = custom_resource_definition()
ROOT_SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from walk(node[key], f"{path}[]")


NODES = list(walk(ROOT_SCHEMA["properties"]["spec"], "spec"))


@pytest.mark.parametrize("path", generated_files(), ids=lambda path: path.name)
def test_generated_files_are_current(path: Path) -> None:
    assert path.read_text() == generated_files()[path], "run `make generate` and commit"


def test_schema_is_structural() -> None:
    for path, node in NODES:
        assert not {"$ref", "title", "const", "patternProperties", "propertyNames"} & node.keys(), path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert "null" not in json.dumps(node.get("anyOf", [])), path


def test_every_list_map_and_text_is_bounded() -> None:
    for path, node in NODES:
        if node.get("x-kubernetes-preserve-unknown-fields"):
            continue
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if node.get("type") == "object" and "additionalProperties" in node:
            assert "maxProperties" in node, path
        if node.get("type") == "string" and "enum" not in node:
            assert "maxLength" in node, path


def test_every_field_is_described() -> None:
    for path, node in NODES:
        for name, child in node.get("properties", {}).items():
            assert len(child.get("description", "")) > 10, f"{path}.{name}"


def test_only_scalars_have_defaults() -> None:
    for path, node in NODES:
        assert isinstance(node.get("default", ""), str | int), path


def test_size_stays_far_below_what_etcd_takes() -> None:
    assert len(json.dumps(CRD)) < 200 * 1024


def test_delete_all_spares_pools() -> None:
    assert "all" not in CRD["spec"]["names"]["categories"]

"""Writes what is generated: CRD and reference from the models, the chart's README from its schema, kustomize's files from the chart.

`make generate` writes; `--check` only says what is stale, for `make lint`. Unit tests compare too.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from condorpool_operator.api.crd import custom_resource_definition
from tools.kustomize import kustomize_files

ROOT = Path(__file__).resolve().parent.parent
CRD_NAME = "condorpools.condorpool.dev.yaml"
CHART = ROOT / "charts" / "condorpool-operator"
NOTICE = "# Generated from operator/condorpool_operator/api by `make generate`: change the models, not this file.\n"


class _Dumper(yaml.SafeDumper):
    """Writes repeated values out in full, as the API server's tools know no YAML aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def generated_files() -> dict[Path, str]:
    """Return every file that is generated from the models and from the chart's schema, with its content."""
    definition = custom_resource_definition()
    crd = NOTICE + yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=120)
    return {
        ROOT / "crds" / CRD_NAME: crd,
        CHART / "files" / CRD_NAME: crd,
        ROOT / "docs" / "reference.md": reference(definition),
        CHART / "README.md": chart_readme(),
    }


def reference(definition: dict[str, Any]) -> str:
    """Return the reference of the CondorPool object: a table of the spec, its rules, a table of the status."""
    root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    lines = [
        "# CondorPool reference",
        "",
        "Generated from the models by `make generate`; `kubectl explain condorpool.spec --recursive` shows the same on a cluster.",
        "`[]` is an item of a list. The status has the conditions that [troubleshooting](troubleshooting.md) explains.",
    ]
    for part in ("spec", "status"):
        lines += ["", f"## {part}", "", "| field | type | meaning | limits and default |", "|---|---|---|---|"]
        lines += [_row(path, node) for path, node in _walk(root["properties"][part], part)]
        rules = [
            (where, rule["message"])
            for path, node in ((part, root["properties"][part]), *_walk(root["properties"][part], part))
            for where, checked in ((path, node), (f"{path}[]", node.get("items", {})))
            for rule in checked.get("x-kubernetes-validations", ())
        ]
        if rules:
            lines += ["", "Rules that the API server enforces beyond types and limits:", ""]
            lines += [f"- `{path}`: {message}" for path, message in rules]
    lines += ["", "## metadata", ""]
    lines += [f"- {rule['message']}" for rule in root["x-kubernetes-validations"]]
    return "\n".join(lines) + "\n"


def _walk(node: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (path, schema) of every field below an object or a list, depth first."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, child in node.get("properties", {}).items():
        below = f"{path}.{name}"
        found += [(below, child), *_walk(child, below)]
    if isinstance(node.get("items"), dict):
        found += _walk(node["items"], f"{path}[]")
    return found


def _row(path: str, node: dict[str, Any]) -> str:
    cells = (f"`{path}`", _type(node), node.get("description", ""), _limits(node))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _type(node: dict[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}s"
    if isinstance(node.get("additionalProperties"), dict):
        return f"map of {_type(node['additionalProperties'])}s"
    return str(node.get("type", "any"))


_LIMITS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} entries"),
    ("pattern", "matches `{}`"),
)


def _limits(node: dict[str, Any]) -> str:
    parts = [" or ".join(f"`{value}`" for value in node["enum"])] if "enum" in node else []
    parts += [text.format(node[key]) for key, text in _LIMITS if key in node]
    if "x-kubernetes-list-map-keys" in node:
        parts.append(f"`{node['x-kubernetes-list-map-keys'][0]}` is unique")
    if "default" in node and not isinstance(node["default"], dict):
        parts.append(f"default `{json.dumps(node['default'])}`")
    return "; ".join(parts)


def chart_readme() -> str:
    """Return the chart's README: a table of its values, from the schema and the defaults."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    lines = [
        "# Chart condorpool-operator",
        "",
        "Installs one operator with its CRD and its rights. How to install, upgrade and remove it:",
        "[docs/operations.md](../../docs/operations.md).",
        "",
        "Generated from `values.schema.json` and `values.yaml` by `make generate`.",
        "",
        "| value | default | meaning |",
        "|---|---|---|",
    ]
    for name, node in schema["properties"].items():
        if name == "global":
            continue
        if "properties" not in node:
            lines.append(f"| `{name}` | `{json.dumps(values[name])}` | {node['description']} |")
            continue
        for key, child in node["properties"].items():
            lines.append(f"| `{name}.{key}` | `{json.dumps(values[name][key])}` | {child['description']} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the files that differ and return 0; with --check write nothing and return 1 if one does."""
    files = generated_files() | kustomize_files()
    stale = {path: text for path, text in files.items() if not path.exists() or path.read_text() != text}
    check = "--check" in sys.argv[1:]
    for path, text in stale.items():
        if not check:
            path.write_text(text)
        sys.stdout.write(f"{'stale, run make generate:' if check else 'wrote'} {path.relative_to(ROOT)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

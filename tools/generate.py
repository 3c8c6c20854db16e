"""Writes what is generated from the models: the CRD (canonical and the chart's copy). A test compares; `make generate` runs this."""

import sys
from pathlib import Path

import yaml

from condorpool_operator.api.crd import custom_resource_definition

ROOT = Path(__file__).resolve().parent.parent
CRD_NAME = "condorpools.condorpool.dev.yaml"
NOTICE = "# Generated from operator/condorpool_operator/api by `make generate`: change the models, not this file.\n"


class _Dumper(yaml.SafeDumper):
    """Writes repeated values out in full, as the API server's tools know no YAML aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def generated_files() -> dict[Path, str]:
    """Return every generated file with its content."""
    crd = NOTICE + yaml.dump(custom_resource_definition(), Dumper=_Dumper, sort_keys=False, width=120)
    return {ROOT / "crds" / CRD_NAME: crd}


def main() -> int:
    """Write the files that differ; return 0."""
    for path, text in generated_files().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

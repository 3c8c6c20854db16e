"""The kustomize form of the operator, made from the chart: one source for its pod, its rights and its policy.

Helm renders the chart once for the whole cluster and once for one namespace; what only a release has is left out, and so is the
namespace, which the overlays set. Comments of the chart stay. The kustomizations themselves are written by hand.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "condorpool-operator"
MANIFESTS = ROOT / "manifests"
RELEASE = "condorpool-operator"
NOTICE = (
    "# Generated from charts/condorpool-operator/templates/{} by `make generate`: change the chart, not this file.\n"
)

_SOURCE = re.compile(rf"^---\n# Source: {RELEASE}/templates/(.+)\n", re.MULTILINE)
_OF_A_RELEASE = re.compile(r"^ +(app\.kubernetes\.io/managed-by|helm\.sh/chart|namespace): .*\n", re.MULTILINE)


def kustomize_files() -> dict[Path, str]:
    """Return the generated files of the base and of both overlays."""
    cluster, namespace = render(), render("--set=watchNamespaces={condorpool}")
    base = ("serviceaccount.yaml", "networkpolicy.yaml", "deployment.yaml")
    return {
        **{MANIFESTS / "base" / name: cluster[name] for name in base},
        MANIFESTS / "overlays" / "cluster" / "rbac.yaml": cluster["rbac.yaml"],
        MANIFESTS / "overlays" / "namespace" / "rbac.yaml": namespace["rbac.yaml"],
    }


def render(*values: str) -> dict[str, str]:
    """Return the objects of the chart by the name of their template, without what makes them part of a release."""
    command = ["helm", "template", RELEASE, str(CHART), *values]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, *parts = _SOURCE.split(rendered)
    files: dict[str, str] = {}
    for template, text in zip(parts[::2], parts[1::2], strict=True):
        before = f"{files[template]}---\n" if template in files else NOTICE.format(template)
        files[template] = before + _OF_A_RELEASE.sub("", text).strip() + "\n"
    return files

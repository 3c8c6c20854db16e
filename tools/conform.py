"""Checks what users apply against the schemas of the API: the chart in three forms, the kustomizations, the samples.

kubeconform does it with the schemas of `tools.schemas`. `make lint` calls this with helm, kubectl and kubeconform on PATH.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from condorpool_operator.api.crd import custom_resource_definition
from tools.schemas import custom_schema, kubernetes_definitions, native_schema

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "conform"
CHART = "charts/condorpool-operator"
KUSTOMIZATIONS = ("crds", "manifests/overlays/cluster", "manifests/overlays/namespace")
SAMPLES = "manifests/samples"

VALUES: dict[str, dict[str, Any]] = {
    "cluster": {},
    "namespaces": {"watchNamespaces": ["physics", "biology"]},
    "every-value": {
        "image": {"repository": "lab.example/operator", "tag": "1.0", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "roleImage": {"repository": "lab.example/htcondor", "tag": "1.0", "pullPolicy": "Always"},
        "watchNamespaces": ["physics"],
        "fullnameOverride": "pools",
        "serviceAccount": {"name": "robot", "annotations": {"example.org/id": "7"}},
        "networkPolicy": {"apiServerPorts": [7443]},
        "clusterDomain": "lab.example",
        "dnsServers": ["169.254.20.10"],
        "logFormat": "json",
        "workers": 3,
        "resyncSeconds": 300,
        "requestTimeoutSeconds": 30,
        "resources": {"limits": {"memory": "1Gi"}},
        "podAnnotations": {"example.org/team": "physics"},
        "podLabels": {"team": "physics"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
        "priorityClassName": "system-cluster-critical",
    },
}
"""Forms of the chart: as it is, for some namespaces, and with every value but the switches changed."""


def rendered() -> Iterator[tuple[str, str]]:
    """Return everything that users apply, by a name to be told in complaints."""
    for name, values in VALUES.items():
        command = [
            "helm",
            "template",
            "condorpool-operator",
            CHART,
            "--namespace",
            "condorpool-system",
            "--values",
            "-",
        ]
        yield f"chart-{name}", _output(command, json.dumps(values))
    for directory in KUSTOMIZATIONS:
        yield f"kustomize-{directory.replace('/', '-')}", _output(["kubectl", "kustomize", directory])
    for sample in sorted((ROOT / SAMPLES).glob("*.yaml")):
        yield f"sample-{sample.stem}", sample.read_text()


def _output(command: list[str], stdin: str = "") -> str:
    return subprocess.run(command, cwd=ROOT, input=stdin, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_schemas(kinds: set[tuple[str, str]], directory: Path) -> None:
    """Write a schema for each (apiVersion, kind) under the name that kubeconform looks for."""
    definitions, crd = kubernetes_definitions(), custom_resource_definition()
    ours = (f"{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}", crd["spec"]["names"]["kind"])
    directory.mkdir(parents=True)
    for api_version, kind in sorted(kinds):
        schema = (
            custom_schema(definitions, crd)
            if (api_version, kind) == ours
            else native_schema(definitions, api_version, kind)
        )
        group, _, version = api_version.rpartition("/")
        short = "-".join(part for part in (kind, group.partition(".")[0], version) if part)
        (directory / f"{short.lower()}.json").write_text(json.dumps(schema))


def main() -> int:
    """Return kubeconform's exit status."""
    shutil.rmtree(BUILD, ignore_errors=True)
    manifests, schemas = BUILD / "manifests", BUILD / "schemas"
    manifests.mkdir(parents=True)
    kinds = set()
    for name, text in rendered():
        (manifests / f"{name}.yaml").write_text(text)
        kinds |= {(document["apiVersion"], document["kind"]) for document in yaml.safe_load_all(text) if document}
    write_schemas(kinds, schemas)
    location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return subprocess.run(
        ["kubeconform", "-strict", "-summary", "-schema-location", location, str(manifests)], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())

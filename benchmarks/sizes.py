"""What is shipped and what runs, in bytes: the CRD, the images, the operator's pod."""

import json
import subprocess
from typing import Any

from tools.console import ROOT, Console
from tools.images import HTCONDOR, OPERATOR

from .failover import operator_pod
from .nodes import kubectl, on_node, process_of, program, proxy, until
from .process import KIB, MIB
from .report import Figure, Results

PART = "sizes"
MB = 1e6
CRD = ROOT / "crds" / "condorpools.condorpool.dev.yaml"


async def run(_console: Console, results: Results) -> None:
    """Measure."""
    results.add(Figure(PART, "CRD, YAML in the repository", "bytes", (CRD.stat().st_size,), 200 * KIB))
    crd = json.loads(kubectl("get", "crd", CRD.stem, "-o", "json"))
    del crd["status"]
    results.add(Figure(PART, "CRD, JSON without status", "bytes", (len(json.dumps(crd, separators=(",", ":"))),)))
    for image in (OPERATOR, HTCONDOR):
        unpacked = int(program("docker", "image", "inspect", "--format={{.Size}}", image))
        results.add(Figure(PART, f"image {image}: unpacked", "MB", (unpacked / MB,)))
        results.add(Figure(PART, f"image {image}: packed by gzip", "MB", (packed(image) / MB,)))
    with proxy() as connect:
        api = connect()
        pod = until(lambda: operator_pod(api), "one ready operator")
    pools = len(json.loads(kubectl("get", "condorpools", "-A", "-o", "json"))["items"])
    results.add(*_memory(pod, f"{pools} pools"))


def packed(image: str) -> int:
    """Return how many bytes an image takes on its way to a node."""
    save = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    gzip = subprocess.Popen(["gzip", "-c"], stdin=save.stdout, stdout=subprocess.PIPE)
    if gzip.stdout is None:
        raise RuntimeError("no output of gzip")
    size = 0
    while part := gzip.stdout.read(MIB):
        size += len(part)
    if save.wait() or gzip.wait():
        raise RuntimeError(f"image {image} could not be saved")
    return size


def _memory(pod: Any, note: str) -> list[Figure]:
    """Return what the operator's pod takes: the working set, as `kubectl top` and evictions count it, and its process."""
    node, name = pod["spec"]["nodeName"], pod["metadata"]["name"]
    summary = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    (working_set,) = [one["memory"]["workingSetBytes"] for one in summary["pods"] if one["podRef"]["name"] == name]
    status = on_node(node, "cat", f"/proc/{process_of(pod, 'operator')}/status")
    fields = {
        line.partition(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith(("RssA", "VmRSS"))
    }
    return [
        Figure(PART, "operator's pod: working set", "MiB", (working_set / MIB,), 80, note=note),
        Figure(PART, "operator's process: resident", "MiB", (int(fields["VmRSS"]) / KIB,), note=note),
        Figure(PART, "operator's process: anonymous", "MiB", (int(fields["RssAnon"]) / KIB,), note=note),
    ]

"""Every sample is applied as its users do it, and the operator makes a pool of it without a complaint."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import PUBLIC_KEY, ROOT, Cluster, eventually, secret

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
WITHOUT_NODES = {"Accepted", "ConfigValid", "NetworkPolicyEnforced"}
"""Conditions that can be true where no pod runs."""


@pytest.fixture
def free_node_ports(cluster: Cluster) -> Iterator[None]:
    """Remove the Services afterwards: no garbage collector runs here, and two samples have the same node port."""
    yield
    cluster.kubectl("delete", "condorpools", "--all")

    def gone() -> bool:
        cluster.kubectl("delete", "services", "--all")
        return not cluster.objects("services")

    eventually(gone, "the Services to go")


def generation_of(cluster: Cluster, pool: str) -> int:
    return int((cluster.get("condorpool", pool) or {})["metadata"]["generation"])


@pytest.mark.usefixtures("free_node_ports")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_applied_and_accepted(cluster: Cluster, sample: Path) -> None:
    if sample.stem == "demo":
        cluster.apply(secret("john", authorized_keys=PUBLIC_KEY))

    cluster.kubectl("apply", "--filename", str(sample))

    cluster.settle(sample.stem)
    seen = {kind: cluster.condition(kind, sample.stem) for kind in WITHOUT_NODES}
    assert {kind: condition.get("status") for kind, condition in seen.items()} == dict.fromkeys(
        WITHOUT_NODES, "True"
    ), seen
    assert cluster.events() == []
    owned = cluster.objects(
        "statefulsets,deployments,networkpolicies.networking.k8s.io", f"condorpool.dev/pool={sample.stem}"
    )
    assert {obj["kind"] for obj in owned} == {"StatefulSet", "Deployment", "NetworkPolicy"}
    generation = generation_of(cluster, sample.stem)
    cluster.kubectl("apply", "--filename", str(sample))
    assert generation_of(cluster, sample.stem) == generation

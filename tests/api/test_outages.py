"""The API server goes away, comes back, and does not serve everything: told, waited for, made good."""

from collections.abc import Iterator

import pytest

from .cluster import ROOT, Cluster, Operator, eventually, pool
from .conftest import prepared_server
from .server import ApiServer, free_ports


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Run a server of this module's own: one that has just started refuses everybody for a moment."""
    with prepared_server(tmp_path_factory.mktemp("outages")) as server:
        yield server


@pytest.fixture(scope="module")
def operator(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Run an operator over that server."""
    operator = Operator(server, tmp_path_factory.mktemp("operator") / "log", liveness_port=str(free_ports(1)[0]))
    operator.start()
    yield operator
    operator.stop()


@pytest.fixture
def without_budgets(server: ApiServer, cluster: Cluster) -> Iterator[Cluster]:
    """Return a namespace of a server that does not serve policy/v1, for the time of a test."""
    server.serve("--runtime-config=policy/v1=false")
    yield cluster
    server.serve()


def test_an_api_that_is_not_served_is_told_and_the_rest_goes_on(server: ApiServer, without_budgets: Cluster) -> None:
    cluster = without_budgets
    cluster.apply(pool())
    eventually(lambda: cluster.condition("ExecutorsReady").get("reason") == "ApiRefused", "the missing API to be told")
    assert "poddisruptionbudgets of policy/v1 cannot be listed" in cluster.condition("ExecutorsReady")["message"]
    assert cluster.get("statefulset", "demo-executor") is not None
    assert cluster.condition("ManagerReady")["reason"] == "PodsNotReady"
    server.serve()
    cluster.kubectl("annotate", "condorpool", "demo", "test/mark=served")
    eventually(lambda: cluster.get("poddisruptionbudget", "demo-executor"), "the budget to be made")
    eventually(lambda: cluster.condition("ExecutorsReady").get("reason") == "PodsNotReady", "the finding to go")


def test_an_operator_that_is_there_before_the_crd_waits_for_it(
    server: ApiServer, cluster: Cluster, operator: Operator
) -> None:
    operator.stop()
    cluster.kubectl("delete", "crd", "condorpools.condorpool.dev")
    operator.start(until="install the CRD")
    cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / "condorpools.condorpool.dev.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/condorpools.condorpool.dev", "--timeout=20s")
    cluster.apply(pool())
    cluster.settle()


def test_what_changes_while_the_api_server_restarts_is_not_missed(server: ApiServer, cluster: Cluster) -> None:
    cluster.apply(pool())
    cluster.settle()
    server.serve()
    assert not cluster.events(), "what a server refuses at its start is no finding"
    cluster.kubectl("delete", "service", "demo-manager")
    eventually(lambda: cluster.get("service", "demo-manager"), "the Service to come back", seconds=60)
    cluster.apply(pool({"executors": []}))
    eventually(lambda: cluster.get("statefulset", "demo-executor") is None, "the edit to take effect", seconds=60)

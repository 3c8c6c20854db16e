"""Fixtures of the API tests: one server and one operator a session, one namespace a test."""

import contextlib
import itertools
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import yaml

from .cluster import ROOT, Cluster, Operator
from .server import ApiServer, free_ports, running_server

EVIDENCE = ROOT / "build" / "api-evidence"
_numbers = itertools.count(1)


@contextlib.contextmanager
def prepared_server(directory: Path) -> Iterator[ApiServer]:
    """Run an API server that has the CRD and the operator's rights from the chart."""
    with running_server(directory) as server:
        admin = Cluster(server, "default")
        admin.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        helm = [
            str(server.binaries / "helm"),
            "template",
            "condorpool-operator",
            str(ROOT / "charts/condorpool-operator"),
        ]
        rendered = subprocess.run(helm, check=True, capture_output=True, text=True).stdout
        roles = [obj for obj in yaml.safe_load_all(rendered) if obj and obj["kind"] == "ClusterRole"]
        admin.apply(*roles)
        admin.kubectl(
            "create",
            "clusterrolebinding",
            "operator",
            f"--clusterrole={roles[0]['metadata']['name']}",
            "--user=operator",
        )
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Run the server of the session."""
    with prepared_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(scope="session")
def operator(server: ApiServer) -> Iterator[Operator]:
    """Run the operator over the whole server; its log is kept."""
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    log = EVIDENCE / "operator.log"
    log.unlink(missing_ok=True)
    operator = Operator(server, log, liveness_port=str(free_ports(1)[0]))
    operator.start()
    yield operator
    operator.stop()


@pytest.fixture
def bare(server: ApiServer) -> Cluster:
    """Return a new namespace, whether an operator runs or not."""
    cluster = Cluster(server, f"test-{next(_numbers)}")
    cluster.kubectl("create", "namespace", cluster.namespace)
    return cluster


@pytest.fixture
def cluster(bare: Cluster, operator: Operator) -> Iterator[Cluster]:
    """Return a new namespace that the operator watches; its pools go with the test."""
    yield bare
    bare.kubectl("delete", "condorpools", "--all")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say where the evidence is when a test fails."""
    report = yield
    if call.excinfo is not None and call.when == "call":
        report.sections.append(("evidence", f"operator's log: {EVIDENCE / 'operator.log'}"))
    return report

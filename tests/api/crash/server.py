"""The API server of the search: without an audit log, with Calico's API and the classes that the scenarios name."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..cluster import Cluster
from ..conftest import prepared_server
from ..server import ApiServer
from ..test_policies import CALICO, CALICO_API
from .scenarios import CLASS, IMPORTANT


@dataclass(frozen=True)
class Access:
    """How to reach the server, also from another process: the operator's login, and the administrator's."""

    url: str
    kubeconfig: str
    token: str

    @classmethod
    def of(cls, server: ApiServer) -> Self:
        """Return the way to a server."""
        return cls(server.url, str(server.kubeconfig("operator")), server.token("admin"))


@contextlib.contextmanager
def crash_server(directory: Path) -> Iterator[ApiServer]:
    """Run the server while the context is open."""
    with prepared_server(directory) as server:
        admin = Cluster(server, "default")
        admin.apply(
            CALICO_API,
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": CLASS},
                "provisioner": "example.test/none",
                "allowVolumeExpansion": True,
            },
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": IMPORTANT},
                "value": 1,
            },
        )
        admin.kubectl("wait", "--for=condition=Established", f"crd/{CALICO}", "--timeout=20s")
        yield server

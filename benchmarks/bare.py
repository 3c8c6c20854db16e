"""The API server without nodes that counts and times, with the CRD and the operator's rights, and clients for it."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from tests.api.cluster import ROOT, Cluster, Operator
from tests.api.server import AUDIT_POLICY, ApiServer, binaries_directory, free_ports
from tools.console import BUILD

from .audit import ALL_REQUESTS, AuditLog, Request
from .process import Rest, processor_seconds

APPLY = "application/apply-patch+yaml"
LOOK_SECONDS = 0.2
POOLS = "/apis/condorpool.dev/v1alpha1"


class BenchServer(ApiServer):
    """The server of the API tests, with an audit log that holds reads too."""

    def _run(self, binary: str, *arguments: str) -> None:
        if binary == "kube-apiserver":
            policy = {**AUDIT_POLICY, "rules": ALL_REQUESTS}
            (self.directory / "audit-policy.json").write_text(json.dumps(policy))
            arguments = (*arguments, "--audit-log-maxsize=4000")
        super()._run(binary, *arguments)

    @property
    def processor_seconds(self) -> float:
        """Processor time that etcd and the API server have taken."""
        return sum(processor_seconds(process.pid) for process in self._processes.values())


class BenchOperator(Operator):
    """The operator as a process whose id is known."""

    def __init__(self, server: BenchServer, log: Path, resync_seconds: float) -> None:
        super().__init__(server, log, liveness_port=str(free_ports(1)[0]), resync_seconds=str(resync_seconds))

    @property
    def pid(self) -> int:
        """Id of the running process."""
        if self._process is None:
            raise RuntimeError("the operator does not run")
        return self._process.pid


class Client:
    """Plain requests over kept connections: what the least that one could do costs."""

    def __init__(self, server: BenchServer, user: str, connections: int = 8) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._session = aiohttp.ClientSession(
            server.url,
            headers={"Authorization": f"Bearer {server.token(user)}"},
            connector=aiohttp.TCPConnector(ssl=context, limit=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send a request, again where the server asks for patience, and return the answer's JSON; RuntimeError where it is refused."""
        data = None if body is None else json.dumps(body)
        while True:
            async with self._session.request(method, path, data=data, headers={"Content-Type": content_type}) as answer:
                content = await answer.json()
                if answer.status == 429:
                    await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
                    continue
                if answer.status >= 400:
                    raise RuntimeError(f"{method} {path}: {answer.status} {content.get('message')}")
                return content

    async def mark(self, name: str) -> None:
        """Leave a request for an object that is not there in the audit log."""
        with contextlib.suppress(RuntimeError):
            await self.send("GET", f"/api/v1/namespaces/default/configmaps/{name}")

    async def create_namespaces(self, names: Iterable[str]) -> None:
        """Create namespaces."""
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
        await gather(4, [partial(self.send, "POST", "/api/v1/namespaces", obj) for obj in objects])

    async def create_pool(self, namespace: str, name: str, spec: Mapping[str, Any] | None = None) -> None:
        """Create a CondorPool."""
        obj = {
            "apiVersion": "condorpool.dev/v1alpha1",
            "kind": "CondorPool",
            "metadata": {"name": name},
            "spec": spec or {},
        }
        await self.send("POST", f"{POOLS}/namespaces/{namespace}/condorpools", obj)

    async def pools(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return the CondorPools of a namespace, or all."""
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        items: list[dict[str, Any]] = (await self.send("GET", f"{POOLS}{scope}/condorpools"))["items"]
        return items

    async def settle(self, count: int, namespace: str | None = None, seconds: float = 60.0) -> None:
        """Wait until so many pools are there and the operator has reported on each one's present generation."""
        deadline = time.monotonic() + seconds
        while True:
            pools = await self.pools(namespace)
            done = sum(
                one.get("status", {}).get("observedGeneration") == one["metadata"]["generation"] for one in pools
            )
            if done == count == len(pools):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{done} of {count} pools were reconciled within {seconds:.0f} s")
            await asyncio.sleep(0.1 if count == 1 else 2.0)


async def gather(connections: int, calls: Iterable[Callable[[], Awaitable[Any]]]) -> None:
    """Make calls, so many at a time."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    await asyncio.gather(*(work() for _ in range(connections)))


class Bench:
    """One server with its operator, its audit log and the administrator's connections."""

    def __init__(self, server: BenchServer, admin: Client, operator: BenchOperator) -> None:
        self.server = server
        self.admin = admin
        self.operator = operator
        self.audit = AuditLog(server.audit_log)
        self.cluster = Cluster(server, "default")

    async def until_rest(
        self, quiet_seconds: float, seconds: float, rest: Rest | None = None
    ) -> tuple[float, list[Request]]:
        """Wait until the operator has sent nothing, and its process taken next to nothing, for so long.

        Return the moment (of the wall clock) at which it came to rest, and its requests since the last look, watches left out.
        """
        rest, requests = rest or Rest(self.operator.pid), []
        deadline = time.time() + seconds
        last = time.time()
        while time.time() - last < quiet_seconds:
            if time.time() > deadline:
                raise TimeoutError(f"the operator did not come to rest in {seconds:.0f} s")
            await asyncio.sleep(LOOK_SECONDS)
            rest.look()
            requests += [one for one in self.audit.read() if one.by_operator]
            last = max([last, rest.last_busy, *(one.answered for one in requests[-100:])])
        came = max([rest.last_busy, *(one.answered for one in requests)])
        return came, requests


@contextlib.asynccontextmanager
async def bench(resync_seconds: float = 600.0) -> AsyncIterator[Bench]:
    """Run a server of its own; the operator is started by who uses it."""
    BUILD.mkdir(exist_ok=True)
    log = BUILD / "bench-operator.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="condorpool-bench-") as directory:
        server = BenchServer(Path(directory), binaries_directory())
        operator = BenchOperator(server, log, resync_seconds)
        try:
            server.start()
            _prepare(server)
            async with Client(server, "admin") as admin:
                yield Bench(server, admin, operator)
        finally:
            operator.stop()
            server.stop()


def _prepare(server: BenchServer) -> None:
    """Install the CRD, and give the operator's user the rights of the chart."""
    admin = Cluster(server, "default")
    admin.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    admin.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"))
    helm = [str(server.binaries / "helm"), "template", "bench", str(ROOT / "charts/condorpool-operator")]
    rendered = subprocess.run(helm, check=True, capture_output=True, text=True, env={**os.environ}).stdout
    roles = [obj for obj in yaml.safe_load_all(rendered) if obj and obj["kind"] == "ClusterRole"]
    admin.apply(*roles)
    for role in roles:
        name = role["metadata"]["name"]
        admin.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", "--user=operator")

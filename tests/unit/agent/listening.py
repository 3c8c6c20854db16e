"""An agent for tests, which is asked over real TLS."""

import http.client
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from condorpool_agent import collector
from condorpool_agent.collector import Collector
from condorpool_agent.credentials import DRAIN_FILE, MONITOR_FILE, Credentials
from condorpool_agent.draining import Drainer
from condorpool_agent.server import Interface, Server
from condorpool_operator.minting import new_certificate

TOKEN, METRICS_TOKEN = "opens-all", "opens-metrics"
RECORDED = Path(__file__).parent / "recorded" / "pool.json"
Answer = tuple[int, dict[str, str], bytes]


class Agent:
    """An agent that listens on a free port, with a `condor_status` that a test writes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.private, self.socket = directory / "files", directory / "private", directory / "check.sock"
        self.files.mkdir()
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.certify()
        tokens = {"token": TOKEN, "metrics-token": METRICS_TOKEN, "idtoken": "identity", "drain-token": "power"}
        for name, text in tokens.items():
            (self.files / name).write_text(text)
        self.condor_status(f"cat {RECORDED}")
        credentials = Credentials(self.files, self.private)

        def environment(identity: str) -> dict[str, str]:
            return credentials.environment(identity) | {"PATH": f"{self.bin}:/usr/bin:/bin"}

        self.collector = Collector("127.0.0.1:9618", partial(environment, MONITOR_FILE))
        drainer = Drainer(self.collector, "127.0.0.1:9618", partial(environment, DRAIN_FILE))
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.setattr(collector, "FRESH_SECONDS", 0.0)
        interface = Interface(credentials, self.collector, drainer, self.socket)
        self.server = Server(("127.0.0.1", 0), interface, credentials)
        self.port: int = self.server.server_address[1]

    def certify(self) -> bytes:
        """Give the agent a new certificate; return it in DER."""
        certificate, key = new_certificate("demo-manager.physics.svc.cluster.local")
        (self.files / "tls.key").write_bytes(key)
        (self.files / "tls.crt").write_bytes(certificate)
        return ssl.PEM_cert_to_DER_cert(certificate.decode())

    def condor_status(self, script: str) -> None:
        """Put a script in the place of HTCondor's tool."""
        self.tool("condor_status", script)

    def tool(self, name: str, script: str) -> None:
        """Put a script in the place of one of HTCondor's tools."""
        tool = self.bin / name
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that takes any certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)

    def ask(self, path: str, token: str | None = TOKEN, method: str = "GET", **request: Any) -> Answer:
        """Send a request and return status, headers and body."""
        connection = self.connect()
        headers = request.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token is not None else {})
        connection.request(method, path, headers=headers, **request)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, dict(response.headers), body

    def served(self) -> bytes:
        """Return the certificate that is served, in DER."""
        connection = self.connect()
        connection.connect()
        found = connection.sock.getpeercert(binary_form=True)
        connection.close()
        assert found is not None
        return found

"""A real kube-apiserver with etcd on loopback, without nodes: what the API tests run against."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

READY_SECONDS = 60
USERS = {"admin": "system:masters", "operator": "", "limited": ""}
"""Users by name, with their groups; `limited` is an operator whose rights a test takes and gives."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]}],
}


def free_ports(count: int) -> list[int]:
    """Return free TCP ports of the loopback interface."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class ApiServer:
    """Processes and files of one API server; `kubeconfig(user)` logs in."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self.directory = directory
        self.binaries = binaries
        self.audit_log = directory / "audit.log"
        self._tokens = {user: secrets.token_hex(16) for user in USERS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd, self._etcd_peer, self._port = free_ports(3)

    @property
    def url(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self._port}"

    def token(self, user: str) -> str:
        """Return what a user logs in with."""
        return self._tokens[user]

    def kubeconfig(self, user: str) -> Path:
        """Return the path of a kubeconfig file for a user."""
        path = self.directory / f"{user}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "api", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": user, "user": {"token": self._tokens[user]}}],
            "contexts": [{"name": user, "context": {"cluster": "api", "user": user}}],
            "current-context": user,
        }
        path.write_text(json.dumps(config))
        return path

    def start(self) -> None:
        """Start etcd and the API server, and wait until it is ready."""
        tokens = "".join(f"{token},{user},{user},{USERS[user]}\n" for user, token in self._tokens.items())
        (self.directory / "tokens.csv").write_text(tokens)
        (self.directory / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
        key = self.directory / "service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        etcd = f"http://127.0.0.1:{self._etcd}"
        peer = f"http://127.0.0.1:{self._etcd_peer}"
        self._run(
            "etcd", f"--data-dir={self.directory}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync", "--log-level=error",
        )  # fmt: skip
        self.serve()

    def serve(self, *arguments: str) -> None:
        """Start the API server over the etcd that runs, instead of the one that runs, with more arguments; wait until it is ready."""
        self._end("kube-apiserver")
        key, etcd = self.directory / "service-account.key", f"http://127.0.0.1:{self._etcd}"
        self._run(
            "kube-apiserver", f"--etcd-servers={etcd}", f"--secure-port={self._port}", "--bind-address=127.0.0.1",
            f"--cert-dir={self.directory}/certs", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-account-issuer=https://api.test",
            f"--token-auth-file={self.directory}/tokens.csv", "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount", "--allow-privileged", "--service-cluster-ip-range=10.90.0.0/16",
            f"--audit-policy-file={self.directory}/audit-policy.json", f"--audit-log-path={self.audit_log}",
            *arguments,
        )  # fmt: skip
        self._wait_ready()

    def stop(self) -> None:
        """End all processes."""
        for binary in ("kube-apiserver", "etcd"):
            self._end(binary)
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    def _run(self, binary: str, *arguments: str) -> None:
        log = (self.directory / f"{binary}.log").open("wb")
        self._processes[binary] = subprocess.Popen([str(self.binaries / binary), *arguments], stdout=log, stderr=log)

    def _end(self, binary: str) -> None:
        if process := self._processes.pop(binary, None):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _wait_ready(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        headers = {"Authorization": f"Bearer {self._tokens['admin']}"}
        request = urllib.request.Request(f"{self.url}/readyz", headers=headers)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(request, timeout=2, context=context).close()
                return
            time.sleep(0.2)
        raise TimeoutError(
            f"the API server was not ready in {READY_SECONDS} s: see {self.directory}/kube-apiserver.log"
        )


def binaries_directory() -> Path:
    """Return where kube-apiserver, etcd and kubectl are: CONDORPOOL_BINARIES, else what the dev cluster builds."""
    if given := os.environ.get("CONDORPOOL_BINARIES"):
        return Path(given)
    command = ["python3", "-m", "devcluster", "binaries"]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Path(built.strip().splitlines()[-1])


@contextlib.contextmanager
def running_server(directory: Path) -> Iterator[ApiServer]:
    """Run an API server while the context is open."""
    server = ApiServer(directory, binaries_directory())
    try:
        server.start()
        yield server
    finally:
        server.stop()

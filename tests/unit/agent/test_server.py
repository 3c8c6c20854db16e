"""The interface over real TLS: who gets in, what they get, what happens when something behind it is missing."""

import http.client
import json
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from condorpool_agent import checking, collector
from condorpool_agent.collector import Collector
from condorpool_agent.credentials import Credentials
from condorpool_agent.server import MOST_CONNECTIONS, Interface, Server
from condorpool_operator.minting import new_certificate

TOKEN, METRICS_TOKEN = "opens-all", "opens-metrics"
RECORDED = Path(__file__).parent / "recorded" / "pool.json"
REQUEST = json.dumps({"role": "manager", "files": {"50-00-knobs-a.conf": "X = 1\n"}}).encode()
Answer = tuple[int, dict[str, str], bytes]


class Agent:
    """An agent that listens on a free port, with a `condor_status` that a test writes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.private, self.socket = directory / "files", directory / "private", directory / "check.sock"
        self.files.mkdir()
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.certify()
        for name, text in (("token", TOKEN), ("metrics-token", METRICS_TOKEN), ("idtoken", "identity")):
            (self.files / name).write_text(text)
        self.condor_status(f"cat {RECORDED}")
        credentials = Credentials(self.files, self.private)
        environment = credentials.environment
        self.collector = Collector("127.0.0.1:9618", lambda: environment() | {"PATH": f"{self.bin}:/usr/bin:/bin"})
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.setattr(collector, "FRESH_SECONDS", 0.0)
        self.server = Server(("127.0.0.1", 0), Interface(credentials, self.collector, self.socket), credentials)
        self.port: int = self.server.server_address[1]

    def certify(self) -> bytes:
        """Give the agent a new certificate; return it in DER."""
        certificate, key = new_certificate("demo-manager.physics.svc.cluster.local")
        (self.files / "tls.key").write_bytes(key)
        (self.files / "tls.crt").write_bytes(certificate)
        return ssl.PEM_cert_to_DER_cert(certificate.decode())

    def condor_status(self, script: str) -> None:
        """Put a script in the place of HTCondor's tool."""
        tool = self.bin / "condor_status"
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


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    one = Agent(tmp_path, monkeypatch)
    threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield one
    one.server.shutdown()
    one.server.server_close()


class TestAccess:
    @pytest.mark.parametrize("token", [None, "", "wrong", METRICS_TOKEN, f"{TOKEN}x", "ünïcode"])
    @pytest.mark.parametrize(("method", "path"), [("GET", "/v1/state"), ("POST", "/v1/config/check"), ("GET", "/x")])
    def test_nothing_without_the_token(self, agent: Agent, method: str, path: str, token: str | None) -> None:
        value = token.encode().decode("latin-1") if token else token
        status, headers, body = agent.ask(path, value, method)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"bearer token" in body

    @pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), (METRICS_TOKEN, 200), ("wrong", 401), (None, 401)])
    def test_metrics_have_a_token_of_their_own_beside(self, agent: Agent, token: str | None, status: int) -> None:
        assert agent.ask("/metrics", token)[0] == status

    def test_health_is_open_and_says_nothing(self, agent: Agent) -> None:
        assert agent.ask("/healthz", None)[::2] == (200, b"ok\n")

    def test_other_schemes_are_refused(self, agent: Agent) -> None:
        assert agent.ask("/v1/state", None, headers={"Authorization": f"Basic {TOKEN}"})[0] == 401

    def test_an_empty_token_file_opens_nothing(self, agent: Agent) -> None:
        (agent.files / "token").write_text("")
        assert agent.ask("/v1/state", "")[0] == 401

    @pytest.mark.parametrize("path", ["/", "/v1", "/v1/state/", "/metrics?x"])
    def test_what_is_not_there_is_not_found(self, agent: Agent, path: str) -> None:
        assert agent.ask(path)[0] == 404

    def test_a_large_body_of_a_stranger_is_not_read(self, agent: Agent) -> None:
        connection = agent.connect()
        connection.putrequest("POST", "/v1/config/check")
        connection.putheader("Content-Length", str(checking.MOST_BYTES))
        connection.endheaders()
        assert connection.getresponse().status == 401
        connection.close()


class TestState:
    def test_is_told_once_and_then_only_when_it_changes(self, agent: Agent) -> None:
        status, headers, body = agent.ask("/v1/state")
        assert (status, json.loads(body)["slots"]["total"]) == (200, 6)
        known = {"If-None-Match": headers["ETag"]}
        assert agent.ask("/v1/state", headers=known)[::2] == (304, b"")
        agent.condor_status("printf '[\\n]\\n'")
        assert agent.ask("/v1/state", headers=known)[0] == 200

    @pytest.mark.parametrize("script", ["exit 1", f"cat {RECORDED}; exit 1", "echo '['; echo '{'; echo '}}'; echo '}'"])
    def test_a_collector_that_fails_is_unavailable_and_told_in_metrics(self, agent: Agent, script: str) -> None:
        agent.condor_status(script)
        assert agent.ask("/v1/state")[::2] == (503, b"the collector does not answer\n")
        assert b"condorpool_collector_up 0" in agent.ask("/metrics")[2]

    def test_a_tool_that_hangs_is_killed(self, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collector, "QUERY_SECONDS", 0.3)
        agent.condor_status("exec sleep 60")
        began = time.monotonic()
        assert agent.ask("/v1/state")[0] == 503
        assert time.monotonic() - began < 10

    def test_a_tool_that_closes_its_output_and_hangs_is_killed(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collector, "QUERY_SECONDS", 0.3)
        agent.condor_status(f"cat {RECORDED}; exec sleep 60 >&-")
        assert agent.ask("/v1/state")[0] == 503

    def test_one_answer_serves_all_for_a_while(self, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collector, "FRESH_SECONDS", 60.0)
        for _ in range(3):
            assert agent.ask("/v1/state")[0] == 200
        assert agent.collector.health().queries == 1

    def test_the_tool_has_the_agents_identity_and_no_configuration(self, agent: Agent, tmp_path: Path) -> None:
        agent.condor_status(f"env >{tmp_path}/env; cat {RECORDED}")
        assert agent.ask("/v1/state")[0] == 200
        environment = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
        assert environment["CONDOR_CONFIG"] == "ONLY_ENV"
        identity = Path(environment["_CONDOR_SEC_TOKEN_DIRECTORY"]) / "idtoken"
        assert identity.read_text() == "identity"
        assert stat.S_IMODE(identity.stat().st_mode) == 0o600
        (agent.files / "idtoken").write_text("renewed")
        assert agent.ask("/v1/state")[0] == 200
        assert identity.read_text() == "renewed"


class TestCertificate:
    def test_is_read_again_when_it_changes(self, agent: Agent) -> None:
        before = agent.served()
        renewed = agent.certify()
        assert agent.served() == renewed != before

    def test_of_another_key_leaves_the_former_in_force(self, agent: Agent) -> None:
        before = agent.served()
        _, other = new_certificate("x")
        (agent.files / "tls.key").write_bytes(other)
        assert agent.served() == before

    def test_goes_through_a_moment_without_files(self, agent: Agent) -> None:
        before = agent.served()
        (agent.files / "tls.crt").unlink()
        assert agent.served() == before


def check_socket(agent: Agent, reply: Callable[[bytes], bytes | None]) -> threading.Thread:
    """Answer one check as pool-init does: the whole request first, then all of the answer."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(agent.socket))
    listening.listen()

    def serve() -> None:
        with listening, listening.accept()[0] as connection:
            request = b"".join(iter(lambda: connection.recv(65536), b""))
            answer = reply(request)
            if answer is None:
                time.sleep(1)
            else:
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


class TestCheck:
    def test_is_passed_on_and_back(self, agent: Agent) -> None:
        seen: list[bytes] = []
        findings = {"findings": [{"file": "a", "line": 1, "knob": "X", "message": "no"}]}

        def reply(request: bytes) -> bytes:
            seen.append(request)
            return json.dumps(findings).encode()

        thread = check_socket(agent, reply)
        status, _, body = agent.ask("/v1/config/check", method="POST", body=REQUEST)
        thread.join(timeout=5)
        assert (status, json.loads(body)) == (200, findings)
        assert seen == [REQUEST]

    def test_without_a_checker_is_unavailable(self, agent: Agent) -> None:
        status, _, body = agent.ask("/v1/config/check", method="POST", body=REQUEST)
        assert (status, body) == (503, b"there is no configuration check in this pod\n")

    @pytest.mark.parametrize("answer", [b"", b"x", b"[]", b'{"findings": 1}'])
    def test_an_unusable_answer_is_none(self, agent: Agent, answer: bytes) -> None:
        check_socket(agent, lambda _: answer)
        status, _, body = agent.ask("/v1/config/check", method="POST", body=REQUEST)
        assert (status, body) == (503, b"the configuration check gave no usable answer\n")

    def test_a_checker_that_is_silent_is_not_waited_for(self, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checking, "CHECK_SECONDS", 0.2)
        check_socket(agent, lambda _: None)
        status, _, body = agent.ask("/v1/config/check", method="POST", body=REQUEST)
        assert (status, body) == (503, b"the configuration check did not answer in 0.2 s\n")

    @pytest.mark.parametrize(
        "body",
        [b"", b"x", b"[]", b"{}", b'{"role": "root", "files": {}}', b'{"role": "manager", "files": {"a": 1}}'],
    )
    def test_what_is_no_request_is_told_so(self, agent: Agent, body: bytes) -> None:
        assert agent.ask("/v1/config/check", method="POST", body=body)[0] == 400

    def test_a_body_is_bounded_and_has_a_length(self, agent: Agent) -> None:
        too_long = {"Content-Length": str(checking.MOST_BYTES + 1)}
        assert agent.ask("/v1/config/check", method="POST", headers=too_long)[0] == 413
        assert agent.ask("/v1/config/check", method="POST", headers={"Content-Length": "x"})[0] == 411


def test_those_who_only_connect_do_not_keep_others_out(agent: Agent) -> None:
    idle = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(MOST_CONNECTIONS - 1)]
    assert agent.ask("/healthz", None)[0] == 200
    idle.append(socket.create_connection(("127.0.0.1", agent.port)))
    for one in idle:
        one.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert agent.ask("/healthz", None)[0] == 200
            break
        except OSError:
            assert time.monotonic() < deadline

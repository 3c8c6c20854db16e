"""The interface over real TLS: who gets in, what they get, what happens when something behind it is missing."""

import http.client
import json
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from condorpool_agent import checking, collector, draining
from condorpool_agent.collector import Collector
from condorpool_agent.credentials import DRAIN_FILE, MONITOR_FILE, Credentials
from condorpool_agent.draining import Drainer
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


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    one = Agent(tmp_path, monkeypatch)
    threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield one
    one.server.shutdown()
    one.server.server_close()


class TestAccess:
    @pytest.mark.parametrize("token", [None, "", "wrong", METRICS_TOKEN, f"{TOKEN}x", "ünïcode"])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/state"),
            ("POST", "/v1/config/check"),
            ("POST", "/v1/drain"),
            ("POST", "/v1/undrain"),
            ("GET", "/x"),
        ],
    )
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

    @pytest.mark.parametrize("path", ["/", "/v1", "/v1/state/", "/metrics?x", "/v1/drain"])
    def test_what_is_not_there_is_not_found(self, agent: Agent, path: str) -> None:
        assert agent.ask(path)[0] == 404

    def test_a_stranger_who_is_still_sending_hears_the_answer(self, agent: Agent) -> None:
        for _ in range(5):
            connection = agent.connect()
            connection.putrequest("POST", "/v1/drain")
            connection.putheader("Content-Length", "3000")
            connection.endheaders()
            connection.send(b"x" * 3000)
            time.sleep(0.05)
            assert connection.getresponse().read() == b"a bearer token is needed\n"
            connection.close()

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


EXECUTOR = {
    "MyType": "Machine",
    "Name": "slot1@demo-cpu-0.demo-cpu.physics.svc",
    "Machine": "demo-cpu-0.demo-cpu.physics.svc",
    "PartitionableSlot": True,
    "TotalSlotCpus": 2,
    "State": "Unclaimed",
}
POD = "demo-cpu-0"
OURS = {"Draining": True, "DrainReason": "condorpool: x", "DrainingRequestId": "1", "State": "Drained"}
FOREIGN = OURS | {"DrainReason": "by root"}
BUSY = {"ChildState": ["Claimed"], "ChildCpus": [1]}


class Startd:
    """An executor behind the agent's tools: condor_drain notes its arguments, and what it does shows in condor_status."""

    def __init__(self, agent: Agent, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.agent, self.notes, self.ad = agent, directory / "drains", directory / "ad.json"
        self.identity = directory / "identity"
        monkeypatch.setattr(draining, "SEEN_SECONDS", 0.3)
        monkeypatch.setattr(draining, "LOOK_SECONDS", 0.01)
        agent.condor_status(f"cat {self.ad}")
        self.is_({})
        self.drains()

    def is_(self, state: dict[str, Any]) -> None:
        """Let the collector say this."""
        self.ad.write_text(json.dumps([EXECUTOR | state], indent=0))

    def drains(self, then: dict[str, Any] | None = None, script: str = "exit 0") -> None:
        """Let condor_drain do this, after which the collector says that."""
        following = self.ad.with_name("then.json")
        following.write_text(json.dumps([EXECUTOR | (then or {})], indent=0))
        copy = f"cat {following} >{self.ad}" if then is not None else ""
        note = f'for one; do printf "%s\\n" "$one"; done >>{self.notes}; echo . >>{self.notes}'
        token = f"cat $_CONDOR_SEC_TOKEN_DIRECTORY/* >{self.identity}"
        self.agent.tool("condor_drain", f"{note}\n{token}\n{copy}\n{script}")

    def commands(self) -> list[list[str]]:
        """Return the arguments of every command but where the collector is, which is always the same."""
        text = self.notes.read_text() if self.notes.exists() else ""
        listed = [command.splitlines() for command in text.split("\n.\n")[:-1]]
        assert all(command[:2] == ["-pool", "127.0.0.1:9618"] for command in listed)
        return [command[2:] for command in listed]

    def ask(self, path: str, **order: Any) -> tuple[int, Any]:
        """Post an order, and return status and answer."""
        status, _, body = self.agent.ask(path, method="POST", body=json.dumps(order).encode())
        return status, json.loads(body) if status == 200 else body.decode()


@pytest.fixture
def startd(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Startd:
    return Startd(agent, tmp_path, monkeypatch)


SLOT = EXECUTOR["Name"]


class TestDrain:
    def test_lets_jobs_end_and_takes_no_more(self, startd: Startd) -> None:
        startd.drains(OURS, "echo '	Request id: 1'")
        assert startd.ask("/v1/drain", pod=POD, reason="it is; $(too) 'much'") == (200, {"drain": "ours"})
        what = ["-verbose", "-graceful", "-reason", "condorpool: it is; $(too) 'much'", SLOT]
        assert startd.commands() == [what]
        assert startd.identity.read_text() == "power"

    def test_is_told_anew_at_once(self, startd: Startd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collector, "FRESH_SECONDS", 60.0)
        assert json.loads(startd.agent.ask("/v1/state")[2])["executors"][POD]["drain"] is None
        startd.drains(OURS)
        startd.ask("/v1/drain", pod=POD, reason="x")
        assert json.loads(startd.agent.ask("/v1/state")[2])["executors"][POD]["drain"] == "ours"

    @pytest.mark.parametrize(
        ("state", "quick", "whose"),
        [(OURS, False, "ours"), (OURS | BUSY, False, "ours"), (OURS, True, "ours"), (FOREIGN | BUSY, True, "foreign")],
    )
    def test_of_one_that_drains_is_no_second_command(
        self, startd: Startd, state: dict[str, Any], quick: bool, whose: str
    ) -> None:
        startd.is_(state)
        assert startd.ask("/v1/drain", pod=POD, reason="x", quick=quick) == (200, {"drain": whose})
        assert startd.commands() == []

    def test_that_is_quick_evicts(self, startd: Startd) -> None:
        startd.drains(OURS)
        assert startd.ask("/v1/drain", pod=POD, reason="late", quick=True) == (200, {"drain": "ours"})
        assert startd.commands() == [["-verbose", "-quick", "-reason", "condorpool: late", SLOT]]

    def test_becomes_quick_by_another_in_its_place(self, startd: Startd) -> None:
        startd.is_(OURS | BUSY)
        startd.drains(OURS | {"DrainingRequestId": "2"}, "echo 'Request id: 2'")
        assert startd.ask("/v1/drain", pod=POD, reason="late", quick=True) == (200, {"drain": "ours"})
        quick = ["-verbose", "-quick", "-reason", "condorpool: late", SLOT]
        assert startd.commands() == [["-cancel", "-request-id", "1", SLOT], quick]

    def test_that_the_collector_does_not_show_yet_is_ours_by_its_answer(self, startd: Startd) -> None:
        assert startd.ask("/v1/drain", pod=POD, reason="x") == (200, {"drain": "ours"})

    @pytest.mark.parametrize(("then", "whose"), [(OURS, "ours"), (FOREIGN, "foreign")])
    def test_that_somebody_else_began_first_is_told_as_it_is(
        self, startd: Startd, then: dict[str, Any], whose: str
    ) -> None:
        startd.drains(then, "echo 'error code 10001: Draining already in progress.'; exit 1")
        assert startd.ask("/v1/drain", pod=POD, reason="x") == (200, {"drain": whose})

    def test_whose_owner_is_not_known_is_no_success(self, startd: Startd) -> None:
        startd.drains(None, "echo 'Draining already in progress.'; exit 1")
        assert startd.ask("/v1/drain", pod=POD, reason="x")[0] == 503

    def test_that_fails_is_told_without_what_the_tool_said(
        self, startd: Startd, capfd: pytest.CaptureFixture[str]
    ) -> None:
        startd.drains(None, "echo 'no way\033'; exit 1")
        status, text = startd.ask("/v1/drain", pod=POD, reason="x")
        assert (status, text) == (503, f"{POD} could not be drained: condor_drain ended with 1\n")
        assert r"'no way\x1b\n'" in capfd.readouterr().err

    def test_that_hangs_is_ended(self, startd: Startd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(draining, "COMMAND_SECONDS", 0.3)
        startd.drains(None, "exec sleep 60")
        began = time.monotonic()
        assert startd.ask("/v1/drain", pod=POD, reason="x") == (503, f"{SLOT} did not answer in 0.3 s\n")
        assert time.monotonic() - began < 10

    def test_goes_on_beside_others_but_one_at_a_time_for_an_executor(self, startd: Startd, tmp_path: Path) -> None:
        go = tmp_path / "go"
        startd.drains(OURS, f"until [ -e {go} ]; do sleep 0.02; done")
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(startd.ask("/v1/drain", pod=POD, reason="x")))
        thread.start()
        deadline = time.monotonic() + 10
        while not startd.commands() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert startd.ask("/v1/undrain", pod=POD) == (503, f"{POD} is being commanded already\n")
        assert startd.ask("/v1/undrain", pod="demo-cpu-1")[0] == 404
        go.touch()
        thread.join(10)
        assert first == [(200, {"drain": "ours"})]

    def test_without_an_identity_is_unavailable(self, startd: Startd) -> None:
        (startd.agent.files / "drain-token").unlink()
        assert startd.ask("/v1/drain", pod=POD, reason="x") == (503, "the agent has no identity to drain with\n")

    def test_of_a_silent_collector_is_unavailable(self, startd: Startd) -> None:
        startd.agent.condor_status("exit 1")
        assert startd.ask("/v1/drain", pod=POD, reason="x")[0] == 503
        assert startd.commands() == []

    @pytest.mark.parametrize(
        "order",
        [
            {"pod": POD},
            {"reason": "x"},
            {"pod": POD, "reason": ""},
            {"pod": POD, "reason": "a\nb"},
            {"pod": POD, "reason": "x" * 201},
            {"pod": POD, "reason": "ü"},
            {"pod": POD, "reason": 1},
            {"pod": POD, "reason": "x", "quick": "yes"},
            {"pod": POD, "reason": "x", "quick": 1},
            {"pod": POD, "reason": "x", "more": 1},
            {"pod": "-cancel", "reason": "x"},
            {"pod": "demo-cpu-0.demo-cpu", "reason": "x"},
            {"pod": f"{POD}\n", "reason": "x"},
            {"pod": "", "reason": "x"},
            {"pod": "a" * 64, "reason": "x"},
            {"pod": [POD], "reason": "x"},
        ],
    )
    def test_what_is_no_order_is_told_so(self, startd: Startd, order: dict[str, Any]) -> None:
        assert startd.ask("/v1/drain", **order)[0] == 400
        assert startd.commands() == []

    @pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'"x"'])
    @pytest.mark.parametrize("path", ["/v1/drain", "/v1/undrain"])
    def test_a_body_that_is_none_is_told_so(self, startd: Startd, path: str, body: bytes) -> None:
        assert startd.agent.ask(path, method="POST", body=body)[0] == 400

    def test_an_executor_that_nobody_knows_is_refused(self, startd: Startd) -> None:
        assert startd.ask("/v1/drain", pod="demo-cpu-1", reason="x")[0] == 404
        assert startd.ask("/v1/undrain", pod="demo-cpu-1")[0] == 404
        assert startd.commands() == []

    @pytest.mark.parametrize("name", ["-cancel", "slot1", "slot1@-x", "slot1@a b", "slot1@a\n"])
    def test_an_executor_that_calls_itself_something_else_is_refused(self, startd: Startd, name: str) -> None:
        startd.is_({"Name": name})
        assert startd.ask("/v1/drain", pod=POD, reason="x")[0] == 404

    def test_a_body_is_bounded(self, startd: Startd) -> None:
        too_long = {"Content-Length": str(draining.MOST_BYTES + 1)}
        assert startd.agent.ask("/v1/drain", method="POST", headers=too_long)[0] == 413


class TestUndrain:
    def test_ends_this_very_drain(self, startd: Startd) -> None:
        startd.is_(OURS | BUSY)
        startd.drains({})
        assert startd.ask("/v1/undrain", pod=POD) == (200, {"drain": None})
        assert startd.commands() == [["-cancel", "-request-id", "1", SLOT]]
        assert startd.identity.read_text() == "power"

    def test_of_one_that_does_not_drain_is_done(self, startd: Startd) -> None:
        assert startd.ask("/v1/undrain", pod=POD) == (200, {"drain": None})
        assert startd.commands() == []

    def test_leaves_somebody_elses_alone(self, startd: Startd) -> None:
        startd.is_(FOREIGN)
        assert startd.ask("/v1/undrain", pod=POD) == (409, f"{POD} is drained by somebody else\n")
        assert startd.commands() == []

    def test_that_fails_is_unavailable(self, startd: Startd) -> None:
        startd.is_(OURS)
        startd.drains(None, "echo 'No matching draining request id 1.'; exit 1")
        assert startd.ask("/v1/undrain", pod=POD)[0] == 503

    @pytest.mark.parametrize("order", [{}, {"pod": "A"}, {"pod": POD, "reason": "x"}])
    def test_what_is_no_order_is_told_so(self, startd: Startd, order: dict[str, Any]) -> None:
        assert startd.ask("/v1/undrain", **order)[0] == 400


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

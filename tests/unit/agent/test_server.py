"""The interface over real TLS: who gets in, what they get, what happens when something behind it is missing."""

import errno
import json
import socket
import stat
import time
from pathlib import Path

import pytest

from condorpool_agent import checking, collector
from condorpool_agent.server import MOST_CONNECTIONS
from condorpool_operator.minting import new_certificate

from .listening import METRICS_TOKEN, RECORDED, TOKEN, Agent


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

    def test_a_copy_of_the_identity_that_failed_is_made_at_the_next_call(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as full:

            def write(_: Path, _content: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            full.setattr(Path, "write_bytes", write)
            assert agent.ask("/v1/state")[0] == 503
        assert agent.ask("/v1/state")[0] == 200
        assert (agent.private / "idtoken" / "idtoken").read_text() == "identity"


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

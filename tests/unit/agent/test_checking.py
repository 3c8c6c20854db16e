"""A configuration to check is passed on to pool-init, and what that says is passed back."""

import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from condorpool_agent import checking

from .listening import Agent

REQUEST = json.dumps({"role": "manager", "files": {"50-00-knobs-a.conf": "X = 1\n"}}).encode()


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

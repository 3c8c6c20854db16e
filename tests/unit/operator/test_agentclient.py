"""The client and the agent speak the same language, over real TLS."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from condorpool_agent.collector import Collector, UnavailableError
from condorpool_agent.credentials import DRAIN_FILE, Credentials
from condorpool_agent.draining import Drainer
from condorpool_agent.server import Interface, Server
from condorpool_agent.state import build_state
from condorpool_operator import agentclient
from condorpool_operator.agentclient import AgentClient, AgentError, ConfigFinding, Target, read_state
from condorpool_operator.minting import new_certificate
from condorpool_operator.seen import Executor, Jobs, Slots, State

RECORDED = Path(__file__).parents[1] / "agent" / "recorded" / "pool.json"


class Recorded(Collector):
    """A collector that says what was recorded, a moment after it was."""

    def __init__(self) -> None:
        super().__init__("", dict)
        self.silent = False
        self.more: dict[str, Any] = {}
        """What the ad of a third executor says, if there is one."""

    def executor(self, pod: str) -> Mapping[str, Any] | None:
        executors: Mapping[str, Mapping[str, Any]] = self.state()["executors"]
        return executors.get(pod)

    def state(self) -> dict[str, Any]:
        if self.silent:
            raise UnavailableError("no")
        ads = json.loads(RECORDED.read_text())
        now = max(ad["LastHeardFrom"] for ad in ads)
        third = {"MyType": "Machine", "Machine": "demo-cpu-2.x", "Name": "slot1@demo-cpu-2.x", "LastHeardFrom": now}
        return build_state([*ads, third | self.more] if self.more else ads, now)


class TestClient:
    @pytest.fixture
    def agent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Recorded, Target]]:
        certificate, key = new_certificate("127.0.0.1")
        files = {"tls.crt": certificate, "tls.key": key, "token": b"t", "metrics-token": b"m"}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        credentials, collector = Credentials(tmp_path, tmp_path / "private"), Recorded()
        drainer = Drainer(collector, "", partial(credentials.environment, DRAIN_FILE))
        interface = Interface(credentials, collector, drainer, tmp_path / "check.sock")
        server = Server(("127.0.0.1", 0), interface, credentials)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(agentclient, "AGENT_PORT", server.server_address[1])
        yield collector, Target.of("127.0.0.1", certificate, b"t")
        server.shutdown()
        server.server_close()

    async def test_reads_what_the_agent_says(self, agent: tuple[Recorded, Target]) -> None:
        client = AgentClient()
        state, tag = await client.ask(agent[1], "")
        assert state == State(
            {"cpu": Slots(6, 6, 2)},
            Jobs(0, 6, 2),
            frozenset({"demo-manager", "demo-submitter-0", "demo-cpu-0", "demo-cpu-1"}),
            executors={
                "demo-cpu-0": Executor(4, host="172.20.0.4"),
                "demo-cpu-1": Executor(2, host="172.20.0.5"),
            },
        )
        assert await client.ask(agent[1], tag) == (None, tag)
        await client.close()

    async def test_tells_a_stranger_nothing(self, agent: tuple[Recorded, Target]) -> None:
        certificate, _ = new_certificate("127.0.0.1")
        client = AgentClient()
        with pytest.raises(AgentError, match="Fingerprint"):
            await client.ask(Target.of("127.0.0.1", certificate, b"t"), "")
        await client.close()

    @pytest.mark.parametrize(("token", "silent", "message"), [("x", False, "401"), ("t", True, "503")])
    async def test_takes_a_refusal_for_silence(
        self, agent: tuple[Recorded, Target], token: str, silent: bool, message: str
    ) -> None:
        agent[0].silent = silent
        client = AgentClient()
        with pytest.raises(AgentError, match=message):
            await client.ask(Target(agent[1].host, agent[1].fingerprint, token), "")
        await client.close()

    async def test_has_a_configuration_judged_by_the_checker_behind_the_agent(
        self, agent: tuple[Recorded, Target], tmp_path: Path
    ) -> None:
        found = {"file": "50-00-a-b", "line": 3, "knob": "START", "message": "must be an expression"}
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "check.sock"))
            listening.listen()
            asked: list[object] = []

            def answer() -> None:
                connection, _ = listening.accept()
                with connection, connection.makefile("rwb") as stream:
                    asked.append(json.loads(stream.read()))
                    stream.write(json.dumps({"findings": [found]}).encode())

            checker = threading.Thread(target=answer, daemon=True)
            checker.start()
            client = AgentClient()
            findings = await client.check(agent[1], "executor", {"50-00-a-b": "START = (((\n"})
            await client.close()
            checker.join()
        assert findings == [ConfigFinding("50-00-a-b", 3, "START", "must be an expression")]
        assert asked == [{"role": "executor", "files": {"50-00-a-b": "START = (((\n"}}]

    async def test_orders_drains_and_their_end(self, agent: tuple[Recorded, Target]) -> None:
        client, (collector, target) = AgentClient(), agent
        ours = {"Draining": True, "DrainReason": "condorpool: x", "LastDrainStartTime": 1700, "State": "Drained"}
        collector.more = ours
        await client.drain(target, "demo-cpu-2", "scale-in")
        await client.drain(target, "demo-cpu-2", "scale-in", quick=True)
        state, _ = await client.ask(target, "")
        assert state is not None
        drained = Executor(0, "ours", drained=True, drain_since=1700, drain_reason="x")
        assert state.executors["demo-cpu-2"] == drained
        collector.more = ours | {"DrainReason": "by root"}
        await client.drain(target, "demo-cpu-2", "scale-in")
        with pytest.raises(AgentError, match=r"^status 409: demo-cpu-2 is drained by somebody else$"):
            await client.undrain(target, "demo-cpu-2")
        collector.more = {"State": "Unclaimed"}
        await client.undrain(target, "demo-cpu-2")
        await client.close()

    @pytest.mark.parametrize(
        ("pod", "reason", "message"),
        [
            ("demo-cpu-9", "x", "^status 404: the collector knows no executor demo-cpu-9$"),
            ("demo-cpu-0", "a\nb", "^status 400: JSON is needed: "),
            ("demo-cpu-0", "x", "^status 503: the agent has no identity to drain with$"),
        ],
    )
    async def test_tells_that_a_drain_was_not_begun(
        self, agent: tuple[Recorded, Target], pod: str, reason: str, message: str
    ) -> None:
        client = AgentClient()
        with pytest.raises(AgentError, match=message):
            await client.drain(agent[1], pod, reason)
        await client.close()

    async def test_orders_that_hang_keep_nobody_from_looking_and_waiting_for_a_place_costs_no_time(
        self, agent: tuple[Recorded, Target], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agentclient, "REQUEST_SECONDS", 2.0)
        client, (collector, target), port = AgentClient(), agent, vars(agentclient)["AGENT_PORT"]
        collector.more = {"Draining": True, "DrainReason": "condorpool: x", "State": "Drained"}
        with socket.create_server(("127.0.0.2", port)):  # accepts, and never says a word
            hanging = Target("127.0.0.2", target.fingerprint, target.token)
            orders = [
                asyncio.create_task(client.undrain(hanging, f"d-{number}"))
                for number in range(agentclient.MOST_CONNECTIONS)
            ]
            await asyncio.sleep(0)
            waiting = asyncio.create_task(client.drain(target, "demo-cpu-2", "x"))
            state, _ = await client.ask(target, "")
            assert state is not None
            assert not any(one.done() for one in orders), "the answer came after the orders were over"
            assert not waiting.done()
            for failed in await asyncio.gather(*orders, return_exceptions=True):
                assert isinstance(failed, AgentError)
            await waiting
        await client.close()

    async def test_takes_an_absent_checker_for_silence(self, agent: tuple[Recorded, Target]) -> None:
        client = AgentClient()
        with pytest.raises(AgentError, match="503"):
            await client.check(agent[1], "executor", {})
        await client.close()

    @pytest.mark.parametrize("host", ["127.0.0.1", "demo-manager.physics.svc.cluster.local"])
    async def test_takes_nobody_and_an_unknown_name_for_silence(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        monkeypatch.setattr(agentclient, "AGENT_PORT", 9)
        client = AgentClient()
        with pytest.raises(AgentError):
            await client.ask(Target(host, b"f" * 32, "t"), "")
        await client.close()


def test_an_agent_from_before_drains_tells_of_none() -> None:
    startd = {"stale": False, "claimed": 2, "address": "<10.0.0.7:9618?addrs=10.0.0.7-9618>"}
    said = {
        "executors": {"d-0": startd, "d-1": startd | {"stale": True}},
        "daemons": [],
        "groups": {},
        "jobs": {"idle": 0, "running": 0, "held": 0},
    }
    found = read_state(json.dumps(said).encode())
    assert found.executors == {"d-0": Executor(2, host="10.0.0.7")}
    assert not found.drains


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", ""), (b"\n", ""), (b"no\x1b[1m way\nmore\n", ": no[1m way"), (b"\xff", ": \ufffd")],
)
def test_of_a_refusal_one_printable_line_is_told(body: bytes, words: str) -> None:
    assert agentclient._words(body) == words


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"executors": {}, "daemons": [], "groups": {"a": 1}, "jobs": {}}']
)
def test_what_is_no_state_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_state(body)


def test_a_target_hides_its_token() -> None:
    assert "secret" not in repr(Target("h", b"f", "secret"))

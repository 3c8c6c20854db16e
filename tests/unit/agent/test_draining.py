"""Orders to drain an executor: what is commanded, whose drain it is then, and what is refused."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from condorpool_agent import collector, draining

from .listening import Agent

EXECUTOR = {
    "MyType": "Machine",
    "Name": "slot1@demo-cpu-0.demo-cpu.physics.svc",
    "Machine": "demo-cpu-0.demo-cpu.physics.svc",
    "PartitionableSlot": True,
    "TotalSlotCpus": 2,
    "State": "Unclaimed",
}
SLOT = EXECUTOR["Name"]
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

    def test_asks_for_nobody_else(self, startd: Startd, tmp_path: Path) -> None:
        """Or draining an executor would cost more with every other one."""
        startd.drains(OURS, "echo 'Request id: 1'")
        asked = tmp_path / "asked"
        startd.agent.condor_status(f'for one; do echo "$one"; done >>{asked}; echo . >>{asked}; cat {startd.ad}')
        assert startd.ask("/v1/drain", pod=POD, reason="x")[0] == 200
        questions = asked.read_text().split("\n.\n")[:-1]
        assert len(questions) == 2
        assert all(f'MyType == "Machine" && regexp("^{POD}([.]|$)", Machine)' in one for one in questions)
        assert startd.agent.collector.health().queries == 0

    @pytest.mark.parametrize(
        ("state", "quick", "whose"),
        [
            (OURS, False, "ours"),
            (OURS | BUSY, False, "ours"),
            (OURS, True, "ours"),
            (OURS | {"DrainReason": "condorpool: y"}, False, "ours"),
            (FOREIGN | BUSY, True, "foreign"),
            (FOREIGN | BUSY, False, "foreign"),
        ],
    )
    def test_of_one_that_drains_is_no_second_command(
        self, startd: Startd, state: dict[str, Any], quick: bool, whose: str
    ) -> None:
        startd.is_(state)
        assert startd.ask("/v1/drain", pod=POD, reason="x", quick=quick) == (200, {"drain": whose})
        assert startd.commands() == []

    def test_becomes_quick_by_another_in_its_place(self, startd: Startd) -> None:
        startd.is_(OURS | BUSY)
        startd.drains(OURS | {"DrainingRequestId": "2"}, "echo 'Request id: 2'")
        assert startd.ask("/v1/drain", pod=POD, reason="x", quick=True) == (200, {"drain": "ours"})
        quick = ["-verbose", "-quick", "-reason", "condorpool: x", SLOT]
        assert startd.commands() == [["-cancel", "-request-id", "1", SLOT], quick]

    @pytest.mark.parametrize("quick", [False, True])
    def test_for_another_reason_begins_anew_and_evicts_nobody(self, startd: Startd, quick: bool) -> None:
        startd.is_(OURS | BUSY)
        startd.drains(OURS | {"DrainingRequestId": "2", "DrainReason": "condorpool: y"}, "echo 'Request id: 2'")
        assert startd.ask("/v1/drain", pod=POD, reason="y", quick=quick) == (200, {"drain": "ours"})
        graceful = ["-verbose", "-graceful", "-reason", "condorpool: y", SLOT]
        assert startd.commands() == [["-cancel", "-request-id", "1", SLOT], graceful]

    def test_is_not_quick_where_there_was_none(self, startd: Startd) -> None:
        startd.is_(BUSY)
        startd.drains(OURS)
        assert startd.ask("/v1/drain", pod=POD, reason="x", quick=True) == (200, {"drain": "ours"})
        assert startd.commands() == [["-verbose", "-graceful", "-reason", "condorpool: x", SLOT]]

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

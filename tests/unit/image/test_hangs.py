import signal
from collections.abc import Callable, Iterator

import pytest
from pool_init.hangs import EVICTION, FIRST, PATIENCE, PERIOD, TRIES, HangWatch
from pool_init.loop import Loop
from pool_init.processes import TIME_OVER

MASTER_PID, STARTD_PID, STARTER_PID = 8, 11, 20
WITHIN = PERIOD + TRIES * (PATIENCE + 1) + 2 * EVICTION + 1


class Container:
    """The processes of a container; a daemon that hangs lets a question run into its limit."""

    def __init__(self, role: str, daemons: dict[int, str]) -> None:
        self.now = 0.0
        self.loop = Loop(failed=_fail, clock=lambda: self.now)
        self.children = {MASTER_PID: daemons, STARTD_PID: {}}
        self.hanging: set[str] = set()
        self.wanted = True
        self.killed: list[tuple[float, int, int]] = []
        self.said: list[str] = []
        self.watch = HangWatch(
            self.loop,
            role,
            MASTER_PID,
            self._ask,
            lambda: self.wanted,
            self.said.append,
            find=lambda parent: dict(self.children.get(parent, {})),
            kill=lambda pid, number: self.killed.append((self.now, pid, number)),
        )
        self.watch.start()

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.loop.fire_due()

    def _ask(self, daemon: str, ended: Callable[[int], None]) -> None:
        hangs = daemon in self.hanging
        self.loop.later(PATIENCE if hangs else 0.0, lambda: ended(TIME_OVER if hangs else 0))


def _fail(error: OSError) -> None:
    raise error


@pytest.fixture
def executor() -> Iterator[Container]:
    executor = Container("executor", {9: "condor_procd", STARTD_PID: "condor_startd"})
    yield executor
    executor.loop.close()


def test_daemons_that_answer_live(executor: Container) -> None:
    executor.pass_time(20 * PERIOD)
    assert (executor.killed, executor.said) == ([], [])


def test_a_startd_that_hangs_is_killed_within_two_minutes(executor: Container) -> None:
    executor.pass_time(FIRST + 5)
    executor.hanging = {"STARTD"}
    executor.pass_time(WITHIN)
    assert [(pid, number) for _, pid, number in executor.killed] == [(STARTD_PID, signal.SIGKILL)]
    assert WITHIN + 11 < 120, "condor_master waits ten seconds before it starts another"
    assert executor.said == ["STARTD (pid 11) hangs: it is killed to be started again"]


def test_jobs_go_back_to_the_queue_before_their_startd_ends(executor: Container) -> None:
    executor.children[STARTD_PID] = {STARTER_PID: "condor_starter", 21: "sh"}
    executor.pass_time(FIRST + 5)
    executor.hanging = {"STARTD"}
    executor.pass_time(WITHIN)
    assert [(pid, number) for _, pid, number in executor.killed] == [
        (STARTER_PID, signal.SIGQUIT),
        (MASTER_PID, signal.SIGSTOP),
        (STARTD_PID, signal.SIGKILL),
        (MASTER_PID, signal.SIGCONT),
    ]
    moments = [moment for moment, *_ in executor.killed]
    assert [moment - moments[0] for moment in moments] == pytest.approx([0, EVICTION, EVICTION, 2 * EVICTION], abs=0.5)
    assert "its 1 jobs go back to the queue" in executor.said[0]


def test_a_master_that_hangs_is_killed_and_the_container_starts_again(executor: Container) -> None:
    executor.children[STARTD_PID] = {STARTER_PID: "condor_starter"}
    executor.pass_time(FIRST + 5)
    executor.hanging = {"MASTER"}
    executor.pass_time(WITHIN)
    expected = [(STARTER_PID, signal.SIGQUIT), (MASTER_PID, signal.SIGKILL)]
    assert [(pid, number) for _, pid, number in executor.killed] == expected


def test_a_machine_too_busy_for_any_answer_kills_nobody(executor: Container) -> None:
    executor.pass_time(FIRST + 5)
    executor.hanging = {"STARTD", "MASTER"}
    executor.pass_time(600)
    assert executor.killed == []


def test_two_silences_are_forgiven(executor: Container) -> None:
    executor.pass_time(FIRST + PERIOD - 1)
    executor.hanging = {"STARTD"}
    executor.pass_time(1 + (TRIES - 1) * (PATIENCE + 1))
    executor.hanging = set()
    executor.pass_time(600)
    assert executor.killed == []


def test_a_daemon_that_has_not_answered_yet_is_given_its_time(executor: Container) -> None:
    executor.hanging = {"STARTD"}
    executor.pass_time(600)
    assert executor.killed == []


def test_a_successor_counts_for_itself(executor: Container) -> None:
    executor.pass_time(FIRST + 5)
    executor.hanging = {"STARTD"}
    executor.pass_time(PERIOD + PATIENCE)
    executor.children[MASTER_PID] = {30: "condor_startd"}
    executor.pass_time(600)
    assert executor.killed == []


def test_a_draining_executor_is_never_restarted(executor: Container) -> None:
    executor.children[STARTD_PID] = {STARTER_PID: "condor_starter"}
    executor.pass_time(FIRST + 5)
    executor.hanging = {"STARTD"}
    executor.wanted = False
    executor.pass_time(600)
    assert executor.killed == []


def test_a_drain_that_begins_after_the_verdict_spares_the_startd(executor: Container) -> None:
    executor.children[STARTD_PID] = {STARTER_PID: "condor_starter"}
    executor.pass_time(FIRST + 5)
    executor.hanging = {"STARTD"}
    while not executor.killed:
        executor.pass_time(0.5)
    executor.wanted = False
    executor.pass_time(600)
    assert [pid for _, pid, _ in executor.killed] == [STARTER_PID]


def test_a_daemon_that_is_gone_is_the_masters_affair(executor: Container) -> None:
    executor.children[MASTER_PID] = {}
    executor.pass_time(600)
    assert executor.killed == []


def test_who_is_silent_because_of_another_is_spared() -> None:
    manager = Container("manager", {9: "condor_procd", 11: "condor_collecto", 12: "condor_negotiat"})
    manager.pass_time(FIRST + 5)
    manager.hanging = {"COLLECTOR", "NEGOTIATOR"}
    manager.pass_time(WITHIN)
    assert [pid for _, pid, _ in manager.killed] == [11]
    manager.children[MASTER_PID] = {12: "condor_negotiat", 13: "condor_collecto"}
    manager.hanging = set()
    manager.pass_time(600)
    assert [pid for _, pid, _ in manager.killed] == [11]
    manager.loop.close()

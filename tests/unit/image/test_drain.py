import signal

from pool_init.drain import KILL_AFTER, LINGER, Shutdown


def test_jobs_may_finish_until_the_deadline() -> None:
    shutdown = Shutdown(drain_seconds=100)
    assert shutdown.terminate(now=10, starters=2) == [signal.SIGTERM]
    assert shutdown.due(109.9) == []
    assert shutdown.due(110) == [signal.SIGQUIT]
    assert shutdown.due(111) == []


def test_a_master_that_ignores_sigquit_is_killed_once() -> None:
    shutdown = Shutdown(drain_seconds=0)
    shutdown.terminate(now=0, starters=0)
    assert shutdown.due(0) == [signal.SIGQUIT]
    assert shutdown.due(KILL_AFTER - 1) == []
    assert shutdown.due(KILL_AFTER) == [signal.SIGKILL]
    assert shutdown.due(KILL_AFTER + 1) == []


def test_a_second_sigterm_changes_nothing() -> None:
    shutdown = Shutdown(drain_seconds=100)
    shutdown.terminate(now=0, starters=1)
    assert shutdown.terminate(now=90, starters=0) == []
    assert shutdown.due(100) == [signal.SIGQUIT]
    assert shutdown.linger() == LINGER


def test_no_deadline_of_its_own_outside_executors() -> None:
    shutdown = Shutdown(drain_seconds=None)
    assert shutdown.terminate(now=0, starters=0) == [signal.SIGTERM]
    assert shutdown.due(1e9) == []


def test_sigquit_comes_before_the_deadline() -> None:
    shutdown = Shutdown(drain_seconds=100)
    shutdown.terminate(now=0, starters=1)
    assert shutdown.hurry(now=5) == [signal.SIGQUIT]
    assert shutdown.due(100) == [signal.SIGKILL]


def test_an_idle_executor_does_not_linger() -> None:
    shutdown = Shutdown(drain_seconds=100)
    shutdown.terminate(now=0, starters=0)
    assert shutdown.linger() == 0

"""The graph of steps."""

import threading

import pytest

from devcluster.plan import Step, check, execute
from devcluster.progress import Progress


def test_order_follows_needs() -> None:
    order: list[str] = []
    steps = [
        Step("a", lambda: order.append("a")),
        Step("b", lambda: order.append("b"), ("a",)),
        Step("c", lambda: order.append("c"), ("b", "a")),
    ]
    execute(steps, Progress())
    assert order == ["a", "b", "c"]


def test_independent_steps_run_side_by_side() -> None:
    together = threading.Barrier(2, timeout=5)
    execute([Step("a", together.wait), Step("b", together.wait)], Progress())


def test_the_width_bounds_what_runs_at_once() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1

    execute([Step(str(number), work) for number in range(6)], Progress(), width=2)
    assert most[0] <= 2


def test_a_failure_starts_nothing_new_and_is_raised() -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError("disk full")

    steps = [Step("a", fail), Step("b", lambda: done.append("b"), ("a",)), Step("c", lambda: done.append("c"), ("b",))]
    with pytest.raises(OSError, match="disk full"):
        execute(steps, Progress())
    assert done == []


@pytest.mark.parametrize(
    "steps",
    [
        [Step("a", int), Step("a", int)],
        [Step("a", int, ("b",))],
        [Step("a", int, ("b",)), Step("b", int, ("a",))],
        [Step("a", int, ("a",))],
    ],
)
def test_a_wrong_plan_is_refused(steps: list[Step]) -> None:
    with pytest.raises(ValueError, match="step 'a'"):
        check(steps)

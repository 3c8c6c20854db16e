"""A plan is a small graph of steps; independent ones run side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from devcluster.progress import Progress


@dataclass(frozen=True)
class Step:
    """One announced piece of work and the names of the steps that must be done before it."""

    name: str
    action: Callable[[], object]
    needs: tuple[str, ...] = ()


def check(steps: Sequence[Step]) -> None:
    """Raise ValueError for a name used twice, an unknown need, or a need that is listed later (so no cycle can be)."""
    known: set[str] = set()
    for step in steps:
        if step.name in known:
            raise ValueError(f"step {step.name!r} appears twice")
        if missing := set(step.needs) - known:
            raise ValueError(f"step {step.name!r} needs {sorted(missing)}, which no earlier step provides")
        known.add(step.name)


def execute(steps: Sequence[Step], progress: Progress, *, width: int = 4) -> None:
    """Run all steps, at most ``width`` at a time, in order of the list where several are possible.

    After a failure nothing new is started; what runs is awaited and the first failure is raised.
    """
    check(steps)

    def perform(step: Step) -> None:
        with progress.step(step.name):
            step.action()

    waiting, done, failures = list(steps), set[str](), list[BaseException]()
    running: dict[Future[None], Step] = {}
    with ThreadPoolExecutor(max_workers=width) as pool:
        while running or (waiting and not failures):
            ready = [step for step in waiting if done.issuperset(step.needs)] if not failures else []
            for step in ready[: width - len(running)]:
                waiting.remove(step)
                running[pool.submit(perform, step)] = step
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                if (failure := future.exception()) is not None:
                    failures.append(failure)
                else:
                    done.add(step.name)
    if failures:
        raise failures[0]

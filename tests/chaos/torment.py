"""Those who do the faults, one at a time each, and write them down before they begin."""

import dataclasses
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.support.kubectl import KubectlError
from tests.e2e.support.waiting import NotYetError, wait_for

from .acts import Act, Maker, Scene
from .history import Fault
from .plan import Planned, plan

UNDO_SECONDS = 120.0
TROUBLE = (KubectlError, AssertionError, NotYetError, subprocess.SubprocessError, OSError)
"""What comes of asking a cluster whose parts are away."""


class NotUndoneError(Exception):
    """What was done could not be undone: the run ends."""


class Record:
    """The list of faults, in memory and in a file: a line when one begins and another when it has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}

    def begin(self, kind: str, act: Act) -> Fault:
        """Write a fault down that is about to be done; it has not ended."""
        with self._lock:
            number = len(self._faults) + 1
            fault = Fault(
                *(number, kind, act.key, time.time(), float("inf")),
                *(act.victims, act.grace, act.lasting, act.reports),
            )
            self._put(fault)
            return fault

    def end(self, fault: Fault, failed: str) -> None:
        """Write down that a fault is undone, and what of it failed."""
        with self._lock:
            self._put(dataclasses.replace(fault, ended=time.time(), failed=failed))

    def faults(self) -> list[Fault]:
        """Return all of them, in the order of their beginnings."""
        with self._lock:
            return list(self._faults.values())

    def _put(self, fault: Fault) -> None:
        self._faults[fault.number] = fault
        with self._path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(fault)) + "\n")


def read_faults(path: Path) -> list[Fault]:
    """Return the faults of a file."""
    found: dict[int, Fault] = {}
    for line in path.read_text().splitlines():
        said = json.loads(line)
        found[said["number"]] = Fault(**{**said, "victims": tuple(said["victims"])})
    return list(found.values())


class Tormentor(threading.Thread):
    """Does one planned fault after the other until it is told to stop; then what it has done is undone."""

    def __init__(self, scene: Scene, makers: Mapping[str, Maker], faults: Iterator[Planned], record: Record) -> None:
        super().__init__(daemon=True)
        self._scene, self._makers, self._faults, self._record = scene, makers, faults, record
        self.stopping = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Go on until told to stop, or until something cannot be undone."""
        try:
            for planned in self._faults:
                if self.stopping.wait(planned.gap):
                    return
                self._do(planned)
        except Exception as error:  # noqa: BLE001, told to the main thread, which ends the run
            self.error = error

    def _do(self, planned: Planned) -> None:
        try:
            act = self._makers[planned.kind](planned.pick)
            with self._scene.alone(act.key):
                self._perform(planned, act)
        except NotYetError:
            return  # nothing to do it to
        except TROUBLE as error:
            self._record.end(self._record.begin(planned.kind, Act("unknown", lambda: None)), str(error)[:300])

    def _perform(self, planned: Planned, act: Act) -> None:
        fault = self._record.begin(planned.kind, act)
        failed = ""
        try:
            act.do()
        except TROUBLE as error:
            failed = str(error)[:300] or type(error).__name__
        if act.undo is not None:
            self.stopping.wait(planned.hold)
            try:
                wait_for(f"{planned.kind} of {act.key} to be undone", lambda: _again(act.undo), UNDO_SECONDS)
            except AssertionError as error:
                raise NotUndoneError(str(error)) from error
        self._record.end(fault, failed)


def _again(undo: Callable[[], object] | None) -> None:
    try:
        if undo is not None:
            undo()
    except TROUBLE as error:
        raise NotYetError(str(error)) from error


@contextmanager
def torment(
    scene: Scene, makers: Mapping[str, Maker], seed: int, weights: Mapping[str, int], count: int, record: Record
) -> Iterator[list[Tormentor]]:
    """Let so many tormentors do faults of these kinds meanwhile; all is undone at the end. The first error of theirs is raised."""
    found = [Tormentor(scene, makers, plan(seed, number, weights), record) for number in range(count)]
    for one in found:
        one.start()
    try:
        yield found
    finally:
        for one in found:
            one.stopping.set()
        for one in found:
            one.join()
    for one in found:
        if one.error is not None:
            raise one.error

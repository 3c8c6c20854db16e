import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pool_init.loop import Loop
from pool_init.lost import DOUBT, NOTE_LIFE, PERIOD, LostWatch, parse_ends, parse_queue, parse_successors

ROOT = Path(__file__).parents[3]
SHADOW = ROOT / "images/htcondor/rootfs/usr/lib/condorpool/shadow"
NOW = 1_800_000_000
CLAIM = f"<10.0.0.1:9618?addrs=10.0.0.1-9618&alias=p-cpu-0.p-cpu&sock=startd_13_7ed2>#{NOW - 500}#2#..."
CALLING = b"2027-01-15T08:00:00+0000 (7.1) (2532): Trying to reconnect to disconnected job"
DEAD = f"gone 10.0.0.1 {NOW - 501} {NOW - 10} p-cpu-0 uid\n"


def queued(started: object = NOW - 400, claim: object = CLAIM, proc: int = 1) -> str:
    """Return what condor_q prints of a job, as HTCondor's writer of JSON puts it."""
    ad = {"ClusterId": 7, "JobCurrentStartDate": started, "ProcId": proc, "PublicClaimId": claim}
    return f"[\n{json.dumps(ad, indent=2)}\n]\n"


class Submitter:
    """A schedd with one disconnected job, 7.1, and what pool-init does about it."""

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.ends = directory / "ends"
        self.notes = directory / "notes"
        self.queue = queued()
        self.startds = ""
        self.process = "condor_shadow"
        self.killed: list[tuple[int, int]] = []
        self.said: list[str] = []
        self.asked: list[str] = []
        self.loop = Loop(failed=_fail, clock=lambda: self.now)
        self.watch = LostWatch(
            self.loop,
            self._run,
            str(self.ends),
            str(self.notes),
            self.said.append,
            clock=lambda: NOW + self.now,
            kill=lambda pid, number: self.killed.append((pid, number)),
            name_of=lambda _: self.process,
        )
        self.watch.start()

    def _run(self, argv: Sequence[str], finished: Callable[[int, str], None]) -> None:
        self.asked.append(argv[0])
        text = self.queue if argv[0] == "condor_q" else self.startds
        self.loop.later(0.1, lambda: finished(0, text))

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            self.loop.fire_due()


def _fail(error: OSError) -> None:
    raise error


@pytest.fixture
def submitter(tmp_path: Path) -> Submitter:
    return Submitter(tmp_path)


def test_nothing_is_asked_while_no_shadow_calls(submitter: Submitter) -> None:
    submitter.ends.write_text(DEAD)
    assert submitter.watch.note(b"(7.1) (2532): File transfer completed successfully.").startswith(b"(7.1)")
    submitter.pass_time(60)
    assert submitter.asked == []


def test_the_job_of_a_dead_claim_goes_back_to_the_queue_once(submitter: Submitter) -> None:
    assert submitter.watch.note(CALLING) == CALLING
    submitter.pass_time(5)
    assert submitter.killed == []
    submitter.ends.write_text(DEAD)
    submitter.pass_time(2)
    assert submitter.killed == [(2532, signal.SIGKILL)]
    assert (submitter.notes / "7.1").read_text() == CLAIM.removesuffix("...")
    assert submitter.said == [
        f"job 7.1 goes back to the queue: Kubernetes says that its executor is gone (10.0.0.1, startd of {NOW - 500})"
    ]
    submitter.pass_time(NOTE_LIFE + 60)
    assert len(submitter.killed) == 1
    assert list(submitter.notes.iterdir()) == []


@pytest.mark.parametrize(
    "ends",
    [
        "",
        f"gone 10.0.0.2 {NOW - 501} {NOW - 10}\n",
        f"gone 10.0.0.1 {NOW - 900} {NOW - 501}\n",
        f"gone 10.0.0.1 {NOW - 499} {NOW - 10}\n",
        f"lost 10.0.0.1 {NOW - 501} {NOW - 10}\n",
        f"gone 10.0.0.1 {NOW - 501}\n",
        "gone 10.0.0.1 ² ²\n\0",
    ],
)
def test_what_is_not_proven_waits(submitter: Submitter, ends: str) -> None:
    submitter.ends.write_text(ends)
    submitter.watch.note(CALLING)
    submitter.pass_time(60)
    assert submitter.killed == []
    assert 5 <= submitter.asked.count("condor_q") <= 60 / PERIOD + 1


@pytest.mark.parametrize(
    ("container", "startd", "killed"),
    [
        (NOW - 600, NOW - 20, True),
        (NOW - 500, NOW - 20, True),
        (NOW - 499, NOW - 20, False),
        (NOW - 600, NOW - 500, False),
        (NOW - 600, NOW - 499, False),
        (NOW - 600, NOW - 700, False),
    ],
)
def test_a_newer_startd_of_the_same_container_is_proof(
    submitter: Submitter, container: int, startd: int, killed: bool
) -> None:
    submitter.startds = f"<10.0.0.9:9618?> {NOW - 9000} {NOW}\n<10.0.0.1:9618?x> {container} {startd}\n"
    submitter.watch.note(CALLING)
    submitter.pass_time(15)
    assert bool(submitter.killed) is killed


def test_an_image_that_does_not_tell_proves_nothing(submitter: Submitter) -> None:
    submitter.startds = f"<10.0.0.1:9618?x> undefined {NOW}\n"
    submitter.watch.note(CALLING)
    submitter.pass_time(30)
    assert submitter.killed == []


def test_a_job_that_is_connected_again_is_let_be(submitter: Submitter) -> None:
    submitter.watch.note(CALLING)
    submitter.queue = ""
    submitter.pass_time(DOUBT + PERIOD + 2)
    submitter.ends.write_text(DEAD)
    asked = len(submitter.asked)
    submitter.pass_time(60)
    assert submitter.killed == []
    assert len(submitter.asked) == asked


def test_a_shadow_that_has_found_its_starter_again_is_let_be(submitter: Submitter) -> None:
    """The queue may go on telling of its attempts for a minute."""
    submitter.watch.note(CALLING)
    submitter.watch.note(b"2027-01-15T08:00:09+0000 (7.1) (2532): Reconnect SUCCESS: connection re-established")
    submitter.ends.write_text(DEAD)
    submitter.pass_time(60)
    assert submitter.killed == []


def test_a_shadow_may_find_its_starter_while_the_collector_is_asked(submitter: Submitter) -> None:
    submitter.startds = f"<10.0.0.1:9618?x> {NOW - 600} {NOW - 20}\n"
    submitter.watch.note(CALLING)
    while "condor_status" not in submitter.asked:
        submitter.pass_time(0.25)
    submitter.watch.note(CALLING.partition(b": T")[0] + b": Reconnect SUCCESS: connection re-established")
    submitter.pass_time(30)
    assert submitter.killed == []


def test_the_shadow_of_an_earlier_run_is_let_be(submitter: Submitter) -> None:
    """It may serve another job by now, on a claim that lives."""
    submitter.watch.note(CALLING)
    submitter.queue = queued(NOW + 20)
    submitter.ends.write_text(DEAD)
    submitter.pass_time(25)
    assert submitter.killed == []
    submitter.watch.note(CALLING.replace(b"2532", b"2700"))
    submitter.pass_time(15)
    assert submitter.killed == [(2700, signal.SIGKILL)]


def test_another_process_of_the_number_is_let_be(submitter: Submitter) -> None:
    submitter.process = "condor_schedd"
    submitter.ends.write_text(DEAD)
    submitter.watch.note(CALLING)
    submitter.pass_time(60)
    assert submitter.killed == []
    assert not submitter.notes.exists()


@pytest.mark.parametrize("line", [b"", b": Trying", b"x) (y): Trying to reconnect to disconnected job"])
def test_lines_of_any_kind_are_passed_on(submitter: Submitter, line: bytes) -> None:
    assert submitter.watch.note(line) == line
    submitter.pass_time(30)
    assert submitter.asked == []


def test_parsers_leave_out_what_they_do_not_know() -> None:
    assert parse_ends("gone\n\n# gone a b\n") == []
    assert parse_successors("<1> undefined undefined\n") == []


@pytest.mark.parametrize("text", ["", "-- Failed to fetch ads", "[\n{", "[\n{" + '"a": {' * 100_000])
def test_no_answer_is_no_job(text: str) -> None:
    assert parse_queue(text) == []


def test_jobs_are_read_behind_complaints() -> None:
    text = "WARNING: [config]\n" + queued()[:-3] + ",\n" + queued(proc=2)[2:]
    assert [(job.name, job.started, job.address, job.born) for job in parse_queue(text)] == [
        ("7.1", NOW - 400, "10.0.0.1", NOW - 500),
        ("7.2", NOW - 400, "10.0.0.1", NOW - 500),
    ]


@pytest.mark.parametrize(
    "claim",
    [
        None,
        5,
        "/Expr(strcat(a, b))/",
        f"{CLAIM}\n8.0 {NOW - 400} {CLAIM}",
        CLAIM.replace("10.0.0.1", '10.0.0.1|.*", "x"'),
        CLAIM.replace("10.0.0.1", "10.0.0.1|10.0.0.2"),
        CLAIM.replace("10.0.0.1", ".*"),
        CLAIM.replace("#2#", "# #"),
        CLAIM.replace("#2#", "#é#"),
        CLAIM.replace(str(NOW - 500), "x"),
    ],
)
def test_a_claim_of_a_users_own_making_concerns_no_job(submitter: Submitter, claim: object) -> None:
    """Nor does it get into the question to the collector."""
    submitter.queue = queued(claim=claim)
    submitter.ends.write_text(DEAD)
    submitter.watch.note(CALLING)
    submitter.watch.note(CALLING.replace(b"(7.1)", b"(8.0)"))
    submitter.pass_time(25)
    assert submitter.killed == []
    assert "condor_status" not in submitter.asked


@pytest.fixture
def shadow(tmp_path: Path) -> Callable[[str], str]:
    """The program that the schedd starts, with echoes in place of HTCondor's shadow: return what that one gets."""
    real = tmp_path / "real"
    real.write_text('#!/bin/sh\necho "$@"; cat\n')
    real.chmod(0o755)
    program = tmp_path / "shadow"
    text = SHADOW.read_text().replace("/usr/sbin/condor_shadow", str(real))
    program.write_text(text.replace("/run/condor/lost", str(tmp_path / "lost")))

    def run(ad: str) -> str:
        command = ["sh", str(program), "7.1", "--schedd=<x>", "-"]
        return subprocess.run(command, input=ad, capture_output=True, text=True, check=True, timeout=10).stdout

    (tmp_path / "lost").mkdir()
    return run


def test_a_shadow_without_a_note_is_htcondors_own(shadow: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "lost" / "7.11").write_text("<1>#2#3#")
    assert shadow('A = "1"\n') == '7.1 --schedd=<x> -\nA = "1"\n'


def test_a_shadow_for_a_dead_claim_finds_the_lease_over(shadow: Callable[[str], str], tmp_path: Path) -> None:
    note = tmp_path / "lost" / "7.1"
    note.write_text("<1>#2#3#")
    ad = f'PublicClaimId = "<1>#2#3#..."\nLastJobLeaseRenewal = 9\nBig = "{"x" * 100_000}\\$(a) `b`"\n'
    assert shadow(ad) == f"7.1 --schedd=<x> - --reconnect\n{ad}LastJobLeaseRenewal = 1\n"
    assert not note.exists()


def test_a_shadow_for_another_claim_runs_the_job(shadow: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "lost" / "7.1").write_text("<1>#2#3#")
    ad = 'PublicClaimId = "<1>#2#4#..."\n'
    assert shadow(ad) == f"7.1 --schedd=<x> -\n{ad}"
    assert list((tmp_path / "lost").iterdir()) == []

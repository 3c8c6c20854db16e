"""What a pod knows to be wrong with itself is printed by its probe, in words that stay the same, and logged once."""

import os
from pathlib import Path

import pytest
from pool_init.faults import Faults, judge_answer, judge_clock, judge_end, judge_volume

MIB = 1 << 20


class Pod:
    """The faults of a pod, and what it logged."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "faults"
        self.log: list[str] = []
        self.faults = Faults(str(self.file), self.log.append)

    @property
    def words(self) -> str:
        return self.file.read_text() if self.file.exists() else ""


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def volume(free: int, size: int = 10240, inodes: int = 1000, free_inodes: int = 500) -> os.statvfs_result:
    """Return a volume of so many MiB; bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax."""
    return os.statvfs_result((MIB, MIB, size, free + 9, free, inodes, free_inodes, free_inodes, 0, 255))


@pytest.mark.parametrize(
    ("seen", "full"),
    [
        (volume(161), False),
        (volume(159), True),
        (volume(260, size=1 << 20), False),
        (volume(250, size=1 << 20), True),
        (volume(5000, free_inodes=63), True),
        (volume(5000, inodes=0, free_inodes=0), False),
    ],
)
def test_a_volume_is_full_before_the_schedd_fails(pod: Pod, seen: os.statvfs_result, full: bool) -> None:
    judge_volume(seen, pod.faults)
    assert pod.words.startswith("SpoolFull: the volume of queue and homes is full") is full


def test_a_volume_at_the_limit_does_not_flap(pod: Pod) -> None:
    for free in (150, 170, 155, 300, 10):
        judge_volume(volume(free), pod.faults)
    assert len(pod.log) == 1
    assert "150 of 10240 MiB" in pod.log[0]
    judge_volume(volume(330), pod.faults)
    assert pod.words == ""
    assert pod.log[1].startswith("SpoolFull: no more (330 of ")


@pytest.mark.parametrize(("ahead", "words"), [(59, ""), (-59, ""), (61, "ahead of"), (-61, "behind")])
def test_a_clock_may_be_a_minute_off(pod: Pod, ahead: int, words: str) -> None:
    judge_clock(ahead, pod.faults)
    assert ("ClockSkew" in pod.words) is bool(words)
    assert words in pod.words


def test_a_clock_that_drifts_is_told_once(pod: Pod) -> None:
    for ahead in (100, 101, 59, 40):
        judge_clock(ahead, pod.faults)
    assert len(pod.log) == 1
    judge_clock(20, pod.faults)
    assert pod.words == ""


BROKEN = (
    b'11/25/26 06:28:26 (pid:212) ERROR "Error: corrupt log record 40 (byte offset 906) occurred inside closed '
    b'transaction, recovery failed" at line 1158 in file ./src/condor_utils/classad_log.cpp'
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (BROKEN, True),
        (b'11/25/26 (pid:901) ERROR "Failed to initialize job queue log!" at line 2291 in file qmgmt.cpp', True),
        (b'11/25/26 (pid:9) ERROR "JOB QUEUE DAMAGED; header ad NEXT_CLUSTER_NUM invalid" at line 2888', True),
        (b"11/25/26 (pid:212) WARNING: Encountered corrupt log record 186 (byte offset 5752)", False),
        (b'11/25/26 (pid:2) ERROR "fsync of job_queue.log failed, errno = 28" at line 641', False),
    ],
)
def test_only_a_schedd_that_ended_because_of_its_queue_is_told_of(pod: Pod, line: bytes, told: bool) -> None:
    assert judge_end(line, pod.faults) == line
    assert pod.words.startswith("QueueCorrupt: the schedd does not start") is told
    assert bool(pod.faults.last_words) is told


def test_a_corrupt_queue_is_told_once_with_its_record_and_until_the_schedd_answers(pod: Pod) -> None:
    for _ in range(3):
        judge_end(BROKEN, pod.faults)
        judge_answer("SCHEDD", 1, pod.faults)
        judge_answer("MASTER", 0, pod.faults)
    assert len(pod.log) == 1
    assert "corrupt log record 40" in pod.log[0]
    judge_answer("SCHEDD", 0, pod.faults)
    assert (pod.words, pod.faults.last_words) == ("", "")


def test_all_faults_are_printed_without_a_number(pod: Pod) -> None:
    judge_clock(-100, pod.faults)
    judge_volume(volume(1), pod.faults)
    judge_end(BROKEN, pod.faults)
    assert [line.partition(": ")[0] for line in pod.words.splitlines()] == ["ClockSkew", "QueueCorrupt", "SpoolFull"]
    assert not any(character.isdigit() for character in pod.words)

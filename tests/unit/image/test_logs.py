from pathlib import Path

import pytest
from pool_init.logs import LogDirectory, Tagger, conceal_unknown_users, tag_of


class Sink:
    """Collects what would be written to stdout."""

    def __init__(self) -> None:
        self.data = b""

    def __call__(self, data: bytes) -> None:
        self.data += data

    def lines(self) -> list[str]:
        lines, self.data = self.data.decode().splitlines(), b""
        return lines


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("MasterLog", "master"),
        ("StartLog", "startd"),
        ("SchedLog", "schedd"),
        ("ShadowLog", "shadow"),
        ("SharedPortLog", "shared_port"),
        ("StarterLog.slot1_1", "starter.slot1_1"),
        ("MasterLog.old", None),
        ("StarterLog.slot1_1.old", None),
        ("SchedLog.20260101T000000", None),
        ("InstanceLock", None),
        ("procd_pipe", None),
    ],
)
def test_tag_of(name: str, tag: str | None) -> None:
    assert tag_of(name) == tag


def test_an_unfinished_line_waits_for_its_end() -> None:
    sink = Sink()
    tagger = Tagger("startd", sink)
    tagger.feed(b"one\ntw")
    assert sink.lines() == ["[startd] one"]
    tagger.feed(b"o\n\nthree")
    assert sink.lines() == ["[startd] two", "[startd] "]
    tagger.flush()
    assert sink.lines() == ["[startd] three"]


def test_an_endless_line_does_not_fill_the_memory() -> None:
    sink = Sink()
    tagger = Tagger("x", sink)
    for _ in range(10):
        tagger.feed(b"y" * 16384)
    assert len(sink.data) > 65536


def test_no_line_is_lost_by_rotation(tmp_path: Path) -> None:
    sink = Sink()
    logs = LogDirectory(str(tmp_path), sink)
    log = tmp_path / "StartLog"
    log.write_text("1\n")
    assert logs.poll()
    with log.open("a") as old:
        old.write("2\n")
        log.rename(tmp_path / "StartLog.old")
        old.write("3\n")
    assert not logs.poll()
    log.write_text("4\n")
    logs.poll()
    assert sink.lines() == [f"[startd] {n}" for n in (1, 2, 3, 4)]


def test_a_quiet_directory_writes_nothing(tmp_path: Path) -> None:
    sink = Sink()
    logs = LogDirectory(str(tmp_path), sink)
    (tmp_path / "MasterLog").write_text("up\n")
    assert logs.poll()
    assert not logs.poll()
    assert sink.lines() == ["[master] up"]


def test_a_truncated_file_is_read_from_its_start(tmp_path: Path) -> None:
    sink = Sink()
    logs = LogDirectory(str(tmp_path), sink)
    log = tmp_path / "MasterLog"
    log.write_text("a long first line\n")
    logs.poll()
    log.write_text("short\n")
    logs.poll()
    assert sink.lines() == ["[master] a long first line", "[master] short"]


def test_the_end_passes_on_what_has_no_newline(tmp_path: Path) -> None:
    sink = Sink()
    logs = LogDirectory(str(tmp_path), sink)
    (tmp_path / "StarterLog.slot1_2").write_text("last words")
    logs.poll()
    assert sink.lines() == []
    logs.finish()
    assert sink.lines() == ["[starter.slot1_2] last words"]


def test_a_symlink_is_no_log(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key\n")
    directory = tmp_path / "log"
    directory.mkdir()
    (directory / "MasterLog").symlink_to(secret)
    sink = Sink()
    LogDirectory(str(directory), sink).poll()
    assert sink.lines() == []


def test_lines_of_one_dump_stay_together(tmp_path: Path) -> None:
    sink = Sink()
    logs = LogDirectory(str(tmp_path), sink)
    dump = ["2026-01-01 ad:", 'Machine = "cpu-0"', "Cpus = 1", "--- End"]
    for name in ("StartLog", "StarterLog.slot1_1"):
        (tmp_path / name).write_text("\n".join(dump) + "\n")
    logs.poll()
    lines = sink.lines()
    assert len(lines) == 2 * len(dump)
    for tag in ("startd", "starter.slot1_1"):
        first = lines.index(f"[{tag}] {dump[0]}")
        assert lines[first : first + len(dump)] == [f"[{tag}] {line}" for line in dump]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Invalid user hunter2 from 10.0.0.1 port 22", "Invalid user (name not shown) 10.0.0.1 port 22"),
        (
            "Failed password for invalid user a port b from 10.0.0.1 port 22 ssh2",
            "Failed password for invalid user (name not shown) 10.0.0.1 port 22 ssh2",
        ),
        (
            "Connection closed by invalid user hunter2 fd00::1 port 22 [preauth]",
            "Connection closed by invalid user (name not shown) fd00::1 port 22 [preauth]",
        ),
        ("input_userauth_request: invalid user hunter2", "input_userauth_request: invalid user (name not shown) "),
        (
            "Accepted publickey for john from 10.0.0.1 port 22 ssh2",
            "Accepted publickey for john from 10.0.0.1 port 22 ssh2",
        ),
    ],
)
def test_a_password_typed_as_a_name_is_not_logged(line: str, shown: str) -> None:
    assert conceal_unknown_users(line.encode()).decode() == shown


def test_every_line_of_a_chunk_is_edited() -> None:
    sink = Sink()
    tagger = Tagger("sshd", sink, conceal_unknown_users)
    tagger.feed(b"Invalid user a from ::1 port 1\nInvalid us")
    tagger.feed(b"er b from ::1 port 2\nInvalid user c from ::1 port 3")
    tagger.flush()
    assert sink.lines() == [f"[sshd] Invalid user (name not shown) ::1 port {n}" for n in (1, 2, 3)]


def test_a_missing_directory_is_silent(tmp_path: Path) -> None:
    assert not LogDirectory(str(tmp_path / "none"), Sink()).poll()

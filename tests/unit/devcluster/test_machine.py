"""The parts that touch files and processes, on a temporary directory and on harmless processes."""

import io
import os
import tarfile
import time
from pathlib import Path

import pytest

from devcluster import cgroups, daemons, hostlimits
from devcluster.cache import build_once, content_key, tree_digest
from devcluster.docker import parse_nodes
from devcluster.errors import CommandError
from devcluster.load import FanOut, copy_archive, full_name, has_image, parse_images
from devcluster.process import output, run, tail, wait_until


def test_a_build_that_fails_leaves_no_result(tmp_path: Path) -> None:
    def fail(unfinished: Path) -> None:
        (unfinished / "half").touch()
        raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        build_once(tmp_path / "result", fail)
    assert not (tmp_path / "result").exists()
    assert build_once(tmp_path / "result", lambda unfinished: (unfinished / "whole").touch())
    assert [path.name for path in (tmp_path / "result").iterdir()] == ["whole"]


def test_a_result_is_built_once(tmp_path: Path) -> None:
    assert build_once(tmp_path / "result", lambda _: None)
    assert not build_once(tmp_path / "result", lambda _: pytest.fail("built twice"))


def test_keys_follow_content(tmp_path: Path) -> None:
    assert content_key("a", ["b"]) == content_key("a", ["b"]) != content_key("a", ["c"])
    (tmp_path / "f").write_text("1", encoding="utf-8")
    before = tree_digest(tmp_path)
    (tmp_path / "f").write_text("2", encoding="utf-8")
    assert tree_digest(tmp_path) != before


def test_a_failed_command_tells_its_tail_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    with pytest.raises(CommandError) as failure:
        run(["sh", "-c", "echo reason >&2; exit 3"], log=log, timeout=10)
    assert "exit status 3" in str(failure.value)
    assert "| reason" in str(failure.value)
    assert str(log) in str(failure.value)


def test_a_hanging_command_is_ended(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not finished after 0 s"):
        run(["sleep", "60"], log=tmp_path / "x.log", timeout=0.1)


def test_a_missing_program_is_a_command_error() -> None:
    with pytest.raises(CommandError, match="No such file"):
        output(["condorpool-no-such-program"])


def test_tail_keeps_the_last_lines_with_text() -> None:
    assert tail("a\n\nb\nc\n\n", lines=2) == "b\nc"


def test_a_daemon_is_found_again_and_ended(tmp_path: Path) -> None:
    daemon = daemons.start("sleeper", ["sleep", "60"], runtime=tmp_path, log=tmp_path / "log")
    assert daemons.find("sleeper", tmp_path) == daemon
    assert wait_until(lambda: daemon.pid in daemons.marked(tmp_path), timeout=5)
    assert daemons.marked(tmp_path / "other") == []
    daemons.stop("sleeper", tmp_path, grace=5)
    assert daemons.find("sleeper", tmp_path) is None


def test_a_reused_process_id_is_not_our_daemon(tmp_path: Path) -> None:
    me = daemons.identify(os.getpid())
    assert me is not None
    (tmp_path / "x.pid").write_text(
        f'{{"pid": {me.pid}, "start_ticks": {me.start_ticks - 1}, "boot_id": "{me.boot_id}"}}', encoding="utf-8"
    )
    assert daemons.find("x", tmp_path) is None


def test_a_daemon_of_an_earlier_boot_is_gone(tmp_path: Path) -> None:
    me = daemons.identify(os.getpid())
    assert me is not None
    (tmp_path / "x.pid").write_text(
        f'{{"pid": {me.pid}, "start_ticks": {me.start_ticks}, "boot_id": "earlier"}}', encoding="utf-8"
    )
    assert daemons.find("x", tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_pid_file_is_no_daemon(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.pid").write_text(text, encoding="utf-8")
    assert daemons.find("x", tmp_path) is None


def test_cgroup_members_in_every_controller_and_depth(tmp_path: Path) -> None:
    for path, pids in {
        "memory/ours": "1\n2\n",
        "memory/ours/deep/er": "3\n",
        "cpu/ours": "2\n4\n",
        "cpu/other": "9\n",
    }.items():
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "cgroup.procs").write_text(pids, encoding="ascii")
    assert cgroups.members("ours", tmp_path) == {1, 2, 3, 4}


def test_cgroups_are_removed_deepest_first(tmp_path: Path) -> None:
    (tmp_path / "memory/ours/a/b").mkdir(parents=True)
    (tmp_path / "memory/other").mkdir()
    assert cgroups.remove("ours", tmp_path)
    assert (tmp_path / "memory/other").is_dir()
    assert not (tmp_path / "memory/ours").exists()


def test_limits_are_raised_and_never_lowered(tmp_path: Path) -> None:
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "fs/inotify/max_user_instances").write_text("128\n", encoding="ascii")
    (tmp_path / "fs/inotify/max_user_watches").write_text("99999999\n", encoding="ascii")
    assert hostlimits.raise_limits(tmp_path) == ["fs.inotify.max_user_instances = 8192"]
    assert hostlimits.raise_limits(tmp_path) == []
    assert (tmp_path / "fs/inotify/max_user_watches").read_text(encoding="ascii") == "99999999\n"


def test_waiting_is_bounded() -> None:
    began = time.monotonic()
    assert not wait_until(lambda: False, timeout=0.05, interval=0.01)
    assert time.monotonic() - began < 2


def test_nodes_of_docker() -> None:
    assert parse_nodes("p-worker running\np-control-plane exited\n") == {
        "p-worker": "running",
        "p-control-plane": "exited",
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("condorpool/operator:dev", "docker.io/condorpool/operator:dev"),
        ("localhost/x:1", "localhost/x:1"),
        ("registry.example:5000/x", "registry.example:5000/x:latest"),
        ("ghcr.io/a/b:c", "ghcr.io/a/b:c"),
    ],
)
def test_names_as_containerd_keeps_them(image: str, expected: str) -> None:
    assert full_name(image) == expected


def test_a_node_has_an_image_only_under_its_name_and_with_its_id() -> None:
    table = (
        "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
        "docker.io/a/b:dev application/vnd.oci.image.manifest.v1+json sha256:m1 1.0 MiB linux/amd64 -\n"
        "docker.io/a/b:old application/vnd.oci.image.manifest.v1+json sha256:m0 1.0 MiB linux/amd64 -\n"
        "sha256:id1 application/vnd.oci.image.manifest.v1+json sha256:m1 1.0 MiB linux/amd64 -\n"
    )
    images = parse_images(table)
    assert has_image(images, "docker.io/a/b:dev", "sha256:id1")
    assert not has_image(images, "docker.io/a/b:old", "sha256:id1")
    assert not has_image(images, "docker.io/a/b:dev", "sha256:id2")
    assert not has_image({}, "docker.io/a/b:dev", "sha256:id1")


def archive(members: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def test_an_archive_reaches_all_sinks_without_the_blobs_they_have() -> None:
    source = archive({"index.json": b"{}", "blobs/sha256/old": b"o" * 5000, "blobs/sha256/new": b"n"})
    sinks = [io.BytesIO(), io.BytesIO()]
    copy_archive(source, FanOut(sinks), {"old"})
    for sink in sinks:
        sink.seek(0)
        with tarfile.open(fileobj=sink) as received:
            assert received.getnames() == ["index.json", "blobs/sha256/new"]


def test_a_sink_whose_reader_is_gone_does_not_stop_the_others() -> None:
    class Broken(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise BrokenPipeError

    whole = io.BytesIO()
    copy_archive(archive({"index.json": b"{}"}), FanOut([Broken(), whole]), set())
    assert whole.getvalue()

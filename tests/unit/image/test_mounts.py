"""The life of a mount, with scripts in the place of FUSE servers and of what asks and unmounts them."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool_init import mounts
from pool_init.layout import Layout
from pool_init.loop import Loop
from pool_init.mounts import Mounts, has_fuse, machine_ad
from pool_init.processes import Reaper
from pool_init.settings import Mount, parse_mounts

from condorpool_operator.api.v1alpha1 import ExecutorGroup
from condorpool_operator.builders.mounts import mount_list

OVERLAY = "101 15 0:39 /mnt/data /mnt/data rw,relatime shared:6 - overlay overlay rw,lowerdir=/x"
BINDFS = "102 101 0:63 / /mnt/data rw,nosuid,nodev,relatime shared:7 - fuse.bindfs /source rw,user_id=0"
DEADLINE = 15.0


def test_a_fuse_mount_is_told_from_its_place() -> None:
    assert has_fuse("/mnt/data", f"{OVERLAY}\n{BINDFS}\n")
    assert not has_fuse("/mnt/data", f"{OVERLAY}\n")
    assert not has_fuse("/mnt", f"{OVERLAY}\n{BINDFS}\n")
    assert not has_fuse("/c", "9 8 0:7 / /c rw - fusectl fusectl rw\n")


def test_the_machine_ad_names_what_is_there_and_what_is_broken() -> None:
    assert machine_ad({"a": True, "b": False, "c": False}).splitlines() == [
        "HasMount_a = True",
        "HasMount_b = False",
        "HasMount_c = False",
        'CondorPoolBrokenMounts = "b,c"',
        "- update:true",
    ]
    assert 'CondorPoolBrokenMounts = ""' in machine_ad({"a": True})


class Executor:
    """One mount of an executor below a directory; a file stands for the kernel's table of mounts, others say what the scripts do."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.path = root / "mnt/data"
        self.table = root / "mountinfo"
        self.table.write_text("")
        self.bin = root / "bin"
        self.bin.mkdir()
        self.calls = root / "calls"
        for name in ("mount", "umount", "find"):
            self.program(name, f'echo {name} "$@" >>{self.calls}')
        self.program("umount", f"echo umount >>{self.calls}; : >{self.table}")
        self.serve()
        mount = Mount("data")
        mount.path, mount.argv, mount.read_only = "/mnt/data", ["server", str(self.path)], read_only
        mount.variables = {"TOKEN": "token"}
        self.secret = root / "etc/condorpool/mounts/data/token"
        self.secret.parent.mkdir(parents=True)
        self.secret.write_text("secret\n")
        self.loop = Loop(failed=_fail)
        self.reaper = Reaper()
        self.loop.on_signal(signal.SIGCHLD, self.reaper.reap)
        self.mounts = Mounts(self.loop, self.reaper, os.environ, Layout(str(root)), [mount])

    def program(self, name: str, script: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def serve(self, script: str = "") -> None:
        line = f"102 101 0:63 / {self.path} rw - fuse.x x rw"
        self.program(
            "server", f"echo $$ $TOKEN >>{self.root}/servers\n{script}\necho {line} >{self.table}\nexec sleep 60"
        )

    def servers(self) -> list[list[str]]:
        file = self.root / "servers"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def ad(self) -> str:
        return (self.root / "run/condorpool/mounts.ad").read_text()

    def until(self, what: Callable[[], bool]) -> None:
        assert self.loop.run_until(what, DEADLINE), (self.ad(), self.servers())

    def until_up(self) -> None:
        self.until(lambda: "HasMount_data = True" in self.ad())

    def until_down(self) -> None:
        self.until(lambda: "HasMount_data = False" in self.ad())

    def close(self) -> None:
        self.mounts.end()
        self.loop.run_until(lambda: self.mounts.ended, DEADLINE)
        self.loop.close()


def _fail(error: OSError) -> None:
    raise error


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let what takes seconds take parts of one."""
    for name, seconds in {"LOOK": 0.1, "LOOK_AT_START": 0.05, "ANSWER_LIMIT": 0.4, "END_LIMIT": 0.4}.items():
        monkeypatch.setattr(mounts, name, seconds)
    monkeypatch.setattr(mounts, "HANG_LIMIT", 1.0)
    monkeypatch.setattr(mounts, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(mounts, "MOUNT_INFO", str(tmp_path / "mountinfo"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")


@pytest.fixture
def executor(quick: None, tmp_path: Path) -> Iterator[Executor]:
    executor = Executor(tmp_path)
    yield executor
    executor.close()


def test_a_mount_is_there_when_its_server_has_mounted_and_answers(executor: Executor) -> None:
    executor.mounts.begin()
    assert not executor.mounts.tried
    assert "HasMount_data = False" in executor.ad()
    executor.until_up()
    assert executor.mounts.tried
    assert executor.path.is_dir()
    assert f"mount --no-canonicalize --bind --make-shared {executor.path}" in executor.calls.read_text()
    assert "remount" not in executor.calls.read_text()
    ((_, token),) = executor.servers()
    assert token == "secret"


def test_read_only_holds_for_the_whole_file_system(quick: None, tmp_path: Path) -> None:
    executor = Executor(tmp_path, read_only=True)
    executor.mounts.begin()
    executor.until_up()
    assert f"mount -i -o remount,ro,nosuid,nodev none {executor.path}" in executor.calls.read_text()
    executor.close()


def test_a_server_that_dies_is_followed_by_another(executor: Executor) -> None:
    executor.mounts.begin()
    executor.until_up()
    os.kill(int(executor.servers()[0][0]), signal.SIGKILL)
    executor.until(lambda: len(executor.servers()) == 2)
    executor.until_up()
    assert executor.calls.read_text().count("umount") == 1


def test_a_server_that_is_silent_for_a_while_is_left_alone(executor: Executor) -> None:
    executor.mounts.begin()
    executor.until_up()
    executor.program("find", "exec sleep 60")
    executor.until_down()
    executor.program("find", "exit 0")
    executor.until_up()
    assert len(executor.servers()) == 1


def test_a_server_that_stays_silent_is_replaced(executor: Executor) -> None:
    executor.mounts.begin()
    executor.until_up()
    executor.program("find", "exec sleep 60")
    executor.until(lambda: len(executor.servers()) == 2)
    assert "HasMount_data = False" in executor.ad()
    executor.program("find", "exit 0")
    executor.until_up()
    first = int(executor.servers()[0][0])
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_what_cannot_be_unmounted_is_not_mounted_over(executor: Executor) -> None:
    executor.mounts.begin()
    executor.until_up()
    executor.program("umount", f"echo umount >>{executor.calls}; exit 32")
    os.kill(int(executor.servers()[0][0]), signal.SIGKILL)
    executor.until(lambda: executor.calls.read_text().count("umount") > 2)
    assert len(executor.servers()) == 1


@pytest.mark.parametrize("content", [None, "", "a\0b"])
def test_credentials_may_come_late(executor: Executor, content: str | None) -> None:
    executor.secret.unlink() if content is None else executor.secret.write_text(content)
    executor.mounts.begin()
    executor.until(lambda: executor.mounts.tried)
    assert executor.servers() == []
    executor.secret.write_text("late")
    executor.until_up()
    assert [token for _, token in executor.servers()] == ["late"]


def test_a_command_that_is_missing_is_looked_for_again(executor: Executor) -> None:
    (executor.bin / "server").unlink()
    executor.mounts.begin()
    executor.until(lambda: executor.mounts.tried)
    executor.serve()
    executor.until_up()


def test_a_command_that_goes_to_the_background_is_told(executor: Executor, capfd: pytest.CaptureFixture[str]) -> None:
    executor.program("server", "exit 0")
    executor.mounts.begin()
    executor.until(lambda: executor.mounts.tried)
    assert "mount data: its command ended with status 0; next attempt in" in capfd.readouterr().out


def test_at_the_end_a_server_may_write_back(executor: Executor) -> None:
    executor.serve(
        f"trap 'echo flushed >{executor.root}/end; exit 0' TERM\ntouch {executor.root}/up\nwhile :; do sleep 0.05; done"
    )
    executor.mounts.begin()
    executor.until((executor.root / "up").exists)
    executor.mounts.end()
    executor.until(lambda: executor.mounts.ended)
    assert (executor.root / "end").read_text() == "flushed\n"


def test_at_the_end_a_server_that_hangs_is_killed(executor: Executor) -> None:
    executor.serve()
    executor.mounts.begin()
    executor.until_up()
    server = int(executor.servers()[0][0])
    os.kill(server, signal.SIGSTOP)
    executor.mounts.end()
    executor.until(lambda: executor.mounts.ended)
    executor.loop.run_until(lambda: False, 0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_pool_init_reads_what_the_operator_writes() -> None:
    group = ExecutorGroup.model_validate(
        {
            "name": "cpu",
            "mounts": [
                {
                    "name": "o",
                    "path": "/o",
                    "readOnly": True,
                    "oneclient": {"provider": "p.x", "tokenSecretRef": {"name": "t"}},
                },
                {"name": "a", "path": "/a", "command": ["f s", "-o", "$(CREDENTIALS)/k", "$(MOUNT_PATH)", "$(X)"]},
            ],
        }
    )
    text = mount_list(group.mounts).replace("$$(", "$(")  # what Kubernetes makes of it
    first, second = parse_mounts(text)
    assert (first.name, first.path, first.read_only) == ("a", "/a", False)
    assert first.argv == ["f s", "-o", "/etc/condorpool/mounts/a/k", "/a", "$(X)"]
    assert (second.name, second.path, second.read_only) == ("o", "/o", True)
    assert second.argv == ["oneclient", "--foreground", "--host=p.x", "--opt=allow_other", "--opt=ro", "/o"]
    assert second.variables == {"ONECLIENT_ACCESS_TOKEN": "token"}

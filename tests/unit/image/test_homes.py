import os
import stat
from pathlib import Path

import pytest
from pool_init.homes import create_homes
from pool_init.layout import Layout
from pool_init.users import User


class Homes:
    """A root directory with an empty /home and a skeleton; ownership is recorded, not changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir()
        (root / "etc/skel").mkdir(parents=True)
        (root / "etc/skel/.profile").write_text("umask 077\n")
        self.reports: list[str] = []
        self.owners: list[tuple[int, int]] = []

    def create(self, *users: User) -> None:
        def fchown(descriptor: int, uid: int, gid: int) -> None:
            os.fstat(descriptor)
            self.owners.append((uid, gid))

        create_homes(list(users), Layout(str(self.root)), self.reports.append, fchown)


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    return Homes(tmp_path)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def john(shell: str = "/bin/bash", uid: int = 2000) -> User:
    return User("john", uid, 2000, "", shell)


def test_a_new_home_is_private_and_has_the_skeleton(homes: Homes) -> None:
    homes.create(john())
    home = homes.home / "john"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / ".profile").read_text() == "umask 077\n"
    assert homes.owners == [(2000, 2000), (2000, 2000)]
    assert names(homes.home) == ["john"]


def test_an_existing_home_is_not_touched(homes: Homes) -> None:
    (homes.home / "john").mkdir(mode=0o755)
    homes.create(john(uid=os.getuid()))
    assert homes.owners == []
    assert homes.reports == []
    assert names(homes.home / "john") == []


def test_a_home_of_another_uid_is_reported(homes: Homes) -> None:
    (homes.home / "john").mkdir()
    homes.create(john(uid=os.getuid() + 4242))
    assert "belongs to uid" in homes.reports[0]
    assert homes.owners == []


def test_a_symlink_is_reported_and_not_followed(homes: Homes) -> None:
    victim = homes.root / "victim"
    victim.mkdir()
    (homes.home / "john").symlink_to(victim)
    homes.create(john())
    assert "not a directory" in homes.reports[0]
    assert names(victim) == []
    assert homes.owners == []


def test_home_itself_may_not_be_a_symlink(homes: Homes) -> None:
    homes.home.rename(homes.root / "elsewhere")
    homes.home.symlink_to("elsewhere")
    with pytest.raises(OSError, match="home"):
        homes.create(john())


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
def test_no_login_no_home(homes: Homes, shell: str) -> None:
    homes.create(john(shell))
    assert names(homes.home) == []


def test_the_slower_of_two_containers_leaves_nothing_behind(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def race(source: str, target: str, **directories: int) -> None:
        (homes.home / "john").mkdir()
        (homes.home / "john/.profile").write_text("first\n")
        rename(source, target, **directories)

    monkeypatch.setattr(os, "rename", race)
    homes.create(john())
    assert names(homes.home) == ["john"]
    assert (homes.home / "john/.profile").read_text() == "first\n"

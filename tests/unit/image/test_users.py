import stat
from pathlib import Path

import pytest
from pool_init.layout import Layout
from pool_init.users import Database, install, read_database, valid_name

JOHN = "john:x:2000:2000:John:/home/john:/bin/bash"


class Pool:
    """A root directory with the mounted user database of a pool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = Layout(str(root))
        self.refused: list[str] = []
        self.source = root / "etc/condorpool/users"
        self.source.mkdir(parents=True)
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
        (root / "etc/group").write_text("root:x:0:\nstaff:x:50:\n")

    def put(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)

    def read(self) -> Database:
        self.refused.clear()
        return read_database(self.layout, self.refused.append)

    def install(self) -> None:
        install(self.read(), self.layout)

    def installed(self, name: str) -> str:
        return (self.root / "var/lib/extrausers" / name).read_text()


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def test_a_good_user_is_installed(pool: Pool) -> None:
    pool.put("passwd", JOHN + "\n")
    pool.put("group", "john:x:2000:\nlab:x:3000:john,mary\n")
    pool.put("shadow", "john:$6$salt$hash:19000:0:99999:7:::\n")
    pool.put("authorized_keys.john", "ssh-ed25519 AAAA john\n")
    pool.install()
    assert pool.refused == []
    assert pool.installed("passwd") == JOHN + "\n"
    assert pool.installed("group") == "john:x:2000:\nlab:x:3000:john\n"
    assert pool.installed("shadow").startswith("john:$6$salt$hash:")
    assert (pool.root / "var/lib/condorpool/authorized_keys/john").read_text() == "ssh-ed25519 AAAA john\n"


def test_only_root_reads_shadow_whatever_the_umask(pool: Pool) -> None:
    pool.put("passwd", JOHN)
    pool.install()
    mode = (pool.root / "var/lib/extrausers/shadow").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((pool.root / "var/lib/extrausers/passwd").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("root:x:0:0::/root:/bin/bash", "system"),
        ("toor:x:0:0::/home/toor:/bin/bash", "uid"),
        ("sshd:x:2000:2000::/home/sshd:/bin/bash", "system"),
        ("john:x:999:2000::/home/john:/bin/bash", "uid"),
        ("john:x:02000:2000::/home/john:/bin/bash", "uid"),
        ("john:x:-1:2000::/home/john:/bin/bash", "uid"),
        ("john:x:" + "9" * 5000 + ":2000::/home/john:/bin/bash", "uid"),
        ("john:x:2000:0::/home/john:/bin/bash", "gid"),
        ("a;rm:x:2000:2000::/home/a;rm:/bin/bash", "name"),
        ("../x:x:2000:2000::/home/../x:/bin/bash", "name"),
        ("-rf:x:2000:2000::/home/-rf:/bin/bash", "name"),
        ("John:x:2000:2000::/home/John:/bin/bash", "name"),
        (":x:2000:2000::/home/:/bin/bash", "name"),
        ("a" * 33 + ":x:2000:2000::/home/a:/bin/bash", "name"),
        ("+::::::", "name"),
        ("john:x:2000:2000::/:/bin/bash", "home"),
        ("john:x:2000:2000::/home/john/../mary:/bin/bash", "home"),
        ("john:x:2000:2000:\x07:/home/john:/bin/bash", "full name"),
        ("john:x:2000:2000::/home/john:/bin/sh -c evil", "shell"),
        ("john:x:2000:2000::/home/john:", "shell"),
        ("john:x:2000:2000", "7 fields"),
    ],
)
def test_a_hostile_line_is_refused_and_reported(pool: Pool, line: str, reason: str) -> None:
    pool.put("passwd", line + "\n")
    assert pool.read().users == {}
    assert len(pool.refused) == 1
    assert reason in pool.refused[0]
    assert "\n" not in pool.refused[0]


def test_a_newline_in_a_field_makes_two_broken_lines(pool: Pool) -> None:
    pool.put("passwd", "john:x:2000:2000:x\nroot:x:0:0::/home/root:/bin/bash:/home/john:/bin/bash\n")
    assert pool.read().users == {}
    assert len(pool.refused) == 2


def test_a_name_or_uid_is_given_once(pool: Pool) -> None:
    pool.put("passwd", f"{JOHN}\n{JOHN}\nmary:x:2000:2000::/home/mary:/bin/bash\n")
    assert list(pool.read().users) == ["john"]
    assert len(pool.refused) == 2


@pytest.mark.parametrize("line", ["staff:x:3000:", "wheel:x:0:john", "a b:x:3000:", "lab:x:3000", "lab:x:100:"])
def test_a_hostile_group_is_refused(pool: Pool, line: str) -> None:
    pool.put("passwd", JOHN)
    pool.put("group", line + "\n")
    assert pool.read().group == []
    assert len(pool.refused) == 1


@pytest.mark.parametrize("password", ["", "plain text", "x\x00y"])
def test_a_password_that_is_no_hash_becomes_no_password_and_is_not_repeated(pool: Pool, password: str) -> None:
    pool.put("passwd", JOHN)
    pool.put("shadow", f"john:{password}:1:::::\n")
    assert pool.read().shadow[0].startswith("john:*:")
    assert len(pool.refused) == 1
    assert password == "" or password not in pool.refused[0]


def test_shadow_of_unknown_names_is_left_out(pool: Pool) -> None:
    pool.put("passwd", JOHN)
    pool.put("shadow", "root:$6$evil$hash:1:::::\n")
    assert [line.split(":")[0] for line in pool.read().shadow] == ["john"]


def test_removed_users_and_keys_disappear(pool: Pool) -> None:
    pool.put("passwd", JOHN)
    pool.put("authorized_keys.john", "key\n")
    pool.install()
    pool.put("passwd", "")
    pool.install()
    assert pool.installed("passwd") == ""
    assert list((pool.root / "var/lib/condorpool/authorized_keys").iterdir()) == []


def test_a_planted_symlink_is_not_followed(pool: Pool) -> None:
    target = pool.root / "victim"
    target.write_text("untouched")
    extrausers = pool.root / "var/lib/extrausers"
    extrausers.mkdir(parents=True)
    (extrausers / "shadow").symlink_to(target)
    pool.put("passwd", JOHN)
    pool.install()
    assert target.read_text() == "untouched"
    assert not (extrausers / "shadow").is_symlink()


def test_an_empty_mount_is_an_empty_database(pool: Pool) -> None:
    pool.install()
    assert pool.installed("passwd") == ""


@pytest.mark.parametrize("name", ["john", "_svc", "a-b_c9"])
def test_valid_names(name: str) -> None:
    assert valid_name(name)

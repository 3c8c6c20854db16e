"""The user database of a pool: checked line by line, whoever wrote it, because a login comes out of it."""

import os
from collections.abc import Callable

from .layout import Layout

LOWEST_ID = 1000
HIGHEST_ID = 59999
LONGEST_NAME = 32
NAME_START = "abcdefghijklmnopqrstuvwxyz_"
NAME_CHARACTERS = NAME_START + "0123456789-"
SHELL_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-./"
HASH_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./$,=_-+!*"
NO_LOGIN = ("nologin", "false")
KEYS_PREFIX = "authorized_keys."

Report = Callable[[str], None]


class User:
    """One accepted line of passwd."""

    __slots__ = ("gecos", "gid", "name", "shell", "uid")

    def __init__(self, name: str, uid: int, gid: int, gecos: str, shell: str) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.gecos = gecos
        self.shell = shell

    @property
    def home(self) -> str:
        return f"/home/{self.name}"

    @property
    def may_log_in(self) -> bool:
        return os.path.basename(self.shell) not in NO_LOGIN

    def passwd_line(self) -> str:
        return f"{self.name}:x:{self.uid}:{self.gid}:{self.gecos}:{self.home}:{self.shell}\n"


class Database:
    """What may be installed: users by name, lines of group and shadow, authorized keys by user."""

    __slots__ = ("authorized_keys", "group", "shadow", "users")

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.group: list[str] = []
        self.shadow: list[str] = []
        self.authorized_keys: dict[str, str] = {}


def read_database(layout: Layout, refused: Report) -> Database:
    """Accept what is well formed and harmless; each refused entry is reported once, without its secrets."""
    database = Database()
    for user in _users(_lines(layout, "passwd"), _names(layout.path("/etc/passwd")), refused):
        database.users[user.name] = user
    database.group = list(_groups(_lines(layout, "group"), _names(layout.path("/etc/group")), database, refused))
    database.shadow = list(_shadows(_lines(layout, "shadow"), database, refused))
    for name in database.users:
        keys = _text(os.path.join(layout.users, KEYS_PREFIX + name))
        if keys:
            database.authorized_keys[name] = keys
    return database


def install(database: Database, layout: Layout) -> None:
    """Replace each file by rename, passwd last: a user appears when all the rest is there; sessions keep running."""
    os.makedirs(layout.extrausers, mode=0o755, exist_ok=True)
    os.makedirs(layout.authorized_keys, mode=0o755, exist_ok=True)
    for name, keys in database.authorized_keys.items():
        # read by sshd with the user's own rights
        _replace(os.path.join(layout.authorized_keys, name), keys, 0o644)
    for name in set(os.listdir(layout.authorized_keys)) - set(database.authorized_keys):
        os.unlink(os.path.join(layout.authorized_keys, name))
    _replace(os.path.join(layout.extrausers, "shadow"), "".join(database.shadow), 0o600)
    _replace(os.path.join(layout.extrausers, "group"), "".join(database.group), 0o644)
    passwd = "".join(user.passwd_line() for user in database.users.values())
    _replace(os.path.join(layout.extrausers, "passwd"), passwd, 0o644)


def _users(lines: list[str], system: set[str], refused: Report) -> list[User]:
    accepted: list[User] = []
    for line in lines:
        fields = line.split(":")
        problem = _passwd_problem(fields, system, accepted)
        if problem:
            refused(f"user {fields[0][:LONGEST_NAME]!r} refused: {problem}")
            continue
        name, _, uid, gid, gecos, _, shell = fields
        accepted.append(User(name, int(uid), int(gid), gecos, shell))
    return accepted


def _passwd_problem(fields: list[str], system: set[str], accepted: list[User]) -> str | None:
    """Why this line of passwd must not be installed, None if it may."""
    if len(fields) != 7:
        return "a line of passwd has 7 fields"
    name, _, uid, gid, gecos, home, shell = fields
    checks = (
        (not valid_name(name), "the name is not a plain lower-case user name"),
        (name in system, "the name belongs to the system"),
        (not _valid_id(uid), f"the uid must be {LOWEST_ID} to {HIGHEST_ID}"),
        (not _valid_id(gid), f"the gid must be {LOWEST_ID} to {HIGHEST_ID}"),
        (home != f"/home/{name}", f"the home directory must be /home/{name}"),
        (not gecos.isprintable(), "the full name has control characters"),
        (not shell.startswith("/") or shell.strip(SHELL_CHARACTERS) != "", "the shell is not a plain path"),
        (any(name == user.name for user in accepted), "the name appears twice"),
        (any(uid == str(user.uid) for user in accepted), "the uid belongs to another user"),
    )
    return next((problem for wrong, problem in checks if wrong), None)


def _groups(lines: list[str], system: set[str], database: Database, refused: Report) -> list[str]:
    accepted: dict[str, str] = {}
    for line in lines:
        fields = line.split(":")
        name = fields[0]
        if len(fields) != 4 or not valid_name(name) or name in system or name in accepted or not _valid_id(fields[2]):
            refused(f"group {name[:LONGEST_NAME]!r} refused: malformed, twice, of the system, or gid out of range")
            continue
        members = ",".join(member for member in fields[3].split(",") if member in database.users)
        accepted[name] = f"{name}:x:{fields[2]}:{members}\n"
    return list(accepted.values())


def _shadows(lines: list[str], database: Database, refused: Report) -> list[str]:
    """One line per accepted user; who has none gets `*`: keys work, no password does."""
    hashes: dict[str, str] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        password = rest.split(":")[0]
        if name not in database.users:
            continue
        if not password or password.strip(HASH_CHARACTERS) != "":
            refused(f"password of user {name!r} refused: empty or not a crypt hash")
            continue
        hashes[name] = password
    return [f"{name}:{hashes.get(name, '*')}:19000:0:99999:7:::\n" for name in database.users]


def valid_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name[0] in NAME_START and name.strip(NAME_CHARACTERS) == ""


def _valid_id(text: str) -> bool:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(HIGHEST_ID)):
        return False
    return text[0] != "0" and LOWEST_ID <= int(text) <= HIGHEST_ID


def _names(path: str) -> set[str]:
    return {line.partition(":")[0] for line in _text(path).splitlines()}


def _lines(layout: Layout, name: str) -> list[str]:
    return [line for line in _text(os.path.join(layout.users, name)).split("\n") if line.strip()]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _replace(path: str, text: str, mode: int) -> None:
    """Write a new file beside the old one and rename it; readers see the old or the new text, never a part."""
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
    os.rename(temporary, path)

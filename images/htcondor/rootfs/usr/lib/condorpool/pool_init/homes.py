"""Home directories. They lie on a volume that users write to, so nothing here follows a symlink."""

import os
import stat
from collections.abc import Callable

from .layout import Layout
from .users import Report, User

Fchown = Callable[[int, int, int], None]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def create_homes(users: "list[User]", layout: Layout, report: Report, fchown: Fchown = os.fchown) -> None:
    """Make each missing home with mode 0700 and the files of /etc/skel; an existing one is never changed."""
    parent = os.open(layout.home, DIRECTORY)
    try:
        for user in users:
            if user.may_log_in:
                _create_home(user, parent, layout.path("/etc/skel"), report, fchown)
    finally:
        os.close(parent)


def _create_home(user: User, parent: int, skeleton: str, report: Report, fchown: Fchown) -> None:
    if _exists(user, parent, report):
        return
    # complete under another name first: no login ever sees half a home; a random part keeps two containers apart
    temporary = f".pool-init.{user.name}.{os.urandom(4).hex()}"
    os.mkdir(temporary, 0o700, dir_fd=parent)
    home = os.open(temporary, DIRECTORY, dir_fd=parent)
    try:
        names = _copy_files(skeleton, home, user, fchown)
        fchown(home, user.uid, user.gid)
        try:
            os.rename(temporary, user.name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            # the other container of the pod was faster
            for name in names:
                os.unlink(name, dir_fd=home)
            os.rmdir(temporary, dir_fd=parent)
    finally:
        os.close(home)


def _exists(user: User, parent: int, report: Report) -> bool:
    try:
        found = os.stat(user.name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        report(f"home of user {user.name!r} left alone: it is not a directory")
    elif found.st_uid != user.uid:
        report(f"home of user {user.name!r} left alone: it belongs to uid {found.st_uid}, the user has uid {user.uid}")
    return True


def _copy_files(skeleton: str, home: int, user: User, fchown: Fchown) -> list[str]:
    """Copy the plain files of the image's skeleton; returns their names."""
    names = []
    for entry in _files(skeleton):
        with open(entry.path, "rb") as source:
            content = source.read()
        target = os.open(entry.name, NEW_FILE, 0o644, dir_fd=home)
        with os.fdopen(target, "wb") as file:
            file.write(content)
            fchown(target, user.uid, user.gid)
        names.append(entry.name)
    return names


def _files(directory: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []

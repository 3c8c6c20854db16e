"""Where things are, and the directories that HTCondor expects to exist."""

import os
import pwd
import stat
from collections.abc import Callable

Chown = Callable[[str, int, int], None]

DIRECTORY_MODE = 0o755
# the logs tell names and arguments of everybody's jobs
LOG_MODE = 0o700
EXCHANGE_MODE = 0o1777
DEVICE_MODE = 0o666


class Layout:
    """Paths of the image contract below one root, which is `/` outside the tests."""

    __slots__ = ("root",)

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def path(self, absolute: str) -> str:
        return os.path.join(self.root, absolute.lstrip("/"))

    @property
    def log(self) -> str:
        return self.path("/var/log/condor")

    @property
    def config(self) -> str:
        return self.path("/etc/condor/config.d")

    @property
    def ends(self) -> str:
        """The operator's word on executors that ended; HTCondor reads no file whose name begins with a dot."""
        return self.path("/etc/condor/config.d/.ends")

    @property
    def lost(self) -> str:
        """Claims that are dead, by job, for the program `shadow`."""
        return self.path("/run/condor/lost")

    @property
    def alone(self) -> str:
        """Configuration of a schedd whose manager is away; submitter-operator.conf includes it."""
        return self.path("/run/condor/alone.conf")

    @property
    def users(self) -> str:
        return self.path("/etc/condorpool/users")

    @property
    def sshd_config(self) -> str:
        return self.path("/etc/condorpool/sshd")

    @property
    def ssh_host_keys(self) -> str:
        return self.path("/etc/condorpool/ssh")

    @property
    def extrausers(self) -> str:
        return self.path("/var/lib/extrausers")

    @property
    def authorized_keys(self) -> str:
        return self.path("/var/lib/condorpool/authorized_keys")

    @property
    def home(self) -> str:
        return self.path("/home")

    @property
    def check_socket(self) -> str:
        return self.path("/run/condorpool/check.sock")

    @property
    def spool(self) -> str:
        return self.path("/var/lib/condor/spool")

    @property
    def faults(self) -> str:
        return self.path("/run/condor/faults")

    @property
    def mount_credentials(self) -> str:
        return self.path("/etc/condorpool/mounts")

    @property
    def mounts_ad(self) -> str:
        return self.path("/run/condorpool/mounts.ad")

    @property
    def termination_log(self) -> str:
        return self.path("/dev/termination-log")


CONDOR_DIRECTORIES = {
    "manager": ("/run/condor", "/var/log/condor", "/var/lib/condor/spool", "/run/condorpool"),
    "submitter": ("/run/condor", "/var/log/condor", "/var/lib/condor/spool", "/run/condorpool"),
    "executor": ("/run/condor", "/var/log/condor", "/var/lib/condor/execute"),
    "sshd": (),
}


def prepare(role: str, layout: Layout, chown: Chown = os.chown) -> None:
    """Create what the role's daemons need, owned by condor; a mounted volume comes with any owner and mode."""
    for directory in CONDOR_DIRECTORIES[role]:
        path = layout.path(directory)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, LOG_MODE if path == layout.log else DIRECTORY_MODE)
        chown(path, *_condor_ids())
    if role == "submitter":
        if os.path.exists(layout.alone):  # of the container before
            os.unlink(layout.alone)
        # anyone may create the directory that proves who he is, nobody may touch another's
        exchange = layout.path("/run/condorpool/fs")
        os.makedirs(exchange, exist_ok=True)
        os.chmod(exchange, EXCHANGE_MODE)
    if role == "executor":
        _open_fuse(layout.path("/dev/fuse"))
    if role == "sshd":
        os.makedirs(layout.path("/run/sshd"), mode=DIRECTORY_MODE, exist_ok=True)


def _condor_ids() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("condor")
    except KeyError:
        return os.getuid(), os.getgid()
    return entry.pw_uid, entry.pw_gid


def _open_fuse(path: str) -> None:
    """A privileged container sees /dev/fuse with the node's mode, often 0600: jobs could not mount (k8s-pool.md 6)."""
    try:
        if stat.S_ISCHR(os.stat(path).st_mode):
            os.chmod(path, DEVICE_MODE)
    except OSError:
        return

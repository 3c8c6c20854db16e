"""What one container is told: its role and its environment."""

from collections.abc import Mapping, Sequence

ROLES = ("manager", "submitter", "executor", "sshd")
JOINING_ROLES = ("submitter", "executor")
USER_ROLES = ("submitter", "sshd")
SIZES = ("POOL_CPUS", "POOL_MEMORY", "POOL_DISK")


class SettingsError(Exception):
    """The arguments or the environment do not follow the image contract; the text names the variable."""


class Mount:
    """A file system to mount: where, by which program, and which of its variables hold which file of its credentials."""

    __slots__ = ("argv", "name", "path", "read_only", "variables")

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = ""
        self.read_only = False
        self.argv: list[str] = []
        self.variables: dict[str, str] = {}


class Settings:
    """Role, address of the collector (submitter, executor); seconds of drain, the pool's beacon and mounts (executor)."""

    __slots__ = ("beacon", "collector", "drain_seconds", "mounts", "role")

    def __init__(
        self,
        role: str,
        collector: tuple[str, int] | None = None,
        drain_seconds: int = 0,
        beacon: str = "",
        mounts: Sequence[Mount] = (),
    ) -> None:
        self.role = role
        self.collector = collector
        self.drain_seconds = drain_seconds
        self.beacon = beacon
        self.mounts = mounts


def read_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings of this container; raises SettingsError when something is missing or malformed."""
    if len(arguments) != 1 or arguments[0] not in ROLES:
        raise SettingsError("usage: pool-init " + "|".join(ROLES))
    role = arguments[0]
    collector = _address(environ, "POOL_COLLECTOR") if role in JOINING_ROLES else None
    if role != "executor":
        return Settings(role, collector)
    for name in SIZES:
        if _whole_number(environ, name) < 1:
            raise SettingsError(f"{name} must be at least 1")
    beacon = environ.get("POOL_BEACON", "")
    if not beacon.isascii() or not all(0 < len(label) < 64 for label in beacon.split(".") if beacon):
        raise SettingsError(f"POOL_BEACON must be a DNS name, not {beacon!r}")
    drain_seconds = _whole_number(environ, "POOL_DRAIN_SECONDS")
    return Settings(role, collector, drain_seconds, beacon, parse_mounts(environ.get("POOL_MOUNTS", "")))


def parse_mounts(text: str) -> list[Mount]:
    """Mounts by their lines, the first of each `mount NAME`; json would cost pid 1 another 2 MB."""
    mounts: list[Mount] = []
    for number, line in enumerate(text.split("\n"), start=1):
        key, _, value = line.partition(" ")
        if key == "mount":
            mounts.append(Mount(value))
        elif mounts and key == "path":
            mounts[-1].path = value
        elif mounts and line == "read-only":
            mounts[-1].read_only = True
        elif mounts and key == "argument":
            mounts[-1].argv.append(value)
        elif mounts and key == "variable":
            variable, _, file = value.partition(" ")
            mounts[-1].variables[variable] = file
        elif line:
            raise SettingsError(f"POOL_MOUNTS: line {number} is not of this contract")
    if not all(mount.name and mount.path.startswith("/") and mount.argv for mount in mounts):
        raise SettingsError("POOL_MOUNTS: each mount needs a name, an absolute path and a command")
    return mounts


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the daemons: without _CONDOR_*, which would beat every configuration file."""
    return {name: value for name, value in environ.items() if not name.upper().startswith("_CONDOR_")}


def _whole_number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise SettingsError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def _address(environ: Mapping[str, str], name: str) -> tuple[str, int]:
    host, _, port = environ.get(name, "").rpartition(":")
    if not host or not host.isascii() or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise SettingsError(f"{name} must be host:port, not {environ.get(name, '')!r}")
    return host, int(port)

"""The file systems that the executors of a group have mounted for their jobs."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from .model import DataKey, Model, ObjectName, rules

MOUNTS_MAX = 8
ARGUMENTS_MAX = 32
ARGUMENT_MAX = 256
"""All of a group's mounts go to pool-init in one environment variable, of which Linux takes 128 KiB."""

OWNED_DIRECTORIES = (
    *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin"),
    *("sys", "tmp", "usr", "var"),
)
"""Where the image and its daemons live, or (/tmp, /var/tmp) where each job has a directory of its own."""

_PATH_RULE = f"!(self.split('/')[1] in {list(OWNED_DIRECTORIES)})"
_PATH_MESSAGE = "this directory belongs to the image: choose a path below /mnt, /srv or a directory of its own"
_TOKEN_RULE = "!self.matches('^--t(o|ok|oke|oken)?(=|$)')"
_TOKEN_MESSAGE = "the token comes from tokenSecretRef, so that no command line shows it"

Argument = Annotated[str, Field(min_length=1, max_length=ARGUMENT_MAX, pattern=r"^[ -~]+$")]
OneclientOption = Annotated[
    str,
    Field(
        min_length=3,
        max_length=ARGUMENT_MAX,
        pattern=r"^--[a-z][ -~]*$",
        json_schema_extra=rules((_TOKEN_RULE, _TOKEN_MESSAGE)),
    ),
]
MountPath = Annotated[
    str,
    Field(
        min_length=2,
        max_length=128,
        pattern=r"^(/[A-Za-z0-9_][-A-Za-z0-9_.]*)+$",
        json_schema_extra=rules((_PATH_RULE, _PATH_MESSAGE)),
    ),
]


class MountSecret(Model):
    """A Secret in the pool's namespace, each key of it a file that the mount's command, and no job, can read."""

    name: ObjectName
    """Name of the Secret."""


class TokenReference(Model):
    """One key of a Secret in the pool's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: DataKey = "token"
    """Key in the Secret."""


class Oneclient(Model):
    """Onedata's client; the role image has to be one that holds it (docs/fuse.md)."""

    provider: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$")]
    """Host name of the Oneprovider."""
    token_secret_ref: TokenReference
    """Secret with the access token."""
    space: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")] | None = None
    """Name of the one space to mount; all spaces of the token's owner, a directory each, when absent."""
    options: Annotated[tuple[OneclientOption, ...], Field(max_length=16)] = ()
    """Further long options of oneclient, such as --force-proxy-io or --provider-timeout=30."""

    @model_validator(mode="after")
    def _token_is_no_option(self) -> Self:
        if any(option.partition("=")[0] in _TOKEN_OPTIONS for option in self.options):
            raise ValueError(_TOKEN_MESSAGE)
        return self


_TOKEN_OPTIONS = tuple("--token"[:length] for length in range(3, 8))


class Mount(Model):
    """A FUSE file system that every executor of the group has mounted before its first job, and keeps mounted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.command) != has(self.oneclient)", "a mount needs either command or oneclient"),
            ("!has(self.secretRef) || has(self.command)", "secretRef goes with command; oneclient has tokenSecretRef"),
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=20, pattern=r"^[a-z][a-z0-9]*$")]
    """Name of the mount, unique in the group: lower-case letters and digits. Machines that have it say HasMount_<name>."""
    path: MountPath
    """Where jobs find it. Mounts do not lie in one another."""
    read_only: bool = False
    """Whether nobody can write there."""
    command: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=ARGUMENTS_MAX)] | None = None
    """Program and arguments that mount it and stay in the foreground. No shell; $(MOUNT_PATH) and $(CREDENTIALS) are replaced.

    Jobs have accounts of their own, so most programs need the option allow_other.
    """
    secret_ref: MountSecret | None = None
    """Secret whose keys are files in the directory $(CREDENTIALS)."""
    oneclient: Oneclient | None = None
    """A mount of Onedata."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.command is None) == (self.oneclient is None):
            raise ValueError("a mount needs either command or oneclient")
        if self.secret_ref is not None and self.command is None:
            raise ValueError("secretRef goes with command; oneclient has tokenSecretRef")
        if self.path.split("/")[1] in OWNED_DIRECTORIES:
            raise ValueError(_PATH_MESSAGE)
        return self


def nested(mounts: tuple[Mount, ...]) -> bool:
    """Return whether a mount lies at or below the path of another."""
    paths = [f"{mount.path}/" for mount in mounts]
    return any(one.startswith(other) for i, one in enumerate(paths) for j, other in enumerate(paths) if i != j)

"""What pool-init is told of a group's mounts, and their credentials in the pod (docs/design/image-contract.md, Mounts of a group)."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..api.mounts import Mount, Oneclient
from . import pods

_CREDENTIALS = "/etc/condorpool/mounts"
_TOKEN_FILE = "token"
_TOKEN_VARIABLE = "ONECLIENT_ACCESS_TOKEN"
"""oneclient takes the token from a variable of its own, so it is on no command line (src/options/options.cc of onedata/oneclient)."""


def mount_list(mounts: Sequence[Mount]) -> str:
    """Return POOL_MOUNTS: the mounts in pool-init's terms, one thing a line, in the order of their names.

    Kubernetes replaces $(NAME) in variables, and $$ keeps it from that.
    """
    return "\n".join(line for mount in _ordered(mounts) for line in _lines(mount)).replace("$(", "$$(")


def _ordered(mounts: Sequence[Mount]) -> list[Mount]:
    return sorted(mounts, key=lambda mount: mount.name)


def _lines(mount: Mount) -> Iterator[str]:
    yield f"mount {mount.name}"
    yield f"path {mount.path}"
    if mount.read_only:
        yield "read-only"
    if mount.oneclient is not None:
        yield from (f"argument {argument}" for argument in oneclient_command(mount, mount.oneclient))
        yield f"variable {_TOKEN_VARIABLE} {_TOKEN_FILE}"
    for argument in mount.command or ():
        yield f"argument {_filled_in(argument, mount)}"


def oneclient_command(mount: Mount, oneclient: Oneclient) -> list[str]:
    """Return the command line of a mount of Onedata: in the foreground, open to all accounts."""
    return [
        *("oneclient", "--foreground", f"--host={oneclient.provider}", "--opt=allow_other"),
        *(["--opt=ro"] if mount.read_only else []),
        *([f"--space={oneclient.space}"] if oneclient.space else []),
        *oneclient.options,
        mount.path,
    ]


def _filled_in(argument: str, mount: Mount) -> str:
    return argument.replace("$(MOUNT_PATH)", mount.path).replace("$(CREDENTIALS)", _directory(mount))


def _directory(mount: Mount) -> str:
    return f"{_CREDENTIALS}/{mount.name}"


def credential_volumes(mounts: Sequence[Mount]) -> dict[str, dict[str, Any]]:
    """Return the volumes with credentials; a Secret that is missing keeps its mount away, not the pod."""
    return {_volume(mount): volume for mount in _ordered(mounts) if (volume := _credentials(mount)) is not None}


def credential_mounts(mounts: Sequence[Mount]) -> dict[str, dict[str, Any]]:
    """Return the volume mounts with credentials by their paths."""
    return {
        _directory(mount): {"name": _volume(mount), "readOnly": True}
        for mount in _ordered(mounts)
        if _credentials(mount) is not None
    }


def _volume(mount: Mount) -> str:
    return f"mount-{mount.name}"


def _credentials(mount: Mount) -> dict[str, Any] | None:
    if mount.oneclient is not None:
        token = mount.oneclient.token_secret_ref
        return _secret(token.name, items=[{"key": token.key, "path": _TOKEN_FILE}])
    return None if mount.secret_ref is None else _secret(mount.secret_ref.name)


def _secret(name: str, **fields: Any) -> dict[str, Any]:
    return {"secret": {"secretName": name, "defaultMode": pods.SECRET_MODE, "optional": True, **fields}}

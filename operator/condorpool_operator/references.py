"""Reads the users' ConfigMaps and Secrets that a pool refers to; what cannot be used becomes a Problem and the last good state stays."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import labels, naming
from .accounts import Login, PasswordHasher, update_accounts
from .api.status import ConditionType, Reason
from .api.v1alpha1 import Config, SecretKeyReference, User
from .builders.config import user_file_name, user_files
from .builders.context import Account
from .builders.knobs import findings
from .kinds import CLAIM, CONFIG_MAP, SECRET
from .kube import Kube
from .naming import Names
from .observe import Children
from .pool import Pool
from .seen import Problem

Key = tuple[str, str]
_NAME_LIMIT = 253
_PASSWORD_LIMIT = 72
"""bcrypt takes no more bytes."""
_PUBLIC_KEY = re.compile(
    r"(^|\s)(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+)\s+[A-Za-z0-9+/]{40,}={0,3}(\s|$)"
)


class UnusableError(Exception):
    """A referenced object or key is missing or cannot be used."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def referenced(pool: Pool) -> dict[str, set[str]]:
    """Return the names of the user's objects that a pool refers to, by kind."""
    configs = [config for _, _, config in _configs(pool)] + [pool.spec.config]
    ssh = pool.spec.submitter.ssh
    users = ssh.users if ssh else []
    return {
        CONFIG_MAP.name: {reference.name for config in configs for reference in config.config_map_refs},
        SECRET.name: {
            reference.name
            for user in users
            for reference in (user.authorized_keys_secret_ref, user.password_secret_ref)
            if reference
        }
        | {name for _, name, _ in _mount_secrets(pool)},
    }


def _configs(pool: Pool) -> list[tuple[str, str, Config]]:
    """Return (component, path in the spec, configuration) of every component."""
    spec = pool.spec
    groups = [(group.name, f"spec.executors[{group.name}].config", group.config) for group in spec.groups]
    return [
        (naming.MANAGER, "spec.manager.config", spec.manager.config),
        (naming.SUBMITTER, "spec.submitter.config", spec.submitter.config),
        *groups,
    ]


def _references(pool: Pool) -> dict[str, list[tuple[str, str]]]:
    """Return (path in the spec, ConfigMap) by component, in the order in which they are read."""
    pool_wide = [("spec.config", reference.name) for reference in pool.spec.config.config_map_refs]
    return {
        component: pool_wide + [(path, reference.name) for reference in own.config_map_refs]
        for component, path, own in _configs(pool)
    }


def place_of(pool: Pool, component: str, file_name: str) -> str:
    """Return where the user finds a file of a component's: the reference in the spec, and the key in the ConfigMap."""
    for position, (path, name) in enumerate(_references(pool)[component]):
        prefix = user_file_name(position, name, "")
        if file_name.startswith(prefix):
            return _place(path, name, file_name.removeprefix(prefix))
    return file_name


def _place(path: str, name: str, key: str) -> str:
    return f"{path}.configMapRefs[{name}]: key {key}"


async def read_configs(
    kube: Kube, pool: Pool, names: Names, children: Children
) -> tuple[dict[str, dict[str, str]], list[Problem]]:
    """Return the user's configuration files by component, and what is wrong with the references.

    A component whose references fail keeps the files that it runs with; one that never had any is missing from the result.
    """
    found = {
        name: await kube.get(CONFIG_MAP, pool.namespace, name) for name in sorted(referenced(pool)[CONFIG_MAP.name])
    }
    result: dict[str, dict[str, str]] = {}
    problems = {}
    for component, references in _references(pool).items():
        try:
            result[component] = _files(references, found)
        except UnusableError as error:
            problems[str(error)] = Problem(ConditionType.CONFIG_VALID, error.reason, str(error))
            mounted = user_files(children.get(CONFIG_MAP, names.config(component)))
            if mounted is not None:
                result[component] = mounted
    return result, list(problems.values())


def _files(references: list[tuple[str, str]], found: Mapping[str, Mapping[str, Any] | None]) -> dict[str, str]:
    files: dict[str, str] = {}
    for position, (path, name) in enumerate(references):
        where = f"{path}.configMapRefs[{name}]"
        config_map = found[name]
        if config_map is None:
            raise UnusableError(
                Reason.CONFIG_MAP_NOT_FOUND, f"{where}: there is no ConfigMap {name}: create it or remove the reference"
            )
        if config_map.get("binaryData"):
            raise UnusableError(
                Reason.CONFIG_MAP_INVALID,
                f"{where}: ConfigMap {name} has binaryData: keep configuration as text in data",
            )
        for key, text in sorted((config_map.get("data") or {}).items()):
            file_name = user_file_name(position, name, key)
            if len(file_name) > _NAME_LIMIT:
                raise UnusableError(Reason.CONFIG_MAP_INVALID, f"{where}: the key {key[:40]}… is too long: shorten it")
            if refused := findings(text):
                raise UnusableError(Reason.CONFIG_MAP_INVALID, f"{_place(path, name, key)}, {refused[0]}")
            files[file_name] = text
    return files


async def read_accounts(
    kube: Kube, pool: Pool, names: Names, children: Children, hasher: PasswordHasher
) -> tuple[tuple[Account, ...], list[Problem]]:
    """Return the accounts of the user database, and what is wrong with the Secrets behind them.

    A user whose Secret cannot be used stays as the database has him; a new one gets an account that nothing opens.
    """
    database = children.secret(names.users)
    ssh = pool.spec.submitter.ssh
    logins, problems = [], []
    for user in ssh.users if ssh else []:
        try:
            logins.append(await _login(kube, pool, user))
        except UnusableError as error:
            logins.append(Login(user.name, keep=True))
            problems.append(Problem(ConditionType.USERS_VALID, error.reason, str(error)))
    return await update_accounts(database, logins, hasher, _former_uids(names, children)), problems


def _former_uids(names: Names, children: Children) -> dict[str, int]:
    """Return the UIDs of the users whose homes are on a claim that a former pool of this name left behind."""
    claim = children.get(CLAIM, names.submitter) or {"metadata": {}}
    uids: dict[str, int] = json.loads(claim["metadata"].get("annotations", {}).get(labels.UIDS, "{}"))
    return uids


async def _login(kube: Kube, pool: Pool, user: User) -> Login:
    where = f"spec.submitter.ssh.users[{user.name}]"
    keys = password = None
    if user.authorized_keys_secret_ref is not None:
        field = f"{where}.authorizedKeysSecretRef"
        keys = check_keys(await _text(kube, pool, field, user.authorized_keys_secret_ref, "authorized_keys"), field)
    if user.password_secret_ref is not None:
        field = f"{where}.passwordSecretRef"
        password = check_password(await _text(kube, pool, field, user.password_secret_ref, "password"), field)
    return Login(user.name, keys, password)


async def _text(kube: Kube, pool: Pool, field: str, reference: SecretKeyReference, default_key: str) -> str:
    key = reference.key or default_key
    secret = await kube.get(SECRET, pool.namespace, reference.name)
    if secret is None:
        raise UnusableError(
            Reason.SECRET_NOT_FOUND, f"{field}: there is no Secret {reference.name}: create it with the key {key}"
        )
    encoded = (secret.get("data") or {}).get(key)
    if encoded is None:
        raise UnusableError(
            Reason.SECRET_INVALID, f"{field}: Secret {reference.name} has no key {key}: add it, or name the right key"
        )
    try:
        return base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise UnusableError(
            Reason.SECRET_INVALID, f"{field}: key {key} of Secret {reference.name} is not UTF-8 text"
        ) from None


def _mount_secrets(pool: Pool) -> Iterator[tuple[str, str, str | None]]:
    """Return (path in the spec, name, key that has to be there) of the Secrets of all mounts."""
    for group in pool.spec.groups:
        for mount in group.mounts:
            path = f"spec.executors[{group.name}].mounts[{mount.name}]"
            if mount.secret_ref is not None:
                yield f"{path}.secretRef", mount.secret_ref.name, None
            if mount.oneclient is not None:
                token = mount.oneclient.token_secret_ref
                yield f"{path}.oneclient.tokenSecretRef", token.name, token.key


async def check_mounts(kube: Kube, pool: Pool) -> list[Problem]:
    """Return what is wrong with the Secrets of mounts; they go from Kubernetes to the pods, and nobody here looks at their content."""
    problems = []
    for path, name, key in _mount_secrets(pool):
        secret = await kube.get(SECRET, pool.namespace, name)
        if secret is None:
            what = f"{path}: there is no Secret {name}: create it" + (f" with the key {key}" if key else "")
            problems.append(Problem(ConditionType.EXECUTORS_READY, Reason.SECRET_NOT_FOUND, what))
        elif key is not None and key not in (secret.get("data") or {}):
            what = f"{path}: Secret {name} has no key {key}: add it, or name the right key"
            problems.append(Problem(ConditionType.EXECUTORS_READY, Reason.SECRET_INVALID, what))
    return problems


def check_keys(text: str, field: str) -> str:
    """Return the text of an authorized_keys file that holds at least one public key; the message of a refusal never holds the text."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if "\0" in text or not keys:
        raise UnusableError(
            Reason.SECRET_INVALID, f"{field}: holds no public key: put the user's id_ed25519.pub or the like there"
        )
    for number, line in enumerate(lines, start=1):
        if line in keys and not _PUBLIC_KEY.search(line):
            raise UnusableError(
                Reason.SECRET_INVALID, f"{field}: line {number} is not a public key as ssh-keygen writes it"
            )
    return "\n".join(keys) + "\n"


def check_password(text: str, field: str) -> str:
    """Return a password without the newline that editors add; the message of a refusal never holds it."""
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UnusableError(Reason.SECRET_INVALID, f"{field}: the password is empty")
    if len(password.encode()) > _PASSWORD_LIMIT:
        raise UnusableError(Reason.SECRET_INVALID, f"{field}: the password has more than {_PASSWORD_LIMIT} bytes")
    if not password.isprintable():
        raise UnusableError(
            Reason.SECRET_INVALID, f"{field}: the password holds a newline or another control character"
        )
    return password

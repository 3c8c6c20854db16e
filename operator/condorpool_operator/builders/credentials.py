"""The Secrets that the operator makes: signing keys, tokens, host key, user database."""

import base64
from collections.abc import Mapping
from typing import Any

from .. import naming
from ..naming import Names
from .context import Account, AgentCredentials, Context

HOST_KEY_FILE = "ssh_host_ed25519_key"
TOKEN_FILE = "token"
CERTIFICATE_FILE, PRIVATE_KEY_FILE, METRICS_TOKEN_FILE = "tls.crt", "tls.key", "metrics-token"
DRAIN_FILE = "drain-token"
LOGIN_SHELL = "/bin/bash"
NO_LOGIN_SHELL = "/usr/sbin/nologin"


def build_credentials(context: Context) -> list[dict[str, Any]]:
    """Return signing keys (for the manager alone), one Secret per role's token, the agent's, and the host key while ssh is on."""
    credentials, names = context.credentials, context.names
    files = {names.agent: agent_files(credentials.agent)}
    components = {names.agent: naming.MANAGER, names.token(naming.MONITOR): naming.MANAGER}
    for role, token in sorted(credentials.tokens.items()):
        secret, file = token_place(names, role)
        files.setdefault(secret, {})[file] = token
        components.setdefault(secret, role)
    secrets = [_secret(context, names.signing_keys, naming.MANAGER, credentials.signing_keys)]
    secrets += [_secret(context, name, components[name], content) for name, content in files.items()]
    if credentials.host_key is not None:
        secrets.append(
            _secret(context, context.names.host_keys, naming.SUBMITTER, {HOST_KEY_FILE: credentials.host_key})
        )
    return secrets


def token_place(names: Names, role: str) -> tuple[str, str]:
    """Return the Secret of a role's token, and its key there: what the agent drains with is in the one that it mounts whole."""
    return (names.agent, DRAIN_FILE) if role == naming.DRAIN else (names.token(role), TOKEN_FILE)


def agent_files(agent: AgentCredentials) -> dict[str, bytes]:
    """Return the keys of the agent's Secret but the token that it drains with."""
    return {
        CERTIFICATE_FILE: agent.certificate,
        PRIVATE_KEY_FILE: agent.private_key,
        TOKEN_FILE: agent.token,
        METRICS_TOKEN_FILE: agent.metrics_token,
    }


def build_users(context: Context) -> dict[str, Any]:
    """Return the Secret with the user database, in the formats of passwd(5), group(5), shadow(5) and sshd(8)."""
    return _secret(context, context.names.users, naming.SUBMITTER, user_database(context.accounts))


def user_database(accounts: tuple[Account, ...]) -> dict[str, bytes]:
    """Return the files of the user database; an account that nothing opens keeps its UID and has no shell."""
    files = {
        "passwd": "".join(_passwd_line(account) for account in accounts),
        "group": "".join(f"{account.name}:x:{account.uid}:\n" for account in accounts),
        "shadow": "".join(f"{account.name}:{account.password_hash or '*'}:::::::\n" for account in accounts),
    }
    for account in accounts:
        if account.authorized_keys is not None:
            files[f"authorized_keys.{account.name}"] = account.authorized_keys
    return {name: text.encode() for name, text in files.items()}


def _passwd_line(account: Account) -> str:
    is_open = account.authorized_keys is not None or account.password_hash is not None
    shell = LOGIN_SHELL if is_open else NO_LOGIN_SHELL
    return f"{account.name}:x:{account.uid}:{account.uid}::/home/{account.name}:{shell}\n"


def _secret(context: Context, name: str, component: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": context.metadata(name, component),
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in sorted(files.items())},
    }

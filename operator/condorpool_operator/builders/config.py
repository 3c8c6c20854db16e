"""HTCondor's and sshd's configuration: the operator's defaults, the user's files, the settings that the operator owns."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import naming
from ..api.v1alpha1 import Ssh
from ..naming import Names
from .context import Context

_templates = Environment(
    loader=PackageLoader("condorpool_operator"),
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)

DEFAULTS_FILE = "10-defaults.conf"
OWNED_FILE = "90-operator.conf"
USER_PREFIX = "50-"


def render(template: str, **values: object) -> str:
    """Return a template filled in; a value that is missing is an error."""
    return _templates.get_template(template).render(**values)


def user_file_name(position: int, reference: str, key: str) -> str:
    """Return the name under which a key of a user's ConfigMap is read: the position keeps the order of the spec."""
    return f"{USER_PREFIX}{position:02d}-{reference}-{key}"


def user_files(config_map: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the user's files in a component's live ConfigMap; None where there is none yet."""
    if config_map is None:
        return None
    return {name: text for name, text in (config_map.get("data") or {}).items() if name.startswith(USER_PREFIX)}


def config_files(
    names: Names, component: str, role: str, user_files: Mapping[str, str], *, mounts: bool = False
) -> dict[str, str]:
    """Return the files of a component by name: in lexical order they are what its daemons read."""
    values = {
        "pool": names.pool,
        "trust_domain": names.trust_domain,
        "manager_host": names.manager_host,
        "group": component,
        "mounts": mounts,
    }
    return {
        DEFAULTS_FILE: render(f"{role}-defaults.conf.j2", **values),
        **user_files,
        OWNED_FILE: render(f"{role}-operator.conf.j2", **values),
    }


def build_config(context: Context, component: str, role: str) -> dict[str, Any]:
    """Return the ConfigMap of one component."""
    group = component if role == naming.EXECUTOR else None
    mounts = any(one.mounts for one in context.pool.spec.groups if one.name == group)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": context.metadata(context.names.config(component), role, group),
        "data": config_files(context.names, component, role, context.user_config[component], mounts=mounts),
    }


def build_sshd_config(context: Context, ssh: Ssh) -> dict[str, Any]:
    """Return the ConfigMap with sshd's configuration.

    Passwords are refused altogether unless a user has one; who guesses is slowed down where sshd sees the clients' own addresses.
    """
    sshd_config = render(
        "sshd_config.j2",
        pool=context.pool.name,
        password_authentication=any(user.password_secret_ref for user in ssh.users),
        client_addresses=ssh.service.type == "ClusterIP" or ssh.service.traffic_policy == "Local",
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": context.metadata(context.names.ssh, naming.SUBMITTER),
        "data": {"sshd_config": sshd_config},
    }

"""HTCondor's and sshd's configuration: the operator's defaults, the user's files, the settings that the operator owns."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import naming
from ..api.v1alpha1 import Ssh
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


def build_config(context: Context, component: str, role: str) -> dict[str, Any]:
    """Return the ConfigMap of one component: its keys, in lexical order, are what the daemons read."""
    values = {
        "pool": context.pool.name,
        "trust_domain": context.names.trust_domain,
        "manager_host": context.names.manager_host,
        "group": component,
    }
    group = component if role == naming.EXECUTOR else None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": context.metadata(context.names.config(component), role, group),
        "data": {
            DEFAULTS_FILE: render(f"{role}-defaults.conf.j2", **values),
            **context.user_config[component],
            OWNED_FILE: render(f"{role}-operator.conf.j2", **values),
        },
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

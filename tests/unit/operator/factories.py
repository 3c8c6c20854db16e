"""Pools and contexts for the unit tests."""

from typing import Any

from condorpool_operator.builders.context import Account, AgentCredentials, Context, Credentials
from condorpool_operator.kinds import NETWORK_POLICY
from condorpool_operator.naming import Names
from condorpool_operator.pool import Pool
from condorpool_operator.settings import Settings

UID = "11111111-2222-3333-4444-555555555555"
CREDENTIALS = Credentials(
    signing_keys={
        "submitter": b"key-of-submitters",
        "executor": b"key-of-executors",
        "monitor": b"key-of-monitors",
        "drain": b"key-of-drains",
    },
    tokens={
        "submitter": b"token-of-submitters",
        "executor": b"token-of-executors",
        "monitor": b"token-of-monitors",
        "drain": b"token-of-drains",
    },
    host_key=b"private-part-of-sshd",
    agent=AgentCredentials(b"certificate", b"private-part-of-agent", b"token-for-agent", b"token-for-metrics"),
)
SETTINGS = Settings(
    dns_servers=("10.96.0.10",), operator_namespace="condorpool-system", operator_labels={"app": "operator"}
)
JOHN = {"name": "john", "authorizedKeysSecretRef": {"name": "john"}}
JANE = {"name": "jane", "passwordSecretRef": {"name": "jane", "key": "pw"}}


def make_pool(spec: dict[str, Any] | None = None, name: str = "demo", generation: int = 1) -> Pool:
    """Return a pool as parsed from an object with this spec."""
    metadata = {"name": name, "namespace": "physics", "uid": UID, "generation": generation}
    return Pool.parse({"metadata": metadata, "spec": spec or {}})


def make_context(spec: dict[str, Any] | None = None, **changes: Any) -> Context:
    """Return the context of a pool whose references are all resolved, to nothing."""
    pool = make_pool(spec)
    components = ["manager", "submitter", *(group.name for group in pool.spec.groups)]
    values: dict[str, Any] = {
        "pool": pool,
        "names": Names(pool.name, pool.namespace),
        "settings": SETTINGS,
        "user_config": {component: {} for component in components},
        "credentials": CREDENTIALS,
        "accounts": (Account("john", 10001, "ssh-ed25519 AAAA john\n", "$2b$hash"),),
        "policy_kind": NETWORK_POLICY,
    }
    return Context(**(values | changes))

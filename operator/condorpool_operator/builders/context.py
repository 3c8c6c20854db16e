"""What the builders need besides the spec: everything that had to be read, made or looked up before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import labels
from ..api.v1alpha1 import API_VERSION, KIND
from ..kinds import Kind
from ..naming import Names
from ..pool import Pool
from ..settings import Settings


@dataclass(frozen=True)
class AgentCredentials:
    """What the manager's agent is reached by: its certificate and private key (PEM), and the tokens that open it, or its metrics alone."""

    certificate: bytes
    private_key: bytes
    token: bytes
    metrics_token: bytes


@dataclass(frozen=True)
class Credentials:
    """Signing keys and tokens by role, as bytes of the files that HTCondor reads; sshd's private host key; the agent's."""

    signing_keys: Mapping[str, bytes]
    tokens: Mapping[str, bytes]
    host_key: bytes | None
    agent: AgentCredentials


@dataclass(frozen=True)
class Account:
    """One entry of the user database; without keys and password hash nobody can log in."""

    name: str
    uid: int
    authorized_keys: str | None = None
    password_hash: str | None = None


@dataclass(frozen=True)
class Context:
    """A pool with all that its objects are built from."""

    pool: Pool
    names: Names
    settings: Settings
    user_config: Mapping[str, Mapping[str, str]]
    """Files of the user's configuration by component; a component is missing while its first configuration cannot be read."""
    credentials: Credentials
    accounts: tuple[Account, ...]
    policy_kind: Kind | None
    """Kind of the network policies in effect; None where there are none."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Sizes of StatefulSets by group, where they are not what the group asks for: executors at their end are not empty yet."""
    ends: str = ""
    """What the submitter is told of executors that are gone (`ends.py`)."""

    @property
    def image(self) -> str:
        """The role image in effect."""
        image = self.pool.spec.image
        return f"{image.repository or self.settings.image_repository}:{image.tag or self.settings.image_tag}"

    def metadata(
        self, name: str, component: str | None = None, group: str | None = None, *, retained: bool = False
    ) -> dict[str, Any]:
        """Return the metadata of a child: labels, and unless it is retained the owner reference by which it goes with the pool."""
        owner = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.pool.name,
            "uid": self.pool.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        return {
            "name": name,
            "namespace": self.pool.namespace,
            "labels": labels.owned(self.pool.name, self.pool.uid, component, group),
            **({} if retained else {"ownerReferences": [owner]}),
        }

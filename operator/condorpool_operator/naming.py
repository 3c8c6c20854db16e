"""The name of every object of a pool, and the addresses that follow from names."""

from dataclasses import dataclass

MANAGER = "manager"
SUBMITTER = "submitter"
EXECUTOR = "executor"
"""Roles: arguments of the image, and identities of the daemons (``executor@<trust domain>``)."""

MONITOR, DRAIN = "monitor", "drain"
"""Identities of the agent beside the manager's daemons: it reads with one, and drains executors with the other."""

TOKEN_ROLES = (SUBMITTER, EXECUTOR, MONITOR, DRAIN)
"""Those that have a token; the manager's daemons need none."""

CONDOR_CONTAINER = "condor"
"""HTCondor's container in every pod; whatever else is in a pod may be injected."""
CONDOR_PORT = 9618
AGENT_PORT = 9619
SSH_PORT = 22


@dataclass(frozen=True)
class Names:
    """Names of a pool's objects, from the pool's name and namespace and the cluster's DNS domain."""

    pool: str
    namespace: str
    cluster_domain: str = "cluster.local"

    @property
    def trust_domain(self) -> str:
        """HTCondor's TRUST_DOMAIN and UID_DOMAIN, unique in the cluster."""
        return f"{self.pool}.{self.namespace}"

    @property
    def manager(self) -> str:
        """Deployment, Service and claim of the central manager."""
        return f"{self.pool}-manager"

    @property
    def manager_host(self) -> str:
        """DNS name of the manager's Service."""
        return f"{self.manager}.{self.namespace}.svc.{self.cluster_domain}"

    @property
    def collector(self) -> str:
        """Address of the collector, host:port."""
        return f"{self.manager_host}:{CONDOR_PORT}"

    @property
    def submitter(self) -> str:
        """StatefulSet, headless Service and claim of the submitter."""
        return f"{self.pool}-submitter"

    @property
    def submitter_pod(self) -> str:
        """The one pod of the submitter."""
        return f"{self.submitter}-0"

    @property
    def ssh(self) -> str:
        """Service for ssh, and ConfigMap with sshd's configuration."""
        return f"{self.pool}-ssh"

    @property
    def signing_keys(self) -> str:
        """Secret with the signing keys, mounted by the manager only."""
        return f"{self.pool}-signing-keys"

    @property
    def agent(self) -> str:
        """Secret with the certificate of the manager's agent, its private key, the tokens that open it, and the one it drains with."""
        return f"{self.pool}-agent"

    @property
    def host_keys(self) -> str:
        """Secret with sshd's host key."""
        return f"{self.pool}-ssh-host-keys"

    @property
    def users(self) -> str:
        """Secret with the user database."""
        return f"{self.pool}-users"

    @property
    def executors(self) -> str:
        """Network policy of the executors of all groups."""
        return f"{self.pool}-executors"

    def beacon(self, uid: str) -> str:
        """Service that lives as long as the pool of this UID, and no longer."""
        return f"{self.pool}-{uid[:8]}"

    def beacon_host(self, uid: str) -> str:
        """DNS name of the beacon."""
        return f"{self.beacon(uid)}.{self.namespace}.svc.{self.cluster_domain}"

    def token(self, role: str) -> str:
        """Secret with a role's token."""
        return f"{self.pool}-{role}-token"

    def group(self, group: str) -> str:
        """StatefulSet, headless Service and disruption budget of an executor group."""
        return f"{self.pool}-{group}"

    def config(self, component: str) -> str:
        """ConfigMap with the configuration of the manager, the submitter or an executor group."""
        return f"{self.pool}-{component}-config"

"""``condorpool.dev/v1alpha1``, kind CondorPool: the spec that users write.

A field is added here only together with the code that gives it an effect. Presets (images, sizes) are resolved in code and shown in
status; the schema has defaults only for stable scalars, so that later ways of sizing can exclude each other cleanly.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from .model import ConfigMapName, DataKey, Duration, IntOrPercent, Model, ObjectName, Quantity, list_map, rules
from .mounts import MOUNTS_MAX, Mount, nested
from .network import Cidr, NetworkPolicy
from .placement import Annotations, Placement, Resources

GROUP = "condorpool.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "CondorPool"
PLURAL = "condorpools"

POOL_NAME_MAX = 30
GROUP_NAME_MAX = 20
"""``<pool>-<group>`` leaves room for the revision label of a StatefulSet (52 characters) and its pods' host names (63)."""

DEFAULT_GROUP = "executor"
RESERVED_GROUPS = ("manager", "submitter", "ssh")

SYSTEM_USERS = (
    *(
        "root",
        "daemon",
        "bin",
        "sys",
        "sync",
        "games",
        "man",
        "lp",
        "mail",
        "news",
        "uucp",
        "proxy",
        "www-data",
        "backup",
    ),
    *("list", "irc", "nobody", "nogroup", "sshd", "condor", "messagebus", "submitter", "executor", "manager", "admin"),
)
"""Accounts of the image and identities of the pool's daemons."""

_SYSTEM_USER = f"self in {list(SYSTEM_USERS)} || self.startsWith('systemd-') || self.startsWith('slot')"


class Image(Model):
    """The role image that the pool's pods run."""

    repository: (
        Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9._:/]*[a-zA-Z0-9])?$")]
        | None
    ) = None
    """Image repository; the operator's default when absent."""
    tag: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][-A-Za-z0-9._]*$")] | None = None
    """Image tag; the operator's default when absent."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the kubelet pulls the image; the operator's default when absent."""
    pull_secrets: Annotated[list[ObjectName], Field(max_length=8)] | None = None
    """Secrets in the pool's namespace with credentials for the image's registry."""


class ConfigMapReference(Model):
    """A ConfigMap in the pool's namespace."""

    name: ConfigMapName
    """Name of the ConfigMap; every key in it is one file of HTCondor configuration."""


class Config(Model):
    """The user's HTCondor configuration: read after the operator's defaults, before the settings that the operator owns."""

    config_map_refs: Annotated[
        tuple[ConfigMapReference, ...], Field(max_length=16, json_schema_extra=list_map("name"))
    ] = ()
    """ConfigMaps in the order in which they are read: a later one wins."""


class SecretKeyReference(Model):
    """One key of a Secret in the pool's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: DataKey | None = None
    """Key in the Secret; authorized_keys for keys and password for a password when absent."""


class User(Model):
    """An unprivileged account that may log in to the submitter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.authorizedKeysSecretRef) || has(self.passwordSecretRef)",
                "a user needs authorizedKeysSecretRef, passwordSecretRef or both",
            )
        )
    )

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=32,
            pattern=r"^[a-z][-a-z0-9_]*$",
            json_schema_extra=rules((f"!({_SYSTEM_USER})", "this name belongs to the system: choose another")),
        ),
    ]
    """Login name: a lower-case letter, then lower-case letters, digits, - and _."""
    authorized_keys_secret_ref: SecretKeyReference | None = None
    """Secret with the public keys that may log in, as in an authorized_keys file."""
    password_secret_ref: SecretKeyReference | None = None
    """Secret with the password; only its hash reaches the pool."""

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name in SYSTEM_USERS or self.name.startswith(("systemd-", "slot")):
            raise ValueError("this name belongs to the system: choose another")
        return self


_RANGES_NEED_LOCAL = (
    "!has(self.sourceRanges) || size(self.sourceRanges) == 0 || !has(self.externalTrafficPolicy) || "
    "self.externalTrafficPolicy == 'Local'"
)
_RANGES_NEED_LOCAL_MESSAGE = (
    "sourceRanges needs externalTrafficPolicy Local or absent: with Cluster every client has the address of a node"
)


class SshService(Model):
    """The Service by which ssh is reached."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.nodePort) || self.type != 'ClusterIP'", "nodePort needs type NodePort or LoadBalancer"),
            (
                "!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",
                "externalTrafficPolicy needs type NodePort or LoadBalancer",
            ),
            (_RANGES_NEED_LOCAL, _RANGES_NEED_LOCAL_MESSAGE),
        )
    )

    type: Literal["NodePort", "LoadBalancer", "ClusterIP"] = "NodePort"
    """Type of the Service."""
    node_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port on every node; chosen by Kubernetes when absent."""
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    """Local: sshd sees the client's address, only the submitter's node answers; the default where sourceRanges is set.

    Cluster, the default otherwise: every node answers.
    """
    source_ranges: Annotated[tuple[Cidr, ...], Field(max_length=32)] = ()
    """Networks whose clients may reach sshd; all when empty."""
    annotations: Annotations | None = None
    """Annotations of the Service, for the controller of a load balancer."""

    @model_validator(mode="after")
    def _ranges_see_clients(self) -> Self:
        if self.source_ranges and self.external_traffic_policy == "Cluster":
            raise ValueError(_RANGES_NEED_LOCAL_MESSAGE)
        return self

    @property
    def traffic_policy(self) -> Literal["Cluster", "Local"] | None:
        """The externalTrafficPolicy in effect; None where the type has none, or leaves it to Kubernetes."""
        if self.source_ranges and self.type != "ClusterIP":
            return "Local"
        return self.external_traffic_policy


class Ssh(Model):
    """Log-in to the submitter."""

    users: Annotated[list[User], Field(min_length=1, max_length=200, json_schema_extra=list_map("name"))]
    """Who may log in."""
    service: SshService = SshService()
    """The Service by which ssh is reached: a NodePort chosen by Kubernetes when absent."""
    resources: Resources | None = None
    """Requests and limits of the sshd container, in which the users' sessions run."""


class Storage(Model):
    """The claim that holds the job queue and the home directories."""

    size: Quantity = "10Gi"
    """Size of the claim; it may grow where the StorageClass can, never shrink."""
    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """StorageClass of the claim, fixed at creation; the cluster's default when absent."""
    retention_policy: Literal["Delete", "Retain"] = "Delete"
    """Whether the claim goes with the pool. A retained claim is taken over by the next pool of that name, with users and queue."""


class ManagerStorage(Storage):
    """The claim that holds what users have used, by which the negotiator shares the pool out."""

    size: Quantity = "1Gi"
    """Size of the claim; it may grow where the StorageClass can, never shrink."""
    retention_policy: Literal["Delete", "Retain"] = "Delete"
    """Whether the claim goes with the pool. A retained claim is taken over by the next pool of that name, with priorities and usage."""


class Manager(Placement):
    """The central manager: collector and negotiator."""

    resources: Resources | None = None
    """Requests and limits of the container."""
    config: Config = Config()
    """HTCondor configuration of the manager alone."""
    storage: ManagerStorage | None = None
    """The claim for users' priorities and usage, which begin anew with each pod of the manager where absent.

    Taken out of the spec, the claim itself stays until the pool goes.
    """


class Submitter(Placement):
    """The access point, one per pool: schedd, and sshd where asked for."""

    resources: Resources | None = None
    """Requests and limits of the schedd's container."""
    config: Config = Config()
    """HTCondor configuration of the submitter alone."""
    storage: Storage = Storage()
    """The claim for the job queue and the homes."""
    ssh: Ssh | None = None
    """Log-in by ssh; off when absent."""


def _at_least(resource: str, minimum: str) -> str:
    limits = "self.resources.limits"
    has = f"has(self.resources) && has({limits}) && '{resource}' in {limits}"
    return f"!({has}) || quantity(string({limits}['{resource}'])).compareTo(quantity('{minimum}')) >= 0"


_MOUNTS_NEED_PRIVILEGES = "mounts need privileged: true"
_MOUNTS_ARE_APART = "the path of a mount must not lie at or below that of another"


class ExecutorGroup(Placement):
    """A group of like executors: pods with one partitionable slot each."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"!(self.name in {list(RESERVED_GROUPS)})",
                "the names manager, submitter and ssh are taken: choose another",
            ),
            (
                _at_least("memory", "256Mi"),
                "limits.memory of an executor must be at least 256Mi, of which the daemons need the first part",
            ),
            (
                _at_least("ephemeral-storage", "1Gi"),
                "limits.ephemeral-storage of an executor must be at least 1Gi, of which logs need the first part",
            ),
            ("!has(self.mounts) || size(self.mounts) == 0 || self.privileged", _MOUNTS_NEED_PRIVILEGES),
            (
                "!has(self.mounts) || self.mounts.all(a, self.mounts.all(b, a.name == b.name || !(a.path + '/').startsWith(b.path + '/')))",
                _MOUNTS_ARE_APART,
            ),
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=GROUP_NAME_MAX, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    """Name of the group, unique in the pool."""
    replicas: Annotated[int, Field(ge=0, le=10000)] | None = None
    """How many executors; 1 when absent."""
    privileged: bool = True
    """Whether the container is privileged, as FUSE file systems in jobs and mounts need."""
    resources: Resources | None = None
    """Size of one executor: 1 CPU, 1Gi, 4Gi of ephemeral-storage where absent. Jobs get the limits minus the daemons' overhead."""
    drain_timeout: Duration = "24h"
    """How long running jobs go on after their pod was told to end; then they are evicted and queued again."""
    max_unavailable: IntOrPercent = "25%"
    """How many executors, or which share, may be away at once while pods are replaced or nodes drained; at least one."""
    config: Config = Config()
    """HTCondor configuration of this group alone."""
    mounts: Annotated[tuple[Mount, ...], Field(max_length=MOUNTS_MAX, json_schema_extra=list_map("name"))] = ()
    """FUSE file systems for the jobs of this group."""

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name in RESERVED_GROUPS:
            raise ValueError("the names manager, submitter and ssh are taken: choose another")
        return self

    @model_validator(mode="after")
    def _mounts_can_be(self) -> Self:
        if self.mounts and not self.privileged:
            raise ValueError(_MOUNTS_NEED_PRIVILEGES)
        if nested(self.mounts):
            raise ValueError(_MOUNTS_ARE_APART)
        return self


def _old_and_new_class(role: str) -> str:
    return " == ".join(
        f"(has({s}.{role}) && has({s}.{role}.storage) && has({s}.{role}.storage.storageClassName) "
        f"? {s}.{role}.storage.storageClassName : '')"
        for s in ("self", "oldSelf")
    )


_MANAGER_HAS_NO_CLAIM = " || ".join(f"!has({s}.manager) || !has({s}.manager.storage)" for s in ("self", "oldSelf"))


class CondorPoolSpec(Model):
    """What the pool should be; an empty spec is a working pool with one executor."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (_old_and_new_class("submitter"), "submitter.storage.storageClassName is fixed at creation"),
            (
                f"{_MANAGER_HAS_NO_CLAIM} || {_old_and_new_class('manager')}",
                "manager.storage.storageClassName is fixed at creation",
            ),
        )
    )

    paused: bool = False
    """Whether the operator leaves the pool's objects alone."""
    image: Image = Image()
    """The role image; the operator's default when absent."""
    config: Config = Config()
    """HTCondor configuration of every role."""
    manager: Manager = Manager()
    """The central manager."""
    submitter: Submitter = Submitter()
    """The access point."""
    executors: Annotated[list[ExecutorGroup], Field(max_length=32, json_schema_extra=list_map("name"))] | None = None
    """Groups of executors; one group called executor with one pod when absent, none when empty."""
    network_policy: NetworkPolicy = NetworkPolicy()
    """Isolation of the pool in the network."""

    @property
    def groups(self) -> tuple[ExecutorGroup, ...]:
        """The executor groups in effect, sorted by name so that their order in the list makes no difference."""
        groups = [ExecutorGroup(name=DEFAULT_GROUP)] if self.executors is None else self.executors
        return tuple(sorted(groups, key=lambda group: group.name))

"""The status of a CondorPool: what `kubectl get`, `describe` and `wait` show."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .model import Model, list_map


class ConditionType(StrEnum):
    """Conditions of a pool: the set is fixed, and all but the last two are good when True; StateKnown alone is no part of Ready."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    CONFIG_VALID = "ConfigValid"
    USERS_VALID = "UsersValid"
    MANAGER_READY = "ManagerReady"
    SUBMITTER_READY = "SubmitterReady"
    EXECUTORS_READY = "ExecutorsReady"
    NETWORK_POLICY_ENFORCED = "NetworkPolicyEnforced"
    STATE_KNOWN = "StateKnown"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Machine-readable reasons in conditions and events; each has an entry in docs/troubleshooting.md."""

    ACCEPTED = "Accepted"
    AVAILABLE = "Available"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    FORMER_POOL = "FormerPool"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    API_REFUSED = "ApiRefused"
    FORBIDDEN = "Forbidden"
    API_UNAVAILABLE = "ApiUnavailable"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    CONFIG_MAP_INVALID = "ConfigMapInvalid"
    CONFIG_UNCHECKED = "ConfigUnchecked"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_INVALID = "SecretInvalid"
    RESOLVED = "Resolved"
    ENFORCED = "Enforced"
    DISABLED = "Disabled"
    CALICO_NOT_SERVED = "CalicoNotServed"
    CONFIG_REFUSED = "ConfigRefused"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    POD_NOT_CREATED = "PodNotCreated"
    POD_NOT_STARTED = "PodNotStarted"
    CRASH_LOOPING = "CrashLooping"
    OUT_OF_MEMORY = "OutOfMemory"
    CLAIM_PENDING = "ClaimPending"
    SPOOL_FULL = "SpoolFull"
    QUEUE_CORRUPT = "QueueCorrupt"
    CLOCK_SKEW = "ClockSkew"
    NOT_JOINED = "NotJoined"
    NOT_ANSWERING = "NotAnswering"
    PODS_NOT_READY = "PodsNotReady"
    ROLLING_OUT = "RollingOut"
    NOT_IN_COLLECTOR = "NotInCollector"
    MOUNT_BROKEN = "MountBroken"
    ANSWERING = "Answering"
    AGENT_SILENT = "AgentSilent"
    EXECUTOR_GONE = "ExecutorGone"
    EXECUTOR_LOST = "ExecutorLost"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    SETTLED = "Settled"


class Condition(Model):
    """One condition, with the six standard fields."""

    type: Annotated[str, Field(max_length=316)]
    """Name of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, for people, with the fix where there is one."""
    observed_generation: int
    """Generation of the spec that the condition is about."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status of the condition last changed."""


class SshStatus(Model):
    """How to log in."""

    endpoint: str | None = None
    """host:port for ssh; absent while there is none."""


class StorageStatus(Model):
    """The claim of a role."""

    size: str
    """Capacity of the claim; storage.size in the spec cannot be set below it."""


class ManagerStatus(Model):
    """The manager as seen from the cluster."""

    address: str
    """Address of the collector, host:port."""
    storage: StorageStatus | None = None
    """The claim; absent while there is none."""


class NetworkPolicyStatus(Model):
    """Isolation of the pool."""

    mode: Literal["Calico", "Kubernetes", "Disabled"]
    """Kind of policies in effect."""


class SubmitterStatus(Model):
    """The submitter as seen from outside."""

    storage: StorageStatus | None = None
    """The claim; absent before it exists."""
    ssh: SshStatus | None = None
    """Log-in by ssh; absent when off."""


class SlotStatus(Model):
    """Slots as the collector knows them; one for each CPU that executors offer to jobs."""

    total: int
    """Slots on offer."""
    claimed: int
    """Slots that jobs have."""
    draining: int
    """Slots of executors that take no new job."""


class JobStatus(Model):
    """Jobs in the queue, as the schedd last told."""

    idle: int
    """Jobs that wait."""
    running: int
    """Jobs that run."""
    held: int
    """Jobs that wait for a person."""


class GroupStatus(Model):
    """One executor group."""

    name: str
    """Name of the group."""
    desired: int
    """Executors asked for."""
    ready: int
    """Executors that are ready, of the current template and not draining."""
    draining: int
    """Executors that take no new job and end when their running jobs have."""
    slots: SlotStatus | None = None
    """The group's slots; absent while the pool's agent does not tell."""


class CondorPoolStatus(Model):
    """What the operator saw, at the generation that it names."""

    observed_generation: int
    """Generation of the spec that this status is about; -1 before the first look."""
    conditions: Annotated[list[Condition], Field(max_length=16, json_schema_extra=list_map("type"))] | None = None
    """State of the pool; wait for Ready."""
    image: str | None = None
    """Role image in effect."""
    manager: ManagerStatus | None = None
    """The central manager."""
    submitter: SubmitterStatus | None = None
    """The access point."""
    executors: Annotated[list[GroupStatus], Field(max_length=32, json_schema_extra=list_map("name"))] | None = None
    """The executor groups."""
    network_policy: NetworkPolicyStatus | None = None
    """Isolation of the pool in the network."""
    executors_ready: str | None = None
    """Ready and wanted executors of all groups, for the column."""
    slots: SlotStatus | None = None
    """Slots of all groups; absent while the pool's agent does not tell."""
    jobs: JobStatus | None = None
    """Jobs of all users; absent while the pool's agent does not tell."""

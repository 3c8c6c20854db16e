"""The status of a pool: a pure function of what was seen.

Every condition carries the generation that it is about, so that `kubectl wait` never takes yesterday's Ready for today's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .api.status import ConditionType, Reason

COMPONENTS = (
    ConditionType.MANAGER_READY,
    ConditionType.SUBMITTER_READY,
    ConditionType.EXECUTORS_READY,
    ConditionType.NETWORK_POLICY_ENFORCED,
)
VALIDITY = (ConditionType.ACCEPTED, ConditionType.CONFIG_VALID, ConditionType.USERS_VALID)

STALLING = (
    Reason.INVALID_SPEC,
    Reason.NAME_CONFLICT,
    Reason.API_REFUSED,
    Reason.FORBIDDEN,
    Reason.CONFIG_MAP_NOT_FOUND,
    Reason.CONFIG_MAP_INVALID,
    Reason.SECRET_NOT_FOUND,
    Reason.SECRET_INVALID,
    Reason.CALICO_NOT_SERVED,
)
"""Reasons that wait for a person."""


@dataclass(frozen=True)
class Problem:
    """Something that keeps a condition from being True, said so that a user can mend it."""

    condition: ConditionType
    reason: Reason
    message: str


@dataclass(frozen=True)
class Workload:
    """A single-pod workload as its controller reports it."""

    ready: bool
    message: str


@dataclass(frozen=True)
class Group:
    """One executor group: pods wanted, ready with the current template, draining, and outdated."""

    name: str
    desired: int
    ready: int
    draining: int
    outdated: int


@dataclass(frozen=True)
class Observation:
    """What was seen of a valid pool after its objects were applied."""

    manager: Workload
    submitter: Workload
    groups: tuple[Group, ...]
    problems: tuple[Problem, ...]
    image: str
    collector: str
    policy_mode: str
    storage: str | None
    ssh_endpoint: str | None


@dataclass(frozen=True)
class _Finding:
    status: str
    reason: Reason
    message: str


def compute_status(generation: int, observation: Observation, previous: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return the status of a valid pool; times of conditions that did not turn are taken from the previous status."""
    findings = {
        ConditionType.ACCEPTED: _VALID,
        ConditionType.CONFIG_VALID: _Finding("True", Reason.RESOLVED, "all configuration was read"),
        ConditionType.USERS_VALID: _Finding("True", Reason.RESOLVED, "all keys and passwords of users were read"),
        ConditionType.MANAGER_READY: _workload(observation.manager),
        ConditionType.SUBMITTER_READY: _workload(observation.submitter),
        ConditionType.EXECUTORS_READY: _groups(observation.groups),
        ConditionType.NETWORK_POLICY_ENFORCED: _policies(observation.policy_mode),
    }
    for condition in findings:
        found = [problem for problem in observation.problems if problem.condition is condition]
        if found:
            findings[condition] = _Finding("False", found[0].reason, "; ".join(problem.message for problem in found))
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": _conditions(findings, generation, previous, now),
        "image": observation.image,
        "manager": {"address": observation.collector},
        "networkPolicy": {"mode": observation.policy_mode},
        "executors": [
            {"name": group.name, "desired": group.desired, "ready": group.ready, "draining": group.draining}
            for group in observation.groups
        ],
        "executorsReady": f"{sum(g.ready for g in observation.groups)}/{sum(g.desired for g in observation.groups)}",
    }
    submitter: dict[str, Any] = {}
    if (
        observation.ssh_endpoint is not None
    ):  # an empty object would come out of server-side apply as null, and be refused
        submitter["ssh"] = {"endpoint": observation.ssh_endpoint}
    if observation.storage is not None:
        submitter["storage"] = {"size": observation.storage}
    return status | ({"submitter": submitter} if submitter else {})


def invalid_status(generation: int, message: str, previous: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return the status of a pool whose spec cannot be used: what runs goes on running and is still reported."""
    unknown = _Finding("Unknown", Reason.INVALID_SPEC, "the spec is invalid; the pool stays as it was")
    return _unjudged(_Finding("False", Reason.INVALID_SPEC, message), unknown, generation, previous, now)


def paused_status(generation: int, previous: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return the status of a pool that is left alone."""
    paused = _Finding("Unknown", Reason.PAUSED, "the pool is paused: set spec.paused to false to go on")
    return _unjudged(_VALID, paused, generation, previous, now)


def unreadable_status(problem: Problem, generation: int, previous: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return the status of a valid pool of which not enough could be read to do anything."""
    unread = _Finding("Unknown", problem.reason, problem.message)
    return _unjudged(_VALID, unread, generation, previous, now)


_VALID = _Finding("True", Reason.ACCEPTED, "the spec is valid")


def _unjudged(
    accepted: _Finding, others: _Finding, generation: int, previous: Mapping[str, Any], now: str
) -> dict[str, Any]:
    findings = {**dict.fromkeys((*VALIDITY, *COMPONENTS), others), ConditionType.ACCEPTED: accepted}
    conditions = _conditions(findings, generation, previous, now)
    return {**previous, "observedGeneration": generation, "conditions": conditions}


def transitions(previous: Mapping[str, Any], status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the events (type, reason, message) that a change of status is worth: one for each turn, none for progress."""
    before = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    return [
        _event(condition)
        for condition in status["conditions"]
        if _is_event(condition, before.get(condition["type"], {}))
    ]


def _is_event(condition: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether a condition tells something new: Ready that turned, or a finding that waits for a person.

    A finding is told by its own condition only, not by Ready as well.
    """
    turned = condition["status"] != old.get("status")
    is_finding = condition["status"] == "False" and condition["reason"] in STALLING
    if condition["type"] == ConditionType.READY:
        return turned and not is_finding and "True" in (condition["status"], old.get("status"))
    is_told = condition["type"] in (*VALIDITY, *COMPONENTS) and is_finding
    return is_told and (turned or condition["message"] != old.get("message"))


def _event(condition: Mapping[str, Any]) -> tuple[str, str, str]:
    good = condition["status"] == "True"
    reason = "Ready" if good else condition["reason"]
    return ("Normal" if good else "Warning", str(reason), str(condition["message"]))


def _workload(workload: Workload) -> _Finding:
    if workload.ready:
        return _Finding("True", Reason.AVAILABLE, workload.message)
    return _Finding("False", Reason.PODS_NOT_READY, workload.message)


def _policies(mode: str) -> _Finding:
    if mode == "Disabled":
        return _Finding(
            "True", Reason.DISABLED, "no network policies, as the spec says: whoever reaches pods reaches the pool"
        )
    enforcer = "Calico" if mode == "Calico" else "the cluster's network plug-in"
    return _Finding("True", Reason.ENFORCED, f"{mode} policies are in place; {enforcer} enforces them")


def _groups(groups: Iterable[Group]) -> _Finding:
    parts, outdated, missing = [], 0, 0
    for group in groups:
        replaced = f", {group.outdated} to be replaced" if group.outdated else ""
        draining = f", {group.draining} draining" if group.draining else ""
        parts.append(f"{group.name}: {group.ready} of {group.desired} ready{replaced}{draining}")
        outdated += group.outdated
        missing += group.desired - group.ready
    message = "; ".join(parts) or "no executors asked for"
    if outdated:
        return _Finding("False", Reason.ROLLING_OUT, message)
    return _Finding("False", Reason.PODS_NOT_READY, message) if missing else _Finding("True", Reason.AVAILABLE, message)


def _conditions(
    findings: Mapping[ConditionType, _Finding], generation: int, previous: Mapping[str, Any], now: str
) -> list[dict[str, Any]]:
    bad = [(kind, finding) for kind, finding in findings.items() if finding.status != "True"]
    first = bad[0] if bad else None
    stuck = [finding for kind, finding in bad if finding.status == "False" and finding.reason in STALLING]
    ready = (
        _Finding("True", Reason.AVAILABLE, "the pool takes and runs jobs")
        if first is None
        else _Finding(
            "Unknown" if first[1].reason is Reason.PAUSED else "False",
            first[1].reason,
            f"{first[0]}: {first[1].message}",
        )
    )
    moving = bool(bad) and not stuck and first is not None and first[1].reason is not Reason.PAUSED
    settled = _Finding("False", Reason.SETTLED, "nothing is under way")
    all_findings = {
        ConditionType.READY: ready,
        **findings,
        ConditionType.RECONCILING: _Finding("True", Reason.PROGRESSING, ready.message) if moving else settled,
        ConditionType.STALLED: _Finding("True", stuck[0].reason, stuck[0].message) if stuck else settled,
    }
    before = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    return [_condition(kind, finding, generation, before.get(kind, {}), now) for kind, finding in all_findings.items()]


def _condition(
    kind: ConditionType, finding: _Finding, generation: int, old: Mapping[str, Any], now: str
) -> dict[str, Any]:
    same = old.get("status") == finding.status
    return {
        "type": kind.value,
        "status": finding.status,
        "reason": finding.reason.value,
        "message": finding.message[:32768],
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if same else now,
    }

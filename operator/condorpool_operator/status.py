"""The status of a pool: a pure function of what was seen.

Every condition carries the generation that it is about, so that `kubectl wait` never takes yesterday's Ready for today's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .api.status import ConditionType, Reason
from .seen import Fault, Group, Observation, Problem, Sight, Slots, Workload

STATE = (ConditionType.STATE_KNOWN,)
"""No part of Ready: a pool takes and runs jobs whether or not its agent tells of them."""
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
    Reason.CONFIG_REFUSED,
    Reason.IMAGE_PULL_FAILED,
    Reason.OUT_OF_MEMORY,
    Reason.CRASH_LOOPING,
    Reason.POD_NOT_CREATED,
    Reason.CLAIM_PENDING,
    Reason.SPOOL_FULL,
    Reason.QUEUE_CORRUPT,
    Reason.CLOCK_SKEW,
)
"""Reasons that wait for a person."""
PASSING_FAULTS = (Reason.UNSCHEDULABLE, Reason.POD_NOT_STARTED, Reason.NOT_JOINED, Reason.NOT_ANSWERING)
"""Reasons worth an event that may end without anybody's doing: nodes come, a neighbour goes, a network heals."""
EACH_WORD_TOLD = STALLING[: STALLING.index(Reason.CONFIG_REFUSED)]
"""Reasons that are told again when their message changes: it names another field. Of pods it changes with their number."""


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
        ConditionType.EXECUTORS_READY: _groups(observation.groups, silent=observation.sight.silent),
        ConditionType.NETWORK_POLICY_ENFORCED: _policies(observation.policy_mode),
        ConditionType.STATE_KNOWN: _state_known(observation, previous),
    }
    findings |= _heard(findings, observation, previous)
    findings |= _mounted(findings, observation, previous)
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
            | _group_slots(group, observation.sight, previous)
            for group in observation.groups
        ],
        **_figures(observation.sight, previous),
        "executorsReady": f"{sum(g.ready for g in observation.groups)}/{sum(g.desired for g in observation.groups)}",
    }
    submitter: dict[str, Any] = {}
    if (
        observation.ssh_endpoint is not None
    ):  # an empty object would come out of server-side apply as null, and be refused
        submitter["ssh"] = {"endpoint": observation.ssh_endpoint}
    if observation.storage is not None:
        submitter["storage"] = {"size": observation.storage}
    if observation.manager_storage is not None:
        status["manager"]["storage"] = {"size": observation.manager_storage}
    return status | ({"submitter": submitter} if submitter else {})


def _figures(sight: Sight, previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pool's slots and jobs: none while the agent is silent, the former ones while it has not been heard yet."""
    if sight.state is None:
        return {} if sight.silent else {key: previous[key] for key in ("slots", "jobs") if key in previous}
    slots = [asdict(one) for one in sight.state.slots.values()]
    total = {key: sum(one[key] for one in slots) for key in asdict(Slots())}
    return {"slots": total, "jobs": asdict(sight.state.jobs)}


def _group_slots(group: Group, sight: Sight, previous: Mapping[str, Any]) -> dict[str, Any]:
    if sight.state is not None:
        return {"slots": asdict(sight.state.slots.get(group.name, Slots()))}
    before = {one["name"]: one for one in previous.get("executors") or ()}.get(group.name, {})
    return {"slots": before["slots"]} if "slots" in before and not sight.silent else {}


def _state_known(observation: Observation, previous: Mapping[str, Any]) -> _Finding:
    sight = observation.sight
    if sight.state is not None:
        return _Finding("True", Reason.ANSWERING, "the pool's agent tells its slots and jobs")
    if sight.silent and observation.manager.ready:
        message = (
            "the agent in the manager's pod does not answer the operator: see its container's log and the network "
            "between them; the pool works on, its slots and jobs are not shown"
        )
        return _Finding("False", Reason.AGENT_SILENT, message)
    unheard = _Finding("Unknown", Reason.PROGRESSING, "the pool's agent has not answered yet")
    return unheard if sight.silent else _before(ConditionType.STATE_KNOWN, _OF_AGENT, previous) or unheard


_OF_AGENT = (Reason.ANSWERING, Reason.AGENT_SILENT, Reason.PROGRESSING)


def _before(condition: ConditionType, reasons: Iterable[Reason], previous: Mapping[str, Any]) -> _Finding | None:
    """Return the former finding of a condition where it has one of these reasons."""
    for one in previous.get("conditions") or ():
        if one["type"] == condition and one["reason"] in reasons:
            return _Finding(one["status"], Reason(one["reason"]), one["message"])
    return None


def _heard(
    findings: Mapping[ConditionType, _Finding], observation: Observation, previous: Mapping[str, Any]
) -> dict[ConditionType, _Finding]:
    """Return what the collector's silence about daemons turns: components whose pods are ready, and that nobody can use.

    What was found before stays until the agent, or time, has decided.
    """
    sight = observation.sight
    daemons = {
        ConditionType.MANAGER_READY: ("the negotiator", {observation.manager.daemon}),
        ConditionType.SUBMITTER_READY: ("the schedd", {observation.submitter.daemon}),
        ConditionType.EXECUTORS_READY: ("the startd", {pod for group in observation.groups for pod in group.pods}),
    }
    turned = {}
    for condition, (daemon, pods) in daemons.items():
        undecided = sight.doubted & pods if sight.state is not None else not sight.silent
        before = _before(condition, (Reason.NOT_IN_COLLECTOR,), previous) if undecided else None
        if findings[condition].status == "True" and sight.absent & pods:
            turned[condition] = _not_in_collector(daemon, sight.absent & pods)
        elif findings[condition].status == "True" and before is not None:
            turned[condition] = before
    return turned


def _not_in_collector(daemon: str, pods: frozenset[str]) -> _Finding:
    message = f"the collector has not heard of {daemon} of {_named(pods)}: see the daemon's lines in the pod's log"
    return _Finding("False", Reason.NOT_IN_COLLECTOR, message)


def _named(pods: Collection[str]) -> str:
    others = f" and {len(pods) - _MOST_NAMED} more" if len(pods) > _MOST_NAMED else ""
    return ", ".join(sorted(pods)[:_MOST_NAMED]) + others


def _mounted(
    findings: Mapping[ConditionType, _Finding], observation: Observation, previous: Mapping[str, Any]
) -> dict[ConditionType, _Finding]:
    """Return what a broken mount turns: an executor that is ready, and takes no job. The former finding stays until the agent is heard."""
    condition, sight = ConditionType.EXECUTORS_READY, observation.sight
    if findings[condition].status != "True":
        return {}
    if sight.state is None:
        before = None if sight.silent else _before(condition, (Reason.MOUNT_BROKEN,), previous)
        return {} if before is None else {condition: before}
    pods = {pod for group in observation.groups for pod in group.pods}
    broken = [
        f"{mount} of {pod}" for pod, mounts in sorted(sight.state.broken.items()) if pod in pods for mount in mounts
    ]
    if not broken:
        return {}
    others = f" and {len(broken) - _MOST_NAMED} more" if len(broken) > _MOST_NAMED else ""
    message = (
        f"executors with a broken mount take no job: {', '.join(broken[:_MOST_NAMED])}{others}: "
        "see the lines of pool-init and of the mount in the pod's log; it is mounted again by itself once it can be"
    )
    return {condition: _Finding("False", Reason.MOUNT_BROKEN, message)}


_MOST_NAMED = 5


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
    findings = {**dict.fromkeys((*VALIDITY, *COMPONENTS, *STATE), others), ConditionType.ACCEPTED: accepted}
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
    is_finding = condition["status"] == "False" and condition["reason"] in (*STALLING, *PASSING_FAULTS)
    if condition["type"] == ConditionType.READY:
        return turned and not is_finding and "True" in (condition["status"], old.get("status"))
    is_told = condition["type"] in (*VALIDITY, *COMPONENTS) and is_finding
    other_words = condition["message"] != old.get("message") and condition["reason"] in EACH_WORD_TOLD
    return is_told and (turned or condition["reason"] != old.get("reason") or other_words)


def _event(condition: Mapping[str, Any]) -> tuple[str, str, str]:
    good = condition["status"] == "True"
    reason = "Ready" if good else condition["reason"]
    return ("Normal" if good else "Warning", str(reason), str(condition["message"]))


def _workload(workload: Workload) -> _Finding:
    if workload.ready:
        return _Finding("True", Reason.AVAILABLE, workload.message)
    fault = workload.fault or Fault(Reason.PODS_NOT_READY, workload.message)
    return _Finding("False", fault.reason, fault.message)


def _policies(mode: str) -> _Finding:
    if mode == "Disabled":
        return _Finding(
            "True", Reason.DISABLED, "no network policies, as the spec says: whoever reaches pods reaches the pool"
        )
    enforcer = "Calico" if mode == "Calico" else "the cluster's network plug-in"
    return _Finding("True", Reason.ENFORCED, f"{mode} policies are in place; {enforcer} enforces them")


def _groups(groups: Iterable[Group], *, silent: bool) -> _Finding:
    parts, faults, outdated, missing = [], [], 0, 0
    for group in groups:
        parts.append(_progress(group, silent=silent))
        faults += [group.fault] if group.fault is not None else []
        outdated += group.outdated
        missing += group.desired - group.ready - group.held_back
    message = "; ".join(parts) or "no executors asked for"
    if faults and missing:
        first = min(faults, key=lambda fault: (fault.reason not in STALLING, fault.reason))
        return _Finding("False", first.reason, "; ".join([message, *(fault.message for fault in faults)]))
    if outdated:
        return _Finding("False", Reason.ROLLING_OUT, message)
    return _Finding("False", Reason.PODS_NOT_READY, message) if missing else _Finding("True", Reason.AVAILABLE, message)


def _progress(group: Group, *, silent: bool) -> str:
    text = f"{group.name}: {group.ready} of {group.desired} ready"
    text += f", {group.outdated} to be replaced" if group.outdated else ""
    text += f", {group.draining} draining" if group.draining else ""
    if group.leaving and silent:
        text += f"; the pool's agent does not answer, so the {group.leaving} that are to leave wait for it"
    if group.foreign:
        text += f"; somebody else drains {_named(group.foreign)}: not replaced before condor_drain -cancel, or kubectl delete pod"
    return text


def _conditions(
    findings: Mapping[ConditionType, _Finding], generation: int, previous: Mapping[str, Any], now: str
) -> list[dict[str, Any]]:
    bad = [(kind, finding) for kind, finding in findings.items() if finding.status != "True" and kind not in STATE]
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

"""What is wrong with a pool's pods: read off the live objects, and where these are vague, off the events about them."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from . import naming, podhealth
from .api.status import Reason
from .builders.context import Context
from .errors import ApiError
from .kinds import CLAIM, DEPLOYMENT, STATEFUL_SET
from .kube import Kube
from .observe import Children
from .podhealth import REJOINING_SECONDS, VAGUE, Finding, Since, is_outdated, works

Obj = Mapping[str, Any]

Findings = dict[str, Finding]
"""What is wrong, by the name of the workload whose pods it is about."""

LOOK_SECONDS = 10.0
"""Between looks at pods that do not exist and of which no event says why yet."""


def clock(now: datetime) -> Since:
    """Return how long ago time stamps of the API are."""
    return lambda stamp: (now - datetime.fromisoformat(stamp)).total_seconds()


async def diagnose(kube: Kube, context: Context, children: Children) -> tuple[Findings, float]:
    """Return what is wrong, and after how many seconds the pool deserves another look because of what is in doubt.

    Events are read only of what is in doubt: a pool that is well, or starts well, costs no request.
    """
    findings, later = _read(context, children, clock(datetime.now(UTC)))
    for name, finding in findings.items():
        if finding.reason in VAGUE:
            findings[name] = podhealth.refine(finding, await _events(kube, context, finding.uid))
    for name in _workloads(context):
        stateful_set = children.get(STATEFUL_SET, name)
        if stateful_set is None or name in findings or not _has_acted(stateful_set):
            continue
        if gone := podhealth.missing(stateful_set, _pods(context, children, name)):
            events = await _events(kube, context, stateful_set["metadata"]["uid"])
            refused = podhealth.refused_creation(stateful_set, gone, events)
            if refused is None:
                later = min(later, LOOK_SECONDS)
            else:
                findings[name] = refused
    return findings, later


def _read(context: Context, children: Children, since: Since) -> tuple[Findings, float]:
    """Return what the live objects say.

    While the manager is not ready, or has only just become so, nobody is blamed for not having joined.
    """
    names, later = context.names, math.inf
    found: Findings = {}
    managers = [podhealth.ready_for(pod, since) for pod in children.pods(naming.MANAGER) if works(pod)]
    wait = REJOINING_SECONDS - max(managers, default=-math.inf)
    for name in _workloads(context):
        finding, again = podhealth.examine(_current(context, children, name), since)
        if finding is None or finding.reason is not Reason.NOT_JOINED or wait <= 0:
            later = min(later, again)
            if finding is not None:
                found[name] = finding
        else:
            later = min(later, wait + 1)
    for name in _with_claims(context):
        claim = children.get(CLAIM, name)
        if claim is not None and podhealth.waits_for_claim(found.get(name)):
            unbound, again = podhealth.unbound(claim, since)
            later = min(later, again)
            if unbound is not None:
                found[name] = unbound
            elif again < math.inf:
                found.pop(name, None)
    deployment = children.get(DEPLOYMENT, names.manager)
    if deployment is not None and (refused := podhealth.refused_replica(deployment)) is not None:
        found.setdefault(names.manager, refused)
    return found, later


def _with_claims(context: Context) -> tuple[str, ...]:
    """Return the workloads that need a claim, which is called as they are."""
    names = context.names
    return (names.submitter,) if context.pool.spec.manager.storage is None else (names.manager, names.submitter)


def _workloads(context: Context) -> dict[str, tuple[str, str | None]]:
    """Return component and group of each workload by its name."""
    names = context.names
    groups = {names.group(group.name): (naming.EXECUTOR, group.name) for group in context.pool.spec.groups}
    return {names.manager: (naming.MANAGER, None), names.submitter: (naming.SUBMITTER, None), **groups}


def _pods(context: Context, children: Children, workload: str) -> list[dict[str, Any]]:
    return children.pods(*_workloads(context)[workload])


def _current(context: Context, children: Children, workload: str) -> list[dict[str, Any]]:
    """Return the pods of a workload that are not going to be replaced: what is wrong with the others is being mended."""
    stateful_set = children.get(STATEFUL_SET, workload)
    pods = _pods(context, children, workload)
    if stateful_set is None or _workloads(context)[workload][0] != naming.EXECUTOR:
        return pods
    return [pod for pod in pods if not is_outdated(pod, stateful_set)]


def _has_acted(stateful_set: Obj) -> bool:
    """Return whether the controller knows the present spec: before that, no pods is no news."""
    return bool(stateful_set.get("status", {}).get("observedGeneration") == stateful_set["metadata"]["generation"])


async def _events(kube: Kube, context: Context, uid: str) -> list[dict[str, Any]]:
    """Return the events about an object; none where they cannot be read: the finding is then as vague as before."""
    try:
        return [event async for event in kube.events_about(context.pool.namespace, uid)]
    except ApiError:
        return []

"""Requests that failed, told as problems that a user can mend."""

from collections.abc import Mapping
from typing import Any

from . import naming
from .api.status import ConditionType, Reason
from .errors import NAMESPACE_TERMINATING, ApiError
from .kinds import CLAIM, DEPLOYMENT, DISRUPTION_BUDGET, POD, POLICIES, SECRET, STATEFUL_SET, Kind, kind_of
from .labels import COMPONENT
from .seen import Problem

_CONDITION_OF_COMPONENT = {
    naming.MANAGER: ConditionType.MANAGER_READY,
    naming.SUBMITTER: ConditionType.SUBMITTER_READY,
    naming.EXECUTOR: ConditionType.EXECUTORS_READY,
}
_CONDITION_OF_KIND = {
    **dict.fromkeys(POLICIES, ConditionType.NETWORK_POLICY_ENFORCED),
    **dict.fromkeys((POD, STATEFUL_SET, DISRUPTION_BUDGET), ConditionType.EXECUTORS_READY),
    DEPLOYMENT: ConditionType.MANAGER_READY,
    CLAIM: ConditionType.SUBMITTER_READY,
}


NAMESPACE_ENDS = Problem(
    ConditionType.ACCEPTED, Reason.NAMESPACE_TERMINATING, "the namespace is being deleted, and the pool with it"
)


class ForeignObjectError(ApiError):
    """An object of the wanted name is somebody else's."""


class FormerObjectError(ApiError):
    """An object of the wanted name belongs to a pool of the same name that is gone, and goes as well."""


def object_problem(obj: Mapping[str, Any], error: ApiError) -> Problem:
    """Return the problem of an object that could not be applied; of a Secret's the server's own words are left out."""
    condition, what = _condition_of(obj), f"{obj['kind']} {obj['metadata']['name']}"
    if isinstance(error, ForeignObjectError):
        return Problem(condition, Reason.NAME_CONFLICT, f"{what} {error.message}")
    if isinstance(error, FormerObjectError):
        return Problem(condition, Reason.FORMER_POOL, f"{what} {error.message}")
    reason = reason_of(error)
    message = error.reason if kind_of(obj) == SECRET and not error.forbidden else error.message
    if reason is Reason.NAMESPACE_TERMINATING:
        return Problem(condition, reason, NAMESPACE_ENDS.message)
    if reason is Reason.API_UNAVAILABLE:
        return Problem(condition, reason, f"{what} could not be applied, trying again: {message}")
    return Problem(condition, reason, f"{what} was refused by the API server: {message}")


def reason_of(error: ApiError) -> Reason:
    """Return the reason by which a failed request is told."""
    if error.reason == NAMESPACE_TERMINATING:
        return Reason.NAMESPACE_TERMINATING
    if error.forbidden:
        return Reason.FORBIDDEN
    return Reason.API_UNAVAILABLE if error.retryable else Reason.API_REFUSED


def _condition_of(obj: Mapping[str, Any]) -> ConditionType:
    if kind_of(obj) in POLICIES:
        return ConditionType.NETWORK_POLICY_ENFORCED
    return _CONDITION_OF_COMPONENT.get(obj["metadata"]["labels"].get(COMPONENT, ""), ConditionType.ACCEPTED)


def unseen_problems(unseen: Mapping[Kind, ApiError]) -> list[Problem]:
    """Return a problem for every kind that could not be listed: its objects are neither applied nor removed.

    Of a missing right the server's own words are left out: they change with the number of namespaces that are listed at once.
    """
    problems = []
    for kind, error in unseen.items():
        condition = _CONDITION_OF_KIND.get(kind, ConditionType.ACCEPTED)
        why = "the operator has no right to" if error.forbidden else error.message
        what = f"{kind.plural} of {kind.api_version} cannot be listed, so none is changed: {why}"
        problems.append(Problem(condition, reason_of(error), what))
    return problems


def unreadable(error: ApiError) -> Problem:
    """Return the problem of a pool whose references cannot be read."""
    return Problem(ConditionType.ACCEPTED, reason_of(error), f"the pool's references cannot be read: {error.message}")

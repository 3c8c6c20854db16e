"""Every label and annotation of a pool's objects."""

from collections.abc import Iterable

from .api.v1alpha1 import GROUP

POOL = f"{GROUP}/pool"
POOL_UID = f"{GROUP}/pool-uid"
COMPONENT = f"{GROUP}/component"
EXECUTOR_GROUP = f"{GROUP}/group"
MANAGED_BY = "app.kubernetes.io/managed-by"
FIELD_MANAGER = "condorpool-operator"

APPLIED_HASH = f"{GROUP}/applied-hash"
"""Annotation: hash of all that the operator applied, so that a field it no longer sets is noticed."""
UIDS = f"{GROUP}/uids"
"""Annotation of a claim that outlives its pool: UIDs by user name, as the homes on it have them."""
FILES_HASH = f"{GROUP}/files-hash"
"""Annotation of pods: hash of the mounted ConfigMaps and Secrets; its change makes the kubelet look for new ones."""
RESTART_HASH = f"{GROUP}/restart-hash"
"""Annotation of pods: hash of the user's settings that a daemon reads only at its start."""
TEMPLATE_HASH = f"{GROUP}/template-hash"
"""Annotation of pods: hash of what needs a new pod when it changes."""

KNOWN = f"{MANAGED_BY}={FIELD_MANAGER},{POOL}"
"""Selector of every object of every pool."""


def selector(pool: str, component: str, group: str | None = None) -> dict[str, str]:
    """Return the immutable labels that select the pods of a component (and group) in the pool's namespace."""
    labels = {POOL: pool, COMPONENT: component}
    return labels if group is None else {**labels, EXECUTOR_GROUP: group}


def policy_selector(pool: str, uid: str) -> dict[str, str]:
    """Return the labels of all pods of one pool, and of no former one of its name."""
    return {POOL: pool, POOL_UID: uid}


def owned(pool: str, uid: str, component: str | None = None, group: str | None = None) -> dict[str, str]:
    """Return the labels of an object that belongs to a pool."""
    labels = {MANAGED_BY: FIELD_MANAGER, POOL: pool, POOL_UID: uid}
    if component is not None:
        labels[COMPONENT] = component
    if group is not None:
        labels[EXECUTOR_GROUP] = group
    return labels


def of_pools(names: Iterable[str]) -> str:
    """Return the selector of all objects of pools of these names, in whatever namespace and of whatever UID."""
    return f"{MANAGED_BY}={FIELD_MANAGER},{POOL} in ({','.join(sorted(names))})"

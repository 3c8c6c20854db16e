"""Every label and annotation of a pool's objects."""

from .api.v1alpha1 import GROUP

POOL = f"{GROUP}/pool"
POOL_UID = f"{GROUP}/pool-uid"
COMPONENT = f"{GROUP}/component"
EXECUTOR_GROUP = f"{GROUP}/group"
MANAGED_BY = "app.kubernetes.io/managed-by"
FIELD_MANAGER = "condorpool-operator"

APPLIED_HASH = f"{GROUP}/applied-hash"
"""Annotation: hash of all that the operator applied, so that a field it no longer sets is noticed."""
TEMPLATE_HASH = f"{GROUP}/template-hash"
"""Annotation of pods: hash of what needs a new pod when it changes."""

KNOWN = f"{MANAGED_BY}={FIELD_MANAGER},{POOL}"
"""Selector of every object of every pool."""


def selector(pool: str, component: str, group: str | None = None) -> dict[str, str]:
    """Return the immutable labels that select the pods of a component (and group) in the pool's namespace."""
    labels = {POOL: pool, COMPONENT: component}
    return labels if group is None else {**labels, EXECUTOR_GROUP: group}


def owned(pool: str, uid: str, component: str | None = None, group: str | None = None) -> dict[str, str]:
    """Return the labels of an object that belongs to a pool."""
    labels = {MANAGED_BY: FIELD_MANAGER, POOL: pool, POOL_UID: uid}
    if component is not None:
        labels[COMPONENT] = component
    if group is not None:
        labels[EXECUTOR_GROUP] = group
    return labels


def of_pool(uid: str) -> str:
    """Return the selector of all objects of one pool."""
    return f"{MANAGED_BY}={FIELD_MANAGER},{POOL_UID}={uid}"

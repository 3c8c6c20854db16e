"""Pods whose mounted files are behind what was written: a changed annotation makes the kubelet look at once.

By itself a kubelet looks for new content of a pod's ConfigMaps and Secrets every 60 to 90 seconds (docs/design/htcondor.md). A pod that
was made after the last change has it from the start, so a new pool costs no write here.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from . import labels, naming
from .kinds import CONFIG_MAP, DEPLOYMENT, POD, SECRET, STATEFUL_SET
from .kube import Kube
from .naming import Names
from .observe import Children
from .podhealth import Obj, is_terminating
from .pool import Pool

_NEVER = datetime.min.replace(tzinfo=UTC)


async def refresh_pods(kube: Kube, pool: Pool, names: Names, children: Children) -> None:
    """Annotate the pods that are behind; ApiError where that is refused, and they follow by themselves later.

    Where files could not be listed, none is: what is not seen would count as gone.
    """
    if not children.unseen.keys().isdisjoint((CONFIG_MAP, SECRET)):
        return
    for name, digest, uid in pods_behind(pool, names, children):
        await kube.annotate(POD, pool.namespace, name, uid, {labels.FILES_HASH: digest})


def pods_behind(pool: Pool, names: Names, children: Children) -> Iterator[tuple[str, str, str]]:
    """Yield name, hash of the files and UID of every pod that may have older ones than its workload mounts."""
    workloads = [
        (children.get(DEPLOYMENT, names.manager), children.pods(naming.MANAGER)),
        (children.get(STATEFUL_SET, names.submitter), children.pods(naming.SUBMITTER)),
        *(
            (children.get(STATEFUL_SET, names.group(group.name)), children.pods(naming.EXECUTOR, group.name))
            for group in pool.spec.groups
        ),
    ]
    for workload, pods in workloads:
        mounted = [] if workload is None else _mounted(workload, children)
        if not mounted:
            continue
        digest = hashlib.sha256("".join(_applied_hash(obj) for obj in mounted).encode()).hexdigest()[:16]
        changed = max(_applied_at(obj) for obj in mounted)
        for pod in pods:
            meta = pod["metadata"]
            is_current = meta.get("annotations", {}).get(labels.FILES_HASH) == digest
            if not is_current and not is_terminating(pod) and _time(meta["creationTimestamp"]) < changed:
                yield meta["name"], digest, meta["uid"]


def _mounted(workload: Obj, children: Children) -> list[dict[str, Any]]:
    """Return the pool's own ConfigMaps and Secrets that a workload's pods mount, in the order of the template."""
    found = []
    for volume in workload["spec"]["template"]["spec"].get("volumes", ()):
        if "configMap" in volume:
            found.append(children.get(CONFIG_MAP, volume["configMap"]["name"]))
        elif "secret" in volume:
            found.append(children.get(SECRET, volume["secret"]["secretName"]))
        elif "projected" in volume:
            found += [children.get(SECRET, source["secret"]["name"]) for source in volume["projected"]["sources"]]
    return [obj for obj in found if obj is not None]


def _applied_hash(obj: Obj) -> str:
    return str(obj["metadata"].get("annotations", {}).get(labels.APPLIED_HASH))


def _applied_at(obj: Obj) -> datetime:
    """Return when the operator's apply last changed an object, to the second; the API server's clock, as that of a pod's creation is."""
    times = [
        _time(entry["time"])
        for entry in obj["metadata"].get("managedFields", ())
        if entry["manager"] == labels.FIELD_MANAGER and entry["operation"] == "Apply"
    ]
    return max(times, default=_NEVER)


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)

"""Pods that may have older files than was written are annotated, and no others."""

from typing import Any, cast

import pytest

from condorpool_operator.builders.desired import desired_objects
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import CONFIG_MAP, SECRET, SERVICE, Kind
from condorpool_operator.kube import Kube
from condorpool_operator.labels import APPLIED_HASH, FIELD_MANAGER, FILES_HASH
from condorpool_operator.observe import Children
from condorpool_operator.refresh import pods_behind, refresh_pods

from .factories import JOHN, make_context

BEFORE, THEN, LATER = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))
CONTEXT = make_context({"submitter": {"ssh": {"users": [JOHN]}}})


def written(changed: str | None = None, at: str = LATER) -> list[dict[str, Any]]:
    """Return the pool's objects as the operator wrote them at THEN, one of them later and with other content."""
    result = []
    for obj in desired_objects(CONTEXT):
        is_changed = obj["metadata"]["name"] == changed
        entry = {"manager": FIELD_MANAGER, "operation": "Apply", "time": at if is_changed else THEN}
        others = {"manager": "kubectl", "operation": "Update", "time": LATER}
        annotations = obj["metadata"]["annotations"] | ({APPLIED_HASH: "other"} if is_changed else {})
        metadata = obj["metadata"] | {"managedFields": [entry, others], "annotations": annotations}
        result.append(obj | {"metadata": metadata})
    return result


def pod(name: str, component: str, created: str = THEN, **meta: Any) -> dict[str, Any]:
    labels = {"condorpool.dev/component": component}
    if component == "executor":
        labels["condorpool.dev/group"] = "executor"
    metadata = {"name": name, "uid": f"uid-of-{name}", "labels": labels, "creationTimestamp": created, **meta}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


MANAGER, SUBMITTER, EXECUTOR = (
    pod("demo-manager-x", "manager"),
    pod("demo-submitter-0", "submitter"),
    pod("demo-executor-0", "executor"),
)


def behind(objects: list[dict[str, Any]], *pods: dict[str, Any]) -> dict[str, str]:
    return {name: digest for name, digest, _ in pods_behind(CONTEXT.pool, CONTEXT.names, Children([*objects, *pods]))}


def test_a_new_pool_is_left_alone() -> None:
    assert behind(written(), MANAGER, SUBMITTER, EXECUTOR) == {}


@pytest.mark.parametrize(
    ("changed", "pods"),
    [
        ("demo-manager-config", {"demo-manager-x"}),
        ("demo-executor-config", {"demo-executor-0"}),
        ("demo-users", {"demo-submitter-0"}),
        ("demo-ssh", {"demo-submitter-0"}),
        ("demo-signing-keys", {"demo-manager-x"}),
        ("demo-agent", {"demo-manager-x"}),
        ("demo-monitor-token", {"demo-manager-x"}),
    ],
)
def test_the_pods_that_mount_what_changed_are_behind(changed: str, pods: set[str]) -> None:
    assert set(behind(written(changed), MANAGER, SUBMITTER, EXECUTOR)) == pods


def test_a_pod_that_was_told_is_not_told_again_until_the_next_change() -> None:
    digest = behind(written("demo-manager-config"), MANAGER)["demo-manager-x"]
    told = pod("demo-manager-x", "manager", annotations={FILES_HASH: digest})
    assert behind(written("demo-manager-config"), told) == {}
    assert behind(written("demo-signing-keys"), told).keys() == {"demo-manager-x"}


@pytest.mark.parametrize("unseen", [CONFIG_MAP, SECRET, SERVICE])
async def test_files_that_could_not_be_listed_do_not_count_as_changed(unseen: Kind) -> None:
    told: list[str] = []

    class Server:
        async def annotate(self, kind: Kind, namespace: str, name: str, *_: Any) -> None:
            told.append(name)

    objects = [*written("demo-users"), SUBMITTER]
    seen = [obj for obj in objects if obj["kind"] != unseen.name]
    children = Children(seen, unseen={unseen: ApiError(500, "InternalError", "no")})
    await refresh_pods(cast("Kube", Server()), CONTEXT.pool, CONTEXT.names, children)
    assert told == (["demo-submitter-0"] if unseen == SERVICE else [])


def test_pods_that_are_newer_or_end_are_left_alone() -> None:
    newer, ending = (
        pod("a", "manager", created=LATER),
        pod("b", "manager", created=BEFORE, deletionTimestamp=LATER),
    )
    assert behind(written("demo-manager-config"), newer, ending) == {}


def test_what_is_not_there_is_no_change() -> None:
    objects = [obj for obj in written("demo-manager-config") if obj["kind"] not in ("ConfigMap", "Secret")]
    assert behind(objects, pod("a", "manager", created=BEFORE)) == {}

"""A deleted pool leaves nothing of its own, and everything of its user's."""

from tests.e2e.support.manifests import config_map
from tests.e2e.support.pool import POOL_KIND, UID_LABEL, Pool
from tests.e2e.support.waiting import NotYetError, wait_for

GONE_SECONDS = 90.0


def test_deletion_leaves_nothing(plain_pool: Pool) -> None:
    plain_pool.wait_ready()
    kubectl = plain_pool.kubectl
    kubectl.apply(config_map("users-own", knobs="E2E = kept\n"))
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name").split()
    selector = f"{UID_LABEL}={plain_pool.uid}"
    own = [kind for kind in kinds if not kind.startswith(("events", POOL_KIND))]
    assert len(kubectl.list(",".join(own), selector)) > 10
    volumes = [
        volume["metadata"]["name"]
        for volume in kubectl.list("persistentvolumes")
        if volume["spec"]["claimRef"]["namespace"] == plain_pool.namespace
    ]
    assert volumes

    kubectl("delete", POOL_KIND, plain_pool.name, "--timeout=60s", seconds=70)

    def look() -> None:
        left = [f"{obj['kind']}/{obj['metadata']['name']}" for obj in kubectl.list(",".join(own), selector)]
        left += [name for name in volumes if kubectl.get("persistentvolume", name)]
        if left:
            raise NotYetError(", ".join(left))

    wait_for("everything of the pool to go", look, GONE_SECONDS)
    assert kubectl.get("configmap", "users-own") is not None

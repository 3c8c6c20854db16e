"""Many pools share one look, each gets its own objects, and what cannot be listed is known as such."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from condorpool_operator.discovery import CalicoApi
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import APPLIED, CALICO_POLICY, CLAIM, POD, SECRET, Kind
from condorpool_operator.kube import Kube
from condorpool_operator.labels import POOL, POOL_UID
from condorpool_operator.observe import FEW_NAMESPACES, MOST_POOLS, Children, Observer
from condorpool_operator.pool import Pool
from condorpool_operator.problems import unseen_problems

from .factories import make_pool

KINDS = len(APPLIED)
"""Lists in a look: pods as well, and Calico's policies not, as they are not served."""


class Cluster:
    """A stand-in for the API server: it lists what it was given and counts."""

    def __init__(self, *objects: dict[str, Any], refused: Kind | None = None, refused_in: str | None = None) -> None:
        self.objects = objects
        self.refused = refused
        self.refused_in = refused_in
        self.lists: list[tuple[Kind, str | None]] = []
        self.asked = asyncio.Event()

    async def list(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[dict[str, Any]]:
        self.lists.append((kind, namespace))
        self.asked.set()
        await asyncio.sleep(0)
        if kind == self.refused and self.refused_in in (None, namespace):
            where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
            said = f'{kind.plural} is forbidden: User "operator" cannot list resource "{kind.plural}" {where}'
            raise ApiError(403, "Forbidden", said)
        names = selector.partition(" in (")[2].strip(")").split(",")
        for obj in self.objects:
            meta = obj["metadata"]
            if obj["kind"] == kind.name and namespace in (None, meta["namespace"]) and meta["labels"][POOL] in names:
                yield {**obj, "apiVersion": kind.api_version}


def obj(kind: Kind, name: str, pool: Pool, **meta: Any) -> dict[str, Any]:
    labels = {POOL: pool.name, POOL_UID: pool.uid}
    return {"kind": kind.name, "metadata": {"name": name, "namespace": pool.namespace, "labels": labels, **meta}}


def pool_in(namespace: str, name: str = "demo", uid: str = "u") -> Pool:
    return Pool(name, namespace, uid, 1, make_pool().spec)


def observer(cluster: Cluster, *namespaces: str) -> Observer:
    return Observer(cast("Kube", cluster), CalicoApi(), namespaces)


async def test_pools_that_are_asked_for_at_once_share_a_look() -> None:
    pools = [pool_in("physics", f"p{number}") for number in range(20)]
    cluster = Cluster(*(obj(SECRET, f"{pool.name}-users", pool) for pool in pools))
    eyes = observer(cluster)
    found = await asyncio.gather(*(eyes.children(pool) for pool in pools))
    for pool, children in zip(pools, found, strict=True):
        assert [one["metadata"]["name"] for one in children.all()] == [f"{pool.name}-users"]
    assert len(cluster.lists) == KINDS


async def test_a_look_is_bounded() -> None:
    cluster = Cluster()
    eyes = observer(cluster)
    await asyncio.gather(*(eyes.children(pool_in("physics", f"p{n}")) for n in range(MOST_POOLS + 1)))
    assert len(cluster.lists) == 2 * KINDS


async def test_who_comes_during_a_look_gets_a_later_one() -> None:
    pool = pool_in("physics")
    cluster = Cluster()
    eyes = observer(cluster)
    first = asyncio.create_task(eyes.children(pool))
    await cluster.asked.wait()
    cluster.objects = (obj(SECRET, "late", pool),)
    assert (await eyes.children(pool)).get(SECRET, "late") is not None
    await first


@pytest.mark.parametrize(
    ("count", "namespaces", "whole"),
    [(FEW_NAMESPACES, (), False), (FEW_NAMESPACES + 1, (), True), (FEW_NAMESPACES + 1, ("n0", "n1"), False)],
)
async def test_many_namespaces_are_one_list_where_the_rights_allow_it(
    count: int, namespaces: tuple[str, ...], whole: bool
) -> None:
    cluster = Cluster()
    eyes = observer(cluster, *namespaces)
    await asyncio.gather(*(eyes.children(pool_in(f"n{number}")) for number in range(count)))
    assert {namespace for _, namespace in cluster.lists} == ({None} if whole else {f"n{n}" for n in range(count)})


async def test_pools_of_one_name_in_two_namespaces_are_told_apart() -> None:
    pools = [pool_in(f"n{number}", uid=f"u{number}") for number in range(FEW_NAMESPACES + 1)]
    eyes = observer(Cluster(*(obj(SECRET, "users", pool) for pool in pools)))
    for pool, children in zip(pools, await asyncio.gather(*(eyes.children(pool) for pool in pools)), strict=True):
        assert [one["metadata"]["labels"][POOL_UID] for one in children.all()] == [pool.uid]


async def test_a_kind_that_cannot_be_listed_is_unseen_and_the_rest_is_seen() -> None:
    pool = pool_in("physics")
    children = await observer(Cluster(obj(SECRET, "users", pool), refused=CLAIM)).children(pool)
    assert set(children.unseen) == {CLAIM}
    assert children.get(SECRET, "users") is not None


async def test_what_is_refused_in_one_namespace_is_seen_in_the_others() -> None:
    mine, other = pool_in("physics"), pool_in("biology")
    eyes = observer(Cluster(obj(CLAIM, "demo-submitter", mine), refused=CLAIM, refused_in="biology"))
    seen, shut_out = await asyncio.gather(eyes.children(mine), eyes.children(other))
    assert seen.unseen == {}
    assert seen.get(CLAIM, "demo-submitter") is not None
    assert set(shut_out.unseen) == {CLAIM}


@pytest.mark.parametrize(("refused", "hidden"), [(POD, True), (CLAIM, False)])
async def test_what_is_left_of_a_pool_is_not_taken_to_be_nothing_because_it_cannot_be_listed(
    refused: Kind, hidden: bool
) -> None:
    eyes = observer(Cluster(obj(SECRET, "users", pool_in("physics")), refused=refused))
    if hidden:
        with pytest.raises(ApiError):
            await eyes.remains(("physics", "demo"))
    else:
        assert [one["metadata"]["name"] for one in await eyes.remains(("physics", "demo"))] == ["users"]


async def test_a_missing_right_is_told_alike_however_many_namespaces_were_listed() -> None:
    def messages(children: Children) -> list[str]:
        return [problem.message for problem in unseen_problems(children.unseen)]

    eyes = observer(Cluster(refused=CLAIM))
    alone = await eyes.children(pool_in("n0"))
    among_many = await asyncio.gather(*(eyes.children(pool_in(f"n{number}")) for number in range(FEW_NAMESPACES + 1)))
    assert messages(alone) == messages(among_many[0])
    assert "n0" not in messages(alone)[0]


async def test_calicos_policies_are_listed_once_they_are_served() -> None:
    cluster, calico = Cluster(), CalicoApi()

    class Server:
        async def resources(self, api_version: str) -> set[str]:
            return {CALICO_POLICY.plural}

    eyes = Observer(cast("Kube", cluster), calico, ())
    await eyes.children(pool_in("physics"))
    assert CALICO_POLICY not in {kind for kind, _ in cluster.lists}
    assert await calico.look(cast("Kube", Server()))
    await eyes.children(pool_in("physics"))
    assert CALICO_POLICY in {kind for kind, _ in cluster.lists}


async def children_of(pool: Pool, *objects: dict[str, Any]) -> Children:
    return await observer(Cluster(*objects)).children(pool)


async def test_objects_of_a_former_pool_are_strays() -> None:
    now, former = pool_in("physics", uid="now"), pool_in("physics", uid="former")
    children = await children_of(now, obj(SECRET, "a", now), obj(SECRET, "b", former))
    assert [one["metadata"]["name"] for one in children.strays] == ["b"]
    assert children.get(SECRET, "b") is None


@pytest.mark.parametrize(
    ("meta", "adopted"),
    [
        ({}, True),
        ({"ownerReferences": [{"uid": "former", "controller": True}]}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
    ],
)
async def test_a_claim_that_was_left_is_taken_over(meta: dict[str, Any], adopted: bool) -> None:
    now, former = pool_in("physics", uid="now"), pool_in("physics", uid="former")
    children = await children_of(now, obj(CLAIM, "demo-submitter", former, **meta))
    assert (children.get(CLAIM, "demo-submitter") is not None) is adopted


async def test_of_a_pod_only_what_is_needed_is_kept() -> None:
    pool = pool_in("physics")
    pod = obj(POD, "demo-cpu-0", pool, managedFields=[{"manager": "kubelet"}]) | {
        "spec": {"nodeName": "node-a", "containers": []},
        "status": {
            "hostIP": "10.0.0.7",
            "podIP": "10.1.0.7",
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "x", "lastTransitionTime": "t"},
                {"type": "Y"},
            ],
        },
    }
    (kept,) = (await children_of(pool, pod)).all()
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "t"}
    assert kept["status"] == {"hostIP": "10.0.0.7", "podIP": "10.1.0.7", "conditions": [ready]}
    assert kept.keys() == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert kept["spec"] == {"nodeName": "node-a"}
    assert "managedFields" not in kept["metadata"]


async def test_of_a_pod_that_is_not_ready_what_may_say_why_is_kept() -> None:
    pool = pool_in("physics")
    container = {
        "name": "condor",
        "ready": False,
        "restartCount": 3,
        "lastState": {},
        "state": {"waiting": {"reason": "x"}},
    }
    pending = {"type": "PodScheduled", "status": "False", "message": "no room"}
    status = {
        "phase": "Pending",
        "hostIP": "10.0.0.7",
        "podIP": "10.1.0.7",
        "conditions": [{"type": "ContainersReady", "status": "False"}, pending],
        "containerStatuses": [container | {"imageID": "sha256:0", "volumeMounts": ["many"]}],
        "podIPs": [],
    }
    (kept,) = (await children_of(pool, obj(POD, "demo-cpu-0", pool) | {"spec": {}, "status": status})).all()
    assert kept["status"] == {
        "phase": "Pending",
        "hostIP": "10.0.0.7",
        "podIP": "10.1.0.7",
        "conditions": [pending],
        "containerStatuses": [container],
    }


async def test_calicos_policies_are_known_by_their_own_name() -> None:
    pool, calico = pool_in("physics"), CalicoApi()
    calico._served.set()
    eyes = Observer(cast("Kube", Cluster(obj(CALICO_POLICY, "default.demo-manager", pool))), calico, ())
    children = await eyes.children(pool)
    assert children.get(CALICO_POLICY, "demo-manager") is not None


async def test_an_error_nobody_foresaw_reaches_whoever_waits() -> None:
    class Broken(Cluster):
        async def list(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[dict[str, Any]]:
            raise KeyError(kind)
            yield

    eyes = observer(Broken())
    with pytest.raises(KeyError):
        await eyes.children(pool_in("physics"))
    with pytest.raises(KeyError):
        await eyes.children(pool_in("physics"))


async def test_of_a_ready_pod_with_several_containers_these_are_kept() -> None:
    pool = pool_in("physics")
    statuses = [{"name": name, "ready": True, "restartCount": 0} for name in ("condor", "agent")]
    pod = obj(POD, "demo-manager-x", pool) | {
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": statuses}
    }
    (kept,) = (await children_of(pool, pod)).all()
    assert kept["status"]["containerStatuses"] == [{"name": name, "ready": True} for name in ("condor", "agent")]

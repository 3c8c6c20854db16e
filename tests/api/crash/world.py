"""All that is not the operator: the user's objects, and what controllers and kubelets do, in one namespace of a real API server."""

import asyncio
import hashlib
import json
import ssl
import time
from typing import Any, Literal, Self

import aiohttp
import orjson

from condorpool_operator import labels
from condorpool_operator.kinds import (
    APPLIED,
    CALICO_POLICY,
    CLAIM,
    CONDOR_POOL,
    DEPLOYMENT,
    POD,
    STATEFUL_SET,
    Kind,
)
from condorpool_operator.remains import GRACE_SECONDS
from condorpool_operator.seen import Executor, Jobs, State

from .faults import Views

Obj = dict[str, Any]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
POOL = "demo"
NODE_ADDRESS, POD_ADDRESS = "192.0.2.7", "192.0.2.77"
KINDS = (*APPLIED, POD, CONDOR_POOL)


class Admin:
    """Requests of an administrator's, with connections that are kept."""

    def __init__(self, url: str, token: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._session = aiohttp.ClientSession(
            url,
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=context, limit=32),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Obj:
        """Send a request and return the answer; empty where there is no such object, RuntimeError where it is refused."""
        data = None if body is None else orjson.dumps(body)
        async with self._session.request(method, path, data=data, headers={"Content-Type": content_type}) as answer:
            content: Obj = orjson.loads(await answer.read())
        if answer.status == 404:
            return {}
        if answer.status == 429:
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
            return await self.send(method, path, body, content_type)
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.get('message')}")
        return content


class World:
    """One namespace. `step` does what controllers, kubelets and the garbage collector would do next; every pod starts well."""

    def __init__(self, admin: Admin, namespace: str, views: Views | None = None) -> None:
        self._admin = admin
        self.namespace = namespace
        self.views = views or Views()
        self.made = 0
        """Pods made since the page was turned."""
        self.most_away = 0
        """Executors of one group that were away at once."""
        self.ghosts: set[str] = set()
        """UIDs of pools that are gone and of which something may be left."""
        self._drains: dict[str, tuple[int, str]] = {}
        """By name of an executor that was told to take no more jobs: since when."""
        self._drained: set[str] = set()
        """Those of them whose jobs have ended."""
        self.foreign: dict[tuple[Kind, str], str] = {}
        """Resource versions of what was planted."""

    async def begin(self) -> None:
        """Make the namespace."""
        meta = {"metadata": {"name": self.namespace}}
        await self._admin.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **meta})

    async def _write(self, method: str, path: str, body: Any, content_type: str = JSON) -> None:
        self.views.written(path)
        await self._admin.send(method, path, body, content_type)
        self.views.written(path)

    async def get(self, kind: Kind, name: str) -> Obj:
        """Return an object, empty where there is none."""
        return await self._admin.send("GET", kind.path(self.namespace, name))

    async def all(self, kind: Kind) -> list[Obj]:
        """Return the objects of a kind."""
        path = kind.path(self.namespace)
        mark, known = self.views.mark, self.views.get(path, path)
        if known is None:
            items = (await self._admin.send("GET", path)).get("items", ())
            known = [{**obj, "apiVersion": kind.api_version, "kind": kind.name} for obj in items]
            self.views.put(path, path, known, mark)
        found: list[Obj] = known
        return found

    async def create(self, kind: Kind, obj: Obj) -> None:
        """Create an object."""
        typed = {"apiVersion": kind.api_version, "kind": kind.name, **obj}
        await self._write("POST", kind.path(self.namespace), typed)

    async def patch(self, kind: Kind, name: str, body: Obj, subresource: str | None = None) -> None:
        """Change an object by a merge patch."""
        await self._write("PATCH", kind.path(self.namespace, name, subresource), body, MERGE_PATCH)

    async def delete(self, kind: Kind, name: str, grace: int | None = None) -> None:
        """Delete an object as a user does, or as a kubelet (grace 0)."""
        body = {"propagationPolicy": "Background"} | ({} if grace is None else {"gracePeriodSeconds": grace})
        await self._write("DELETE", kind.path(self.namespace, name), body)

    async def spec(self, spec: Obj) -> None:
        """Make the pool, or give it another spec, whole."""
        live = await self.get(CONDOR_POOL, POOL)
        if not live:
            await self.create(CONDOR_POOL, {"metadata": {"name": POOL}, "spec": spec})
            return
        live["spec"] = spec
        await self._write("PUT", CONDOR_POOL.path(self.namespace, POOL), live)

    async def objects(self) -> list[Obj]:
        """Return all objects that the operator could have touched."""
        return [obj for kind in KINDS for obj in await self.all(kind)]

    async def end_pool(self) -> None:
        """Delete the pool; what it owned is collected from now on."""
        pool = await self.get(CONDOR_POOL, POOL)
        await self.delete(CONDOR_POOL, POOL)
        self.ghosts.add(pool["metadata"]["uid"])

    async def plant(self, kind: Kind, obj: Obj) -> None:
        """Make an object that is nobody's business but its owner's."""
        await self.create(kind, obj)
        live = await self.get(kind, obj["metadata"]["name"])
        self.foreign[kind, obj["metadata"]["name"]] = live["metadata"]["resourceVersion"]

    async def uproot(self) -> None:
        """Delete all that was planted."""
        for kind, name in self.foreign:
            await self.delete(kind, name)
        self.foreign.clear()

    async def touched(self) -> list[str]:
        """Return which of the planted objects are not as they were."""
        lives = {key: await self.get(*key) for key in self.foreign}
        return [
            f"the foreign {kind.name} {name} was changed"
            for (kind, name), version in self.foreign.items()
            if (lives[kind, name].get("metadata") or {}).get("resourceVersion") != version
        ]

    def drain(self, pod: str, reason: str) -> None:
        """Let an executor take no more jobs."""
        if pod not in self._drains or self._drains[pod][1] != reason:
            self._drains[pod] = (int(time.time()), reason)

    def undrain(self, pod: str) -> None:
        """Let it take jobs again."""
        self._drains.pop(pod, None)

    async def told_by_agent(self) -> State:
        """Return what the pool's agent tells: all daemons are there, no slot is claimed."""
        pods = [pod for pod in await self.all(POD) if "deletionTimestamp" not in pod["metadata"]]
        executors = {}
        for pod in pods:
            name = pod["metadata"]["name"]
            if labels.EXECUTOR_GROUP in pod["metadata"].get("labels", {}):
                drain: Literal["ours"] | None = "ours" if name in self._drains else None
                since, reason = self._drains.get(name, (None, None))
                executors[name] = Executor(0, drain, name in self._drained, since, reason, POD_ADDRESS)
        names = {pod["metadata"]["name"] for pod in pods} | {f"{POOL}-manager"}
        return State({}, Jobs(0, 0, 0), frozenset(names), {}, executors)

    def _finish_jobs(self, names: set[str]) -> bool:
        """Let jobs on executors that drain end, and drains with their pods."""
        self._drains = {name: drain for name, drain in self._drains.items() if name in names}
        ended = self._drains.keys() - self._drained
        self._drained = set(self._drains)
        return bool(ended)

    async def step(self) -> bool:
        """Do what is to be done now; return whether there was anything."""
        pods = [pod for pod in await self.all(POD) if labels.POOL in pod["metadata"].get("labels", {})]
        changed = self._finish_jobs(
            {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
        )
        changed |= await self._collect(pods) if self.ghosts else False
        taken = {pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"][labels.POOL_UID] in self.ghosts}
        pods = [pod for pod in pods if pod["metadata"]["name"] not in taken]
        workloads = [*await self.all(DEPLOYMENT), *await self.all(STATEFUL_SET)]
        workloads = [one for one in workloads if one["metadata"]["labels"][labels.POOL_UID] not in self.ghosts]
        self._count_away(workloads, pods)
        for pod in pods:
            if "deletionTimestamp" in pod["metadata"]:
                await self.delete(POD, pod["metadata"]["name"], 0)
                changed = True
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        owners = {workload["metadata"]["uid"] for workload in workloads}
        for pod in alive:
            if _owner(pod) not in owners:
                await self.delete(POD, pod["metadata"]["name"])
                taken.add(pod["metadata"]["name"])
                changed = True
        for workload in workloads:
            changed |= await self._control(workload, alive, taken)
        return await self._bind() or changed

    async def _bind(self) -> bool:
        """Give claims their volumes, and the size that they ask for."""
        changed = False
        for claim in await self.all(CLAIM):
            name, spec, status = claim["metadata"]["name"], claim["spec"], claim.get("status", {})
            size = spec["resources"]["requests"]["storage"]
            if "volumeName" not in spec:
                await self.patch(CLAIM, name, {"spec": {"volumeName": "volume"}})
            elif status.get("capacity", {}).get("storage") == size:
                continue
            bound = {"phase": "Bound", "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]}
            await self.patch(CLAIM, name, {"status": bound}, "status")
            changed = True
        return changed

    def _count_away(self, workloads: list[Obj], pods: list[Obj]) -> None:
        for workload in workloads:
            if labels.EXECUTOR_GROUP in workload["metadata"]["labels"]:
                mine = [pod for pod in pods if _owner(pod) == workload["metadata"]["uid"]]
                away = sum("deletionTimestamp" in pod["metadata"] for pod in mine)
                self.most_away = max(self.most_away, away)

    async def _collect(self, pods: list[Obj]) -> bool:
        """End what deleted pools left: objects at once, pods when they may drain no longer; Calico's policies are the operator's."""
        changed, left = False, False
        for kind in (*APPLIED, POD):
            for obj in pods if kind == POD else await self.all(kind):
                meta = obj["metadata"]
                if meta.get("labels", {}).get(labels.POOL_UID) not in self.ghosts or not meta.get("ownerReferences"):
                    continue
                left = True
                if kind == CLAIM and meta.get("finalizers"):
                    await self.patch(CLAIM, meta["name"], {"metadata": {"finalizers": None}})
                ending = "deletionTimestamp" in meta
                if kind == CALICO_POLICY or (ending and meta["deletionGracePeriodSeconds"] > GRACE_SECONDS):
                    continue
                await self.delete(kind, meta["name"], 0 if ending else None)
                changed = True
        if not left:
            self.ghosts.clear()
        return changed

    async def _control(self, workload: Obj, pods: list[Obj], taken: set[str]) -> bool:
        spec, meta = workload["spec"], workload["metadata"]
        revision = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:8]
        ordered = workload["kind"] == STATEFUL_SET.name
        names = [f"{meta['name']}-{number}" for number in range(spec["replicas"])]
        rolls = not ordered or spec["updateStrategy"]["type"] == "RollingUpdate"
        changed, present = False, set()
        for pod in pods:
            if _owner(pod) != meta["uid"]:
                continue
            name, current = pod["metadata"]["name"], pod["metadata"]["labels"]["controller-revision-hash"] == revision
            if name not in names or (rolls and not current):
                await self.delete(POD, name, 0)
                changed = True
            else:
                present.add(name)
        for name in names:
            if name not in present and name not in taken:
                await self._start(workload, name, revision)
                changed = True
        ready = len(set(names) - taken)
        return await self._report(workload, ready, revision) or changed

    async def _start(self, workload: Obj, name: str, revision: str) -> None:
        """Make a pod that is ready."""
        template, meta = workload["spec"]["template"], workload["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": workload["kind"], "name": meta["name"], "uid": meta["uid"]}
        containers = [one["name"] for one in template["spec"]["containers"]]
        pod = {
            "metadata": {
                "name": name,
                "labels": {**template["metadata"]["labels"], "controller-revision-hash": revision},
                "annotations": template["metadata"].get("annotations", {}),
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": {
                "nodeName": "node",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": template["spec"].get("terminationGracePeriodSeconds", 30),
                "containers": [{"name": one, "image": "none"} for one in containers],
            },
        }
        await self.create(POD, pod)
        rest = {"ready": True, "restartCount": 0, "image": "none", "imageID": ""}
        status = {
            "phase": "Running",
            "hostIP": NODE_ADDRESS,
            "podIP": POD_ADDRESS,
            "podIPs": [{"ip": POD_ADDRESS}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": one, **rest} for one in containers],
        }
        await self.patch(POD, name, {"status": status}, "status")
        self.made += 1

    async def _report(self, workload: Obj, replicas: int, revision: str) -> bool:
        """Give a workload the status of one whose pods are all there."""
        meta = workload["metadata"]
        status = {"observedGeneration": meta["generation"], "replicas": replicas, "updatedReplicas": replicas}
        status["readyReplicas"] = replicas
        if workload["kind"] == STATEFUL_SET.name:
            status |= {"currentRevision": revision, "updateRevision": revision}
        if all(workload.get("status", {}).get(key, 0) == value for key, value in status.items()):
            return False
        kind = STATEFUL_SET if workload["kind"] == STATEFUL_SET.name else DEPLOYMENT
        await self.patch(kind, meta["name"], {"status": status}, "status")
        return True


def _owner(pod: Obj) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{"uid": ""}]
    return str(owners[0]["uid"])

"""What is compared: the objects of a namespace without what differs between any two pools, and what has to hold of them by themselves."""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from condorpool_operator import labels
from condorpool_operator.compare import owned_by
from condorpool_operator.kinds import CALICO_POLICY
from condorpool_operator.minting import SCOPES, token_is_good
from condorpool_operator.naming import Names

from .world import POOL, Obj

_OWN = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences")
_HASHES = (labels.APPLIED_HASH, labels.RESTART_HASH, labels.TEMPLATE_HASH)
_CHOSEN = ("clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort")
_TIMES = ("lastTransitionTime", "startTime", "deletionTimestamp")
_DROPPED = frozenset({*_OWN, *_CHOSEN, *_TIMES})


def normalised(objects: Iterable[Obj], namespace: str) -> dict[str, Any]:
    """Return the objects by kind and name; of minted Secrets the names of the keys only."""
    found = list(objects)
    uids = {obj["metadata"]["uid"]: f"{obj['kind']}/{obj['metadata']['name']}" for obj in found}
    pool = next((obj["metadata"]["uid"] for obj in found if obj["kind"] == "CondorPool"), "no pool")
    templates = {
        obj["metadata"]["uid"]: _template_hash(obj) for obj in found if obj["kind"] in ("StatefulSet", "Deployment")
    }
    result = {}
    for obj in found:
        text = orjson.dumps(_strip(_one(obj, uids, templates))).decode()
        text = text.replace(pool, "POOL-UID").replace(pool[:8], "POOL-UID8").replace(namespace, "NAMESPACE")
        clean = orjson.loads(text)
        group = "Calico's " if clean["apiVersion"] == CALICO_POLICY.api_version else ""
        result[f"{group}{clean['kind']}/{clean['metadata']['name']}"] = clean
    return result


def _one(obj: Obj, uids: dict[str, str], templates: dict[str, str]) -> Obj:
    meta = dict(obj["metadata"])
    owners = [
        {"owner": uids.get(one["uid"], "an object that is gone"), "controller": one.get("controller")}
        for one in meta.get("ownerReferences", ())
    ]
    status = dict(obj.get("status") or {})
    if "observedGeneration" in status:
        status["observedGeneration"] = status["observedGeneration"] == meta["generation"]
    if "conditions" in status:
        status["conditions"] = {one["type"]: _condition(one, meta.get("generation", 0)) for one in status["conditions"]}
    meta["annotations"] = {key: value for key, value in meta.get("annotations", {}).items() if key != labels.FILES_HASH}
    result = {**obj, "metadata": {**meta, "owners": owners}, "status": status}
    if obj["kind"] == "Secret" and labels.POOL in meta.get("labels", {}):
        result["data"] = {key: _told(value) for key, value in (obj.get("data") or {}).items()}
        if meta["name"] != Names(POOL, "").users:
            result["data"] = sorted(result["data"])
    if obj["kind"] == "Pod":
        hashes = [templates.get(one["uid"]) for one in meta.get("ownerReferences", ())]
        result["metadata"]["current"] = meta.get("annotations", {}).get(labels.TEMPLATE_HASH) in hashes
        result["spec"] = {}
        meta["labels"] = {
            key: value for key, value in meta.get("labels", {}).items() if key != "controller-revision-hash"
        }
        result["metadata"] = {**result["metadata"], "labels": meta["labels"]}
    if obj["kind"] in ("StatefulSet", "Deployment"):
        for key in ("currentRevision", "updateRevision"):
            status.pop(key, None)
    if ports := (obj.get("spec") or {}).get("ports"):
        result["spec"] = {
            **obj["spec"],
            "ports": [{k: v for k, v in port.items() if k not in _CHOSEN} for port in ports],
        }
    if obj["kind"] == "CondorPool":
        text = re.sub(r":3[0-9]{4}\"", ':PORT"', json.dumps(status))
        result["status"] = json.loads(text)
    return result


def _condition(condition: Obj, generation: int) -> Obj:
    """Return a condition with whether it is about this generation, where it tells of which it is."""
    seen = condition.get("observedGeneration")
    return {**condition, "observedGeneration": None if seen is None else seen == generation}


def _template_hash(workload: Obj) -> str:
    annotations = workload["spec"]["template"]["metadata"].get("annotations") or {}
    return str(annotations.get(labels.TEMPLATE_HASH))


def _told(value: str) -> str:
    """Return the text of the user database, without salts."""
    return re.sub(r"\$2b\$[./A-Za-z0-9$]+", "HASH", base64.b64decode(value).decode(errors="replace"))


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: f"a {key}" if key in _HASHES else _strip(one) for key, one in value.items() if key not in _DROPPED}
    return [_strip(one) for one in value] if isinstance(value, list) else value


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return in words where two normalised namespaces differ."""
    told = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    told += [f"{name} should not be there" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(found.keys() & wanted.keys()):
        told += _inner(name, found[name], wanted[name])
    return told


def _inner(path: str, found: Any, wanted: Any) -> list[str]:
    if found == wanted:
        return []
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(found.keys() | wanted.keys())
        return [line for key in keys for line in _inner(f"{path}.{key}", found.get(key), wanted.get(key))]
    return [f"{path}: {json.dumps(found)[:300]} instead of {json.dumps(wanted)[:300]}"]


def broken_rules(objects: Iterable[Obj], namespace: str) -> list[str]:
    """Return what is wrong with the objects whatever the scenario: owners, orphans, tokens that their key does not verify."""
    found = list(objects)
    pool = next((obj for obj in found if obj["kind"] == "CondorPool"), None)
    told = []
    for obj in found:
        meta = obj["metadata"]
        if obj["kind"] in ("Pod", "CondorPool") or labels.POOL_UID not in meta.get("labels", {}):
            continue
        name = f"{obj['kind']}/{meta['name']}"
        retained = obj["kind"] == "PersistentVolumeClaim" and not meta.get("ownerReferences")
        if retained:
            continue
        if pool is None or meta["labels"][labels.POOL_UID] != pool["metadata"]["uid"]:
            told.append(f"{name} is an orphan")
        elif not owned_by(pool["metadata"]["uid"], obj) or len(meta["ownerReferences"]) != 1:
            told.append(f"{name} has not the pool as its one owner")
    return told + ([] if pool is None else _bad_tokens(found, Names(POOL, namespace)))


def _bad_tokens(objects: list[Obj], names: Names) -> list[str]:
    ours = [obj for obj in objects if obj["kind"] == "Secret" and labels.POOL in obj["metadata"].get("labels", {})]
    secrets = {obj["metadata"]["name"]: obj.get("data") or {} for obj in ours}
    keys = secrets.get(names.signing_keys, {})
    told = []
    for role in SCOPES:
        for value in secrets.get(names.token(role), {}).values():
            key = base64.b64decode(keys.get(role, ""))
            if not token_is_good(base64.b64decode(value).strip(), key, role, names.trust_domain):
                told.append(f"the token of {role} does not verify with the pool's key")
    return told

"""The API server takes the CRD, and by it refuses what is wrong at the earliest place, with the fix."""

import json
from typing import Any

import pytest

from .cluster import Cluster, RefusedError, pool

JOHN = {"name": "john", "authorizedKeysSecretRef": {"name": "john"}}


def group(**fields: Any) -> dict[str, Any]:
    return {"executors": [{"name": "cpu", **fields}]}


def ssh(*users: dict[str, Any], **service: Any) -> dict[str, Any]:
    return {"submitter": {"ssh": {"users": list(users), **({"service": service} if service else {})}}}


def egress(*peers: dict[str, Any], **rule: Any) -> dict[str, Any]:
    return {"networkPolicy": {"egress": {"executors": [{"to": list(peers), **rule}]}}}


def mounts(*entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return group(mounts=list(entries), **fields)


def mount(name: str = "data", path: str = "/mnt/data", **fields: Any) -> dict[str, Any]:
    return {"name": name, "path": path, **(fields or {"command": ["bindfs", "-f", "/a", "$(MOUNT_PATH)"]})}


def oneclient(**fields: Any) -> dict[str, Any]:
    return {"oneclient": {"provider": "p.example", "tokenSecretRef": {"name": "onedata"}, **fields}}


OUTSIDE = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}

ACCEPTED: dict[str, dict[str, Any]] = {
    "empty": {},
    "no executors": {"executors": []},
    "two groups": {"executors": [{"name": "a"}, {"name": "b", "replicas": 0}]},
    "smallest executor": group(resources={"limits": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "1Gi"}}),
    "numbers as quantities": group(resources={"limits": {"cpu": 4}, "requests": {"cpu": 2}}),
    "extended resource": group(resources={"limits": {"nvidia.com/gpu": 1}}),
    "durations": group(drainTimeout="1h30m"),
    "share": group(maxUnavailable="100%"),
    "number": group(maxUnavailable=3),
    "placement": {
        "manager": {"nodeSelector": {"a/b": "c"}, "affinity": {"nodeAffinity": {}}, "podLabels": {"team": "x"}}
    },
    "by key": ssh(JOHN),
    "by password": ssh({"name": "jane_2", "passwordSecretRef": {"name": "jane", "key": "pw"}}),
    "node port": ssh(JOHN, nodePort=30100),
    "cluster ip": ssh(JOHN, type="ClusterIP"),
    "image": {"image": {"repository": "lab.example:5000/condor", "tag": "25.1", "pullPolicy": "Always"}},
    "config": {"config": {"configMapRefs": [{"name": "a"}, {"name": "b.c"}]}},
    "manager's claim": {"manager": {"storage": {}}},
    "kept claim": {"submitter": {"storage": {"retentionPolicy": "Retain"}}},
    "source ranges": ssh(JOHN, sourceRanges=["10.0.0.0/8", "2001:db8::/32"]),
    "source ranges of a cluster ip": ssh(JOHN, type="ClusterIP", sourceRanges=["10.0.0.0/8"]),
    "source ranges and Local": ssh(JOHN, externalTrafficPolicy="Local", sourceRanges=["10.0.0.0/8"]),
    "no policies": {"networkPolicy": {"mode": "Disabled"}},
    "egress to anything outside": egress(OUTSIDE),
    "egress to pods": egress({"podSelector": {"matchLabels": {"app": "squid"}}}, {"namespaceSelector": {}}),
    "mounts": mounts(mount(), mount("x9", "/x", **oneclient(space="Ünïted", options=["--tag-on-create=a:b"]))),
    "mounts beside each other": mounts(mount(), mount("more", "/mnt/data-more")),
    "no mounts without privileges": group(mounts=[], privileged=False),
    "as many mounts as there may be": mounts(*(mount(f"m{n}", f"/m{n}", command=["x" * 256] * 32) for n in range(8))),
    "egress to ports": egress(OUTSIDE, ports=[{"port": 1}, {"protocol": "UDP", "port": 1, "endPort": 65535}]),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"exectors": []}, 'unknown field "spec.exectors"'),
    "unknown field deep down": (group(replica=1), 'unknown field "spec.executors[0].replica"'),
    "not a quantity": (group(resources={"limits": {"memory": "lots"}}), "spec.executors[0].resources.limits.memory"),
    "negative quantity": (group(resources={"limits": {"memory": "-1Gi"}}), "spec.executors[0].resources.limits.memory"),
    "quantity with a newline": (group(resources={"limits": {"cpu": "1\n"}}), "spec.executors[0].resources.limits.cpu"),
    "too little memory": (group(resources={"limits": {"memory": "128Mi"}}), "at least 256Mi"),
    "too little disk": (group(resources={"limits": {"ephemeral-storage": "100Mi"}}), "at least 1Gi"),
    "request above limit": (
        group(resources={"limits": {"cpu": 1}, "requests": {"cpu": "1500m"}}),
        "must not exceed the limit",
    ),
    "negative replicas": (group(replicas=-1), "spec.executors[0].replicas"),
    "duplicate group": ({"executors": [{"name": "a"}, {"name": "a"}]}, "spec.executors[1]: Duplicate value"),
    "reserved group": ({"executors": [{"name": "manager"}]}, "choose another"),
    "long group": ({"executors": [{"name": "x" * 21}]}, "spec.executors[0].name"),
    "group in capitals": ({"executors": [{"name": "CPU"}]}, "spec.executors[0].name"),
    "no duration": (group(drainTimeout="soon"), "spec.executors[0].drainTimeout"),
    "no time to drain": (group(drainTimeout="0s"), "1s to 8760h"),
    "a century to drain": (group(drainTimeout="99999h"), "1s to 8760h"),
    "nobody away": (group(maxUnavailable=0), "at least 1"),
    "no share": (group(maxUnavailable="0%"), "spec.executors[0].maxUnavailable"),
    "own label": (group(podLabels={"condorpool.dev/pool": "x"}), "belong to the operator"),
    "root": (ssh({**JOHN, "name": "root"}), "belongs to the system"),
    "condor": (ssh({**JOHN, "name": "condor"}), "belongs to the system"),
    "slot user": (ssh({**JOHN, "name": "slot1"}), "belongs to the system"),
    "shell in a name": (ssh({**JOHN, "name": "a;rm"}), "spec.submitter.ssh.users[0].name"),
    "newline in a name": (ssh({**JOHN, "name": "john\nroot"}), "spec.submitter.ssh.users[0].name"),
    "newline at the end of a name": (ssh({**JOHN, "name": "john\n"}), "spec.submitter.ssh.users[0].name"),
    "colon in a name": (ssh({**JOHN, "name": "a:b"}), "spec.submitter.ssh.users[0].name"),
    "duplicate user": (ssh(JOHN, JOHN), "spec.submitter.ssh.users[1]: Duplicate value"),
    "no way in": (ssh({"name": "john"}), "a user needs"),
    "no users": (ssh(), "spec.submitter.ssh.users"),
    "node port of a cluster ip": (ssh(JOHN, type="ClusterIP", nodePort=30100), "nodePort needs"),
    "policy of a cluster ip": (
        ssh(JOHN, type="ClusterIP", externalTrafficPolicy="Local"),
        "externalTrafficPolicy needs",
    ),
    "unknown mode": ({"networkPolicy": {"mode": "None"}}, "spec.networkPolicy.mode"),
    "unknown retention of the manager's": ({"manager": {"storage": {"retentionPolicy": "Keep"}}}, "retentionPolicy"),
    "unknown retention": ({"submitter": {"storage": {"retentionPolicy": "Keep"}}}, "retentionPolicy"),
    "source that is no network": (ssh(JOHN, sourceRanges=["10.0.0.1"]), "sourceRanges[0]"),
    "source range out of range": (ssh(JOHN, sourceRanges=["10.0.0.0/33"]), "sourceRanges[0]"),
    "source ranges that see no clients": (
        ssh(JOHN, externalTrafficPolicy="Cluster", sourceRanges=["10.0.0.0/8"]),
        "needs externalTrafficPolicy Local",
    ),
    "egress to nobody": (egress(), "spec.networkPolicy.egress.executors[0].to"),
    "egress to network and pods": (egress({**OUTSIDE, "podSelector": {}}), "either ipBlock"),
    "egress to an empty peer": (egress({}), "either ipBlock"),
    "egress to ports backwards": (egress(OUTSIDE, ports=[{"port": 9, "endPort": 8}]), "must not be smaller"),
    "egress to no port": (egress(OUTSIDE, ports=[{"port": 0}]), "ports[0].port"),
    "mount without privileges": (mounts(mount(), privileged=False), "mounts need privileged: true"),
    "mount in another": (mounts(mount(), mount("x", "/mnt/data/x")), "must not lie at or below that of another"),
    "two mounts at one path": (mounts(mount(), mount("x")), "must not lie at or below that of another"),
    "two mounts of one name": (mounts(mount(), mount(path="/x")), "Duplicate value"),
    "mount in the image": (mounts(mount(path="/usr/lib/x")), "belongs to the image"),
    "mount at the root": (mounts(mount(path="/")), "mounts[0].path"),
    "mount by a way back": (mounts(mount(path="/mnt/../etc")), "mounts[0].path"),
    "mount that is no attribute": (mounts(mount("a-b")), "mounts[0].name"),
    "mount of nothing": (mounts({"name": "a", "path": "/a"}), "either command or oneclient"),
    "mount of both": (mounts(mount(command=["x"], **oneclient())), "either command or oneclient"),
    "mount by no program": (mounts(mount(command=[])), "mounts[0].command"),
    "newline in a mount": (mounts(mount(command=["a\nmount b"])), "mounts[0].command[0]"),
    "Secret beside the token": (mounts(mount(**oneclient(), secretRef={"name": "a"})), "goes with command"),
    "token on the command line": (mounts(mount(**oneclient(options=["--token=x"]))), "comes from tokenSecretRef"),
    "token, shortened": (mounts(mount(**oneclient(options=["--tok=x"]))), "comes from tokenSecretRef"),
    "short option": (mounts(mount(**oneclient(options=["-tx"]))), "options[0]"),
    "same config twice": ({"config": {"configMapRefs": [{"name": "a"}, {"name": "a"}]}}, "Duplicate value"),
    "path as a config": ({"config": {"configMapRefs": [{"name": "../a"}]}}, "spec.config.configMapRefs[0].name"),
    "shell in an image": ({"image": {"repository": "a b"}}, "spec.image.repository"),
    "newline in an image": ({"image": {"tag": "a\nb"}}, "spec.image.tag"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(bare: Cluster, name: str) -> None:
    bare.apply(pool(ACCEPTED[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(bare: Cluster, name: str) -> None:
    spec, message = REFUSED[name]
    with pytest.raises(RefusedError) as caught:
        bare.apply(pool(spec))
    assert message in str(caught.value)
    assert bare.get("condorpool", "demo") is None


@pytest.mark.parametrize(
    ("name", "message"), [("p" * 31, "at most 30"), ("9pool", "a letter first"), ("a.b", "a letter first")]
)
def test_refused_names(bare: Cluster, name: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        bare.apply(pool({}, name))


def storage(**fields: Any) -> dict[str, Any]:
    return {"submitter": {"storage": fields}}


def kept(**fields: Any) -> dict[str, Any]:
    return {"manager": {"storage": fields}}


def claimed(bare: Cluster, size: str) -> None:
    """Say in the pool's status what its claim has, as the operator does."""
    status = {"status": {"observedGeneration": 1, "submitter": {"storage": {"size": size}}}}
    bare.kubectl("patch", "condorpool", "demo", "--subresource=status", "--type=merge", "-p", json.dumps(status))


@pytest.mark.parametrize(
    ("before", "has", "after"),
    [
        (storage(size="1Gi"), "1Gi", storage(size="2Gi")),
        ({}, "10Gi", storage(size="11Gi")),
        (storage(size="1024Mi"), "1Gi", storage(size="1Gi")),
        (storage(size="1Gi", storageClassName="fast"), "1Gi", storage(size="2Gi", storageClassName="fast")),
        pytest.param(storage(size="20Gi"), "10Gi", storage(size="10Gi"), id="a refused growth is taken back"),
        pytest.param(
            storage(size="5Gi"), "20Gi", {**storage(size="5Gi"), "paused": True}, id="a larger claim was adopted"
        ),
    ],
)
def test_storage_may_grow(bare: Cluster, before: dict[str, Any], has: str, after: dict[str, Any]) -> None:
    bare.apply(pool(before))
    claimed(bare, has)
    bare.apply(pool(after))


@pytest.mark.parametrize(
    ("before", "has", "after", "message"),
    [
        (storage(size="2Gi"), "2Gi", storage(size="1Gi"), "never shrink"),
        ({}, "10Gi", storage(size="1Gi"), "never shrink"),
        (storage(size="20Gi"), "20Gi", {}, "never shrink"),
        (storage(storageClassName="fast"), "10Gi", storage(storageClassName="slow"), "fixed at creation"),
        ({}, "10Gi", storage(storageClassName="fast"), "fixed at creation"),
        (storage(storageClassName="fast"), "10Gi", {}, "fixed at creation"),
    ],
)
def test_storage_is_not_taken_away(
    bare: Cluster, before: dict[str, Any], has: str, after: dict[str, Any], message: str
) -> None:
    bare.apply(pool(before))
    claimed(bare, has)
    with pytest.raises(RefusedError, match=message):
        bare.apply(pool(after))


CLASSED = kept(storageClassName="fast")


@pytest.mark.parametrize(
    ("before", "has", "after", "refused"),
    [
        ({}, None, kept(size="2Gi", storageClassName="fast"), None),
        (CLASSED, "1Gi", {}, None),
        (CLASSED, "1Gi", {"manager": {}}, None),
        ({}, "2Gi", kept(size="2Gi"), None),
        (kept(size="20Gi"), "1Gi", kept(), None),
        (kept(), "1Gi", kept(size="2Gi"), None),
        (kept(size="2Gi"), "2Gi", kept(), "never shrink"),
        (CLASSED, "1Gi", kept(storageClassName="slow"), "manager.storage.storageClassName is fixed at creation"),
        (CLASSED, "1Gi", kept(), "manager.storage.storageClassName is fixed at creation"),
        (kept(), "1Gi", CLASSED, "manager.storage.storageClassName is fixed at creation"),
    ],
)
def test_the_managers_claim_comes_goes_and_grows(
    bare: Cluster, before: dict[str, Any], has: str | None, after: dict[str, Any], refused: str | None
) -> None:
    bare.apply(pool(before))
    if has is not None:
        status = {"observedGeneration": 1, "manager": {"address": "c:9618", "storage": {"size": has}}}
        bare.kubectl(
            *("patch", "condorpool", "demo", "--subresource=status", "--type=merge", "-p"),
            json.dumps({"status": status}),
        )
    if refused is None:
        bare.apply(pool(after))
    else:
        with pytest.raises(RefusedError, match=refused):
            bare.apply(pool(after))


def test_a_new_pool_is_never_ready_at_first_sight(bare: Cluster) -> None:
    """As the answer to the creation shows it, whether or not an operator is there."""
    created = json.loads(bare.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(pool())))
    assert created["status"] == {"observedGeneration": -1}


def test_it_is_found_by_short_name_and_category_and_explained(bare: Cluster) -> None:
    bare.apply(pool())
    assert "demo" in bare.kubectl("get", "cpool")
    assert "demo" in bare.kubectl("get", "condor")
    assert "only its hash reaches" in bare.kubectl("explain", "condorpool.spec.submitter.ssh.users.passwordSecretRef")

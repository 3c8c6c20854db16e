"""The pool whose every field is edited: its specs, one after the other, and what is looked at in the running pool."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .kubectl import Object
from .manifests import MARK, config_map, group, refs, secret, user
from .network import Target, outside
from .operator import ROLE_IMAGE
from .pool import Pool, is_ending
from .ssh import Key, Ssh

if TYPE_CHECKING:
    from .pools import Logins

NAME = "day"
EXPANDABLE, IMPORTANT = "e2e-expandable", "e2e-important"
"""A StorageClass and a PriorityClass of the suite's own; they belong to the cluster."""
PRIORITY = 1234

NODE_PORT = 31617
REPOSITORY, TAG = "condorpool/htcondor-second", "day-two"
SECOND_MARK = "/etc/e2e-second"
"""The role image with one more file, under another name."""

IMAGE_SECONDS = 180.0

TAINT = {"key": "e2e.condorpool.dev/day", "value": "two", "effect": "NoSchedule"}
CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
TOLERATIONS = [
    CONTROL_PLANE,
    {"operator": "Equal", **TAINT},
    {**UNREACHABLE, "tolerationSeconds": 77},
]

EXECUTOR_RESOURCES = {
    "limits": {"cpu": "2", "memory": "608Mi", "ephemeral-storage": "3Gi"},
    "requests": {"cpu": "20m", "memory": "100Mi", "ephemeral-storage": "300Mi"},
}
ADVERTISED = "2 480"
"""CPUs and MiB that an executor of that size offers: 608 less 96, less 16 for each CPU."""
POD_RESOURCES = {"limits": {"memory": "700Mi"}, "requests": {"cpu": "20m", "memory": "90Mi"}}


CPU = group("cpu", drainTimeout="10m")
"""The first executor group."""


def day_spec(**changes: Any) -> dict[str, Any]:
    """Return the first spec: one user, ssh inside the cluster only, one executor; top-level fields may be replaced."""
    return {
        "submitter": {
            "storage": {"size": "1Gi", "storageClassName": EXPANDABLE},
            "ssh": {"users": [user("ann", keys="ann")], "service": {"type": "ClusterIP"}},
        },
        "executors": [CPU],
        **changes,
    }


def day_objects(keys: Mapping[str, Key], passwords: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the pool refers to, now or later."""
    marked = {"labels": MARK}
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": EXPANDABLE, **marked},
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": IMPORTANT, **marked},
            "value": PRIORITY,
            "preemptionPolicy": "Never",
        },
        secret("ann", authorized_keys=keys["john"].public),
        secret("keyring", **{"ann.pub": keys["jim"].public}),
        secret("words", bob=passwords["jim"]),
        secret("registry", **{".dockerconfigjson": json.dumps({"auths": {}})})
        | {"type": "kubernetes.io/dockerconfigjson"},
        *(config_map(f"{name}-knobs", knobs=f"E2E_{name.upper()} = {name}\n") for name in ("pool", *ROLES.values())),
    ]


ROLES = {"spec.manager": "manager", "spec.submitter": "submitter", "spec.executors[]": "cpu"}
"""The parts of the spec that have a placement, resources and configuration, and the role, or group, that each is about."""
DAEMONS = {"manager": "collector", "submitter": "schedd", "cpu": "startd"}


def only_on(nodes: set[str]) -> dict[str, Any]:
    """Return an affinity that leaves some nodes."""
    wanted = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": sorted(nodes)}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": wanted}}}


def apart(role: str) -> list[dict[str, Any]]:
    """Return a constraint that keeps the pods of a role on different nodes."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"e2e.role": role}},
        }
    ]


@dataclass(frozen=True)
class Day:
    """The pool, the nodes that it is moved between, and the desk from which its users log in."""

    pool: Pool
    control_plane: str
    home: str
    """The node of the submitter, to which its volume binds it."""
    addresses: Mapping[str, str]
    """Of the nodes by name."""
    logins: "Logins"
    desk: Path

    @property
    def worker(self) -> str:
        """A node that is not the control plane."""
        return next(name for name in self.addresses if name != self.control_plane)

    @property
    def ssh(self) -> Ssh:
        """A client that goes by the submitter's node."""
        return Ssh(self.desk, f"{self.addresses[self.home]}:{NODE_PORT}")

    def specs(self) -> dict[str, dict[str, Any]]:
        """Return the specs by name, in the order in which they are applied."""
        return {"moved": self._moved(), "spread": self._spread()}

    def _moved(self) -> dict[str, Any]:
        """Set most fields of pods: manager and executors on the control plane, by their tolerations."""
        submitter = {**day_spec()["submitter"], **self._placed("submitter"), "resources": POD_RESOURCES}
        submitter["ssh"] = {**submitter["ssh"], "resources": POD_RESOURCES}
        executors = group("cpu", 2, drainTimeout="7m", privileged=False, maxUnavailable=2)
        return {
            "image": {"repository": REPOSITORY, "tag": TAG, "pullPolicy": "Never", "pullSecrets": ["registry"]},
            "config": refs("pool-knobs"),
            "manager": {**self._placed("manager"), "resources": POD_RESOURCES},
            "submitter": submitter,
            "executors": [{**executors, **self._placed("cpu"), "resources": EXECUTOR_RESOURCES}],
        }

    def _placed(self, role: str) -> dict[str, Any]:
        return {
            "nodeSelector": {"kubernetes.io/hostname": self.selected(role)},
            "tolerations": TOLERATIONS,
            "podLabels": {"e2e.role": role},
            "podAnnotations": {"e2e/note": f"for {role}"},
            "priorityClassName": IMPORTANT,
            "config": refs(f"{role}-knobs"),
        }

    def _spread(self) -> dict[str, Any]:
        """Set none of that, but affinity and spread; ssh by a NodePort, more users, more room."""
        ann = {"name": "ann", "authorizedKeysSecretRef": {"name": "keyring", "key": "ann.pub"}}
        bob = {"name": "bob", "passwordSecretRef": {"name": "words", "key": "bob"}}
        service = {"type": "NodePort", "nodePort": NODE_PORT, "externalTrafficPolicy": "Local"}
        service |= {"annotations": {"e2e/note": "for the balancer"}}
        placed = {
            role: {"affinity": only_on(self.affine(role)), "topologySpreadConstraints": apart(role)}
            for role in ROLES.values()
        }
        return {
            "manager": placed["manager"],
            "submitter": {
                **placed["submitter"],
                "storage": {"size": "2Gi", "storageClassName": EXPANDABLE},
                "ssh": {"users": [ann, bob], "service": service},
            },
            "executors": [group("cpu", 2, drainTimeout="10m", podLabels={"e2e.role": "cpu"}, **placed["cpu"])],
        }

    def selected(self, role: str) -> str:
        """Return the node that the first spec selects for a role."""
        return self.home if role == "submitter" else self.control_plane

    def affine(self, role: str) -> set[str]:
        """Return the nodes that the second spec leaves to a role."""
        workers = set(self.addresses) - {self.control_plane}
        return {"manager": {self.worker}, "submitter": {self.home}, "cpu": workers}[role]

    def pods(self, role: str) -> list[Object]:
        """Return the pods of a role or group that stay."""
        pods = self.pool.pods(role) if role in {"manager", "submitter"} else self.pool.pods("executor", role)
        return [pod for pod in pods if not is_ending(pod)]

    def spec(self, role: str) -> dict[str, Any]:
        """Return the spec of a role's first pod."""
        return dict(self.pods(role)[0]["spec"])

    def first(self, role: str) -> str:
        """Return the name of a role's first pod."""
        return str(self.pods(role)[0]["metadata"]["name"])

    def nodes(self, role: str) -> set[str]:
        """Return the nodes on which the pods of a role run."""
        return {pod["spec"]["nodeName"] for pod in self.pods(role)}

    def metadata(self, role: str, kind: str, key: str) -> set[str]:
        """Return what the pods of a role carry under a label or an annotation; empty where one does not."""
        return {pod["metadata"].get(kind, {}).get(key, "") for pod in self.pods(role)}

    def resources(self, role: str, side: str, container: str = "condor") -> tuple[object, object]:
        """Return limits or requests as the kubelet has set them for the running container, and as they were asked for."""
        wanted = (EXECUTOR_RESOURCES if role == "cpu" else POD_RESOURCES)[side]
        (status,) = [one for one in self.pods(role)[0]["status"]["containerStatuses"] if one["name"] == container]
        return {name: status["resources"][side].get(name) for name in wanted}, wanted

    def offers(self) -> set[str]:
        """Return CPUs and MiB of each executor, as the collector has them."""
        names = ("TotalSlotCpus", "TotalSlotMemory")
        return set(
            self.pool.run(
                self.pool.manager, "condor_status", "-constraint", "PartitionableSlot", "-af", *names
            ).splitlines()
        )

    def knob(self, role: str, name: str) -> str:
        """Return a knob as the running daemon of a role has it."""
        return self.pool.said(self.first(role), "condor_config_val", f"-{DAEMONS[role]}", name).strip()

    def sshd_at(self, node: str) -> str:
        """Return what an attempt from outside at sshd's port of a node comes to."""
        target = Target("ssh", node, self.addresses[node], NODE_PORT)
        return outside().outcomes([target])[target]


def load_second_image(root: Path) -> None:
    """Build the second role image and put it into the nodes."""
    image = f"{REPOSITORY}:{TAG}"
    recipe = f"FROM {ROLE_IMAGE}\nRUN echo second >{SECOND_MARK}\n"
    build = ["docker", "build", "--quiet", "--tag", image, "-"]
    for command, text in ((build, recipe), ([sys.executable, "-m", "devcluster", "load", image], "")):
        done = subprocess.run(
            command, cwd=root, input=text, capture_output=True, text=True, timeout=IMAGE_SECONDS, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


def paths(schema: Mapping[str, Any], path: str) -> set[str]:
    """Return the paths of all fields below a schema; what is in a list of objects is written list[].field."""
    if "properties" in schema:
        return {one for name, field in schema["properties"].items() for one in paths(field, f"{path}.{name}")}
    if "properties" in schema.get("items", {}):
        return paths(schema["items"], f"{path}[]")
    return {path}


def names_a_test(reference: str, directory: Path) -> bool:
    """Return whether file::function is a test."""
    file, _, function = reference.partition("::")
    return f"def {function}(" in (directory / file).read_text()

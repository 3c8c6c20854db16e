"""Every field of a live pool takes effect when it is edited, or is refused with a reason; a new field needs a line here."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.support.day import (
    ADVERTISED,
    NODE_PORT,
    PRIORITY,
    REPOSITORY,
    ROLES,
    SECOND_MARK,
    TAG,
    TAINT,
    TOLERATIONS,
    Day,
    apart,
    day_spec,
    load_second_image,
    names_a_test,
    paths,
)
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import condor_pool
from tests.e2e.support.neighbourhood import nodes
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins
from tests.e2e.support.prober import BLOCKED, OPEN
from tests.e2e.support.waiting import NotYetError, wait_for

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

ROLLOUT_SECONDS = 180.0
SEEN_SECONDS = 60.0
"""Configuration and users reach running containers through the kubelet."""

MOVED, SPREAD = "moved", "spread"
"""The two specs that the pool gets one after the other (support/day.py); the second one takes back what the first one sets."""

Look = Callable[[Day], tuple[object, object]]
"""What is seen of a field's effect, and what should be."""


@dataclass(frozen=True)
class Field:
    """A field that one of the specs sets, and where its effect is seen."""

    spec: str
    look: Look


def placement(role: str) -> dict[str, Field]:
    """Return the fields that all roles have, below their paths."""
    tolerated = Field(MOVED, lambda day: ([one for one in TOLERATIONS if one not in day.spec(role)["tolerations"]], []))
    return {
        "nodeSelector": Field(MOVED, lambda day: (day.nodes(role), {day.selected(role)})),
        "tolerations[].key": tolerated,
        "tolerations[].operator": tolerated,
        "tolerations[].value": tolerated,
        "tolerations[].effect": tolerated,
        "tolerations[].tolerationSeconds": tolerated,
        "affinity": Field(SPREAD, lambda day: (day.nodes(role) - day.affine(role), set())),
        "topologySpreadConstraints": Field(
            SPREAD, lambda day: (day.spec(role)["topologySpreadConstraints"], apart(role))
        ),
        "priorityClassName": Field(MOVED, lambda day: (day.spec(role)["priority"], PRIORITY)),
        "podLabels": Field(MOVED, lambda day: (day.metadata(role, "labels", "e2e.role"), {role})),
        "podAnnotations": Field(MOVED, lambda day: (day.metadata(role, "annotations", "e2e/note"), {f"for {role}"})),
        "resources.limits": Field(MOVED, lambda day: day.resources(role, "limits")),
        "resources.requests": Field(MOVED, lambda day: day.resources(role, "requests")),
        "config.configMapRefs[].name": Field(MOVED, lambda day: (day.knob(role, f"E2E_{role.upper()}"), role)),
    }


def image(day: Day) -> tuple[object, object]:
    """Look at the name of the image of all containers, and at a file that is only in it."""
    named = {one["image"] for role in ROLES.values() for one in day.spec(role)["containers"]}
    marked = {day.pool.run(day.first(role), "cat", SECOND_MARK).strip() for role in ROLES.values()}
    return (named, marked), ({f"{REPOSITORY}:{TAG}"}, {"second"})


def devices(day: Day) -> tuple[object, object]:
    """Look for the nodes' devices, which only a privileged container sees."""
    return day.pool.attempt(day.first("cpu"), "test", "-e", "/dev/kmsg").code, 1


def drain_time(day: Day) -> tuple[object, object]:
    """Look at the two clocks of a drain, the kubelet's and that of pid 1."""
    clock = day.pool.run(day.first("cpu"), "sh", "-c", "tr '\\0' '\\n' </proc/1/environ | grep ^POOL_DRAIN_SECONDS=")
    return (day.spec("cpu")["terminationGracePeriodSeconds"], clock.strip()), (480, "POOL_DRAIN_SECONDS=420")


def disruptions(day: Day) -> tuple[object, object]:
    """Look at how many executors Kubernetes would evict now."""
    return day.pool.kubectl.must_get("poddisruptionbudget", "day-cpu")["status"]["disruptionsAllowed"], 2


def ssh_endpoint(day: Day) -> tuple[object, object]:
    """Look at the address in the status."""
    seen = day.pool.live()["status"]["submitter"]["ssh"].get("endpoint")
    return seen, f"{day.addresses[day.home]}:{NODE_PORT}"


def ssh_annotations(day: Day) -> tuple[object, object]:
    """Look at the Service."""
    service = day.pool.kubectl.must_get("service", "day-ssh")
    return service["metadata"]["annotations"].get("e2e/note"), "for the balancer"


def by_password(day: Day) -> tuple[object, object]:
    """Log in as the new user, with the password at his key of the Secret."""
    return day.ssh.with_password("bob", day.logins.passwords["jim"], "id -un").out, "bob\n"


def by_new_key(day: Day) -> tuple[object, object]:
    """Log in with the public key at the named key of the other Secret."""
    return day.ssh.with_key("ann", day.logins.keys["jim"], "id -un").out, "ann\n"


def not_by_old_key(day: Day) -> tuple[object, object]:
    """Try the key that is no longer referred to."""
    return day.ssh.with_key("ann", day.logins.keys["john"], "id -un").code, 255


def room(day: Day) -> tuple[object, object]:
    """Look at what the claim asks for; the volume has what it had, as the storage of the cluster cannot grow."""
    claim = day.pool.kubectl.must_get("persistentvolumeclaim", "day-submitter")
    status = day.pool.live()["status"]["submitter"]["storage"]
    return (claim["spec"]["resources"]["requests"]["storage"], status), ("2Gi", {"size": "1Gi"})


FIELDS: Mapping[str, Field] = {
    "spec.image.repository": Field(MOVED, image),
    "spec.image.tag": Field(MOVED, image),
    "spec.image.pullPolicy": Field(MOVED, lambda day: (day.spec("cpu")["containers"][0]["imagePullPolicy"], "Never")),
    "spec.image.pullSecrets": Field(MOVED, lambda day: (day.spec("cpu")["imagePullSecrets"], [{"name": "registry"}])),
    "spec.config.configMapRefs[].name": Field(
        MOVED, lambda day: ([day.knob(role, "E2E_POOL") for role in ROLES.values()], ["pool"] * 3)
    ),
    **{f"{path}.{name}": field for path, role in ROLES.items() for name, field in placement(role).items()},
    "spec.submitter.ssh.resources.limits": Field(MOVED, lambda day: day.resources("submitter", "limits", "sshd")),
    "spec.submitter.ssh.resources.requests": Field(MOVED, lambda day: day.resources("submitter", "requests", "sshd")),
    "spec.executors[].replicas": Field(
        MOVED, lambda day: (day.pool.executors_in_collector(), {"day-cpu-0", "day-cpu-1"})
    ),
    "spec.executors[].privileged": Field(MOVED, devices),
    "spec.executors[].resources.limits": Field(MOVED, lambda day: (day.offers(), {ADVERTISED})),
    "spec.executors[].drainTimeout": Field(MOVED, drain_time),
    "spec.executors[].maxUnavailable": Field(MOVED, disruptions),
    "spec.submitter.storage.size": Field(SPREAD, room),
    "spec.submitter.ssh.users[].name": Field(SPREAD, by_password),
    "spec.submitter.ssh.users[].authorizedKeysSecretRef.name": Field(SPREAD, by_new_key),
    "spec.submitter.ssh.users[].authorizedKeysSecretRef.key": Field(SPREAD, not_by_old_key),
    "spec.submitter.ssh.users[].passwordSecretRef.name": Field(SPREAD, by_password),
    "spec.submitter.ssh.users[].passwordSecretRef.key": Field(SPREAD, by_password),
    "spec.submitter.ssh.service.type": Field(SPREAD, ssh_endpoint),
    "spec.submitter.ssh.service.nodePort": Field(SPREAD, lambda day: (day.sshd_at(day.home), OPEN)),
    "spec.submitter.ssh.service.externalTrafficPolicy": Field(
        SPREAD, lambda day: (day.sshd_at(day.control_plane), BLOCKED)
    ),
    "spec.submitter.ssh.service.annotations": Field(SPREAD, ssh_annotations),
}
"""Fields by path, with where their effect is seen."""

PEER = ("ipBlock.cidr", "ipBlock.except", "namespaceSelector.matchLabels", "podSelector.matchLabels")
EGRESS = (*(f"to[].{name}" for name in PEER), "ports[].protocol", "ports[].port", "ports[].endPort")
ONECLIENT = tuple(
    f"oneclient.{name}" for name in ("provider", "tokenSecretRef.name", "tokenSecretRef.key", "space", "options")
)
ELSEWHERE: Mapping[str, str] = {
    "spec.paused": "test_12_day_two.py::test_a_paused_pool_is_left_alone_and_catches_up",
    **{
        f"spec.manager.storage.{name}": "test_23_durable.py::test_priorities_outlive_the_manager_on_a_claim_of_its_own"
        for name in ("size", "storageClassName", "retentionPolicy")
    },
    "spec.submitter.storage.storageClassName": "test_12_every_field.py::test_the_storage_class_stays",
    "spec.submitter.storage.retentionPolicy": "test_10_deletion.py::test_deletion_while_the_operator_is_away",
    "spec.submitter.ssh.service.sourceRanges": "test_11_policies.py::test_source_ranges_see_the_clients_address",
    "spec.executors[].name": "test_12_day_two.py::test_a_group_comes_and_goes_under_its_job",
    **{
        f"spec.executors[].mounts[].{name}": "test_15_mounts.py::test_jobs_find_what_their_group_declares"
        for name in ("name", "path", "readOnly", "command", "secretRef.name", *ONECLIENT)
    },
    "spec.networkPolicy.mode": "test_11_policy_modes.py::test_switching_the_mode_has_no_open_and_no_cut_moment",
    **{
        f"spec.networkPolicy.egress.{who}[].{name}": "test_11_policies.py::test_what_egress_rules_open"
        for who in ("executors", "submitter")
        for name in EGRESS
    },
    **{
        f"spec.networkPolicy.monitoring[].{name}": "test_11_policies.py::test_who_monitors_reaches_the_agent_and_nothing_else"
        for name in PEER
    },
}
"""Fields that other tests edit."""


def test_every_field_is_edited_somewhere() -> None:
    crd = yaml.safe_load((ROOT / "crds" / "condorpools.condorpool.dev.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert paths(schema, "spec") == set(FIELDS) | set(ELSEWHERE)
    assert not set(FIELDS) & set(ELSEWHERE)
    assert [one for one in ELSEWHERE.values() if not names_a_test(one, HERE)] == []


@pytest.fixture(scope="module")
def tainted(kubectl: Kubectl) -> Iterator[str]:
    """Taint the control plane once more and give its name."""
    name = list(nodes(kubectl))[-1]
    taint = f"{TAINT['key']}={TAINT['value']}:{TAINT['effect']}"
    kubectl("taint", "nodes", name, taint, "--overwrite")
    yield name
    kubectl("taint", "nodes", name, f"{TAINT['key']}-")


class Edits:
    """The pool in one spec after the other."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self._now = ""

    def reach(self, name: str) -> None:
        """Apply a spec, unless it is the last one, and wait until the pool is ready with it."""
        if name != self._now:
            self._now = name
            self.day.pool.apply(self.day.specs()[name])
            self.day.pool.wait_condition("Ready", "True", ROLLOUT_SECONDS)


@pytest.fixture(scope="module")
def edits(
    day_pool: Pool, tainted: str, kubectl: Kubectl, logins: Logins, tmp_path_factory: pytest.TempPathFactory
) -> Edits:
    """Return the pool, before its first edit."""
    load_second_image(ROOT)
    addresses = nodes(kubectl)
    home = str(day_pool.kubectl.must_get("pod", day_pool.submitter)["spec"]["nodeName"])
    return Edits(Day(day_pool, tainted, home, addresses, logins, tmp_path_factory.mktemp("desk")))


@pytest.mark.parametrize(
    "path", [path for spec in (MOVED, SPREAD) for path, field in FIELDS.items() if field.spec == spec]
)
def test_an_edit_takes_effect(edits: Edits, path: str) -> None:
    edits.reach(FIELDS[path].spec)

    def look() -> None:
        seen, wanted = FIELDS[path].look(edits.day)
        if seen != wanted:
            raise NotYetError(f"{seen}, not {wanted}")

    wait_for(f"the effect of {path}", look, SEEN_SECONDS)


def test_what_was_taken_back_is_gone(edits: Edits) -> None:
    edits.reach(SPREAD)
    day = edits.day

    for role in ROLES.values():
        spec = day.spec(role)
        assert not spec.keys() & {"nodeSelector", "priorityClassName", "imagePullSecrets"}
        assert [one for one in TOLERATIONS if one in spec["tolerations"]] == []
        assert day.metadata(role, "annotations", "e2e/note") == {""}
        assert not day.pool.attempt(day.first(role), "test", "!", "-e", SECOND_MARK).code
        assert "Not defined" in day.knob(role, "E2E_POOL")


def test_the_storage_class_stays(day_pool: Pool) -> None:
    spec = day_spec()
    spec["submitter"]["storage"]["storageClassName"] = "standard"

    said = day_pool.kubectl.refuse(condor_pool(day_pool.name, spec))

    assert "submitter.storage.storageClassName is fixed at creation" in said

"""What a pool becomes: the whole of it as a snapshot, and the properties that must hold whatever the spec."""

import base64
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from condorpool_operator.builders.desired import desired_objects
from condorpool_operator.builders.executors import template_hash
from condorpool_operator.builders.sizes import advertised, executor_resources
from condorpool_operator.kinds import APPLIED
from tests.history import ROOT, released_file

from .factories import JANE, JOHN, UID, make_context, make_pool

SNAPSHOTS = Path(__file__).parent / "snapshots"
SPECS: dict[str, dict[str, Any]] = {
    "empty": {},
    "full": {
        "image": {"repository": "example/condor", "tag": "1", "pullPolicy": "Always", "pullSecrets": ["pull"]},
        "manager": {"nodeSelector": {"disk": "ssd"}, "resources": {"limits": {"cpu": 1}}},
        "submitter": {
            "storage": {"size": "20Gi", "storageClassName": "fast"},
            "ssh": {
                "users": [JOHN, JANE],
                "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "annotations": {"a/b": "c"}},
            },
            "tolerations": [{"key": "k", "operator": "Exists"}],
        },
        "executors": [
            {"name": "gpu", "replicas": 3, "drainTimeout": "10m", "maxUnavailable": 2, "podLabels": {"team": "a"}},
            {"name": "cpu", "privileged": False, "resources": {"limits": {"cpu": "3500m", "memory": "8Gi"}}},
            {
                "name": "fuse",
                "mounts": [
                    {
                        "name": "onedata",
                        "path": "/mnt/onedata",
                        "readOnly": True,
                        "oneclient": {
                            "provider": "provider.example",
                            "tokenSecretRef": {"name": "onedata", "key": "access"},
                            "space": "physics",
                            "options": ["--force-proxy-io"],
                        },
                    },
                    {
                        "name": "data",
                        "path": "/data",
                        "command": ["bindfs", "-f", "$(CREDENTIALS)", "$(MOUNT_PATH)"],
                        "secretRef": {"name": "keytab"},
                    },
                ],
            },
        ],
    },
}


def test_an_upgrade_of_the_operator_restarts_nothing() -> None:
    """Compare with the snapshots of the last release; specs that are in both must not change for it."""
    for name, spec in SPECS.items():
        before = json.loads(released_file(f"{SNAPSHOTS.relative_to(ROOT)}/{name}.json"))
        workloads = [obj for obj in before if "template" in obj.get("spec", {})]
        assert len(workloads) >= 3
        assert {obj["metadata"]["name"]: obj["spec"]["template"] for obj in workloads} == pod_templates(spec)


def objects(spec: dict[str, Any] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in desired_objects(make_context(spec))}


def pod_templates(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    workloads = ("Deployment", "StatefulSet")
    return {name: obj["spec"]["template"] for (kind, name), obj in objects(spec).items() if kind in workloads}


@pytest.mark.parametrize("name", SPECS)
def test_snapshot(name: str) -> None:
    """Compare with the committed snapshot; to accept a change, delete the file, run the test, and read the diff."""
    path = SNAPSHOTS / f"{name}.json"
    text = json.dumps(desired_objects(make_context(SPECS[name])), indent=1, sort_keys=True) + "\n"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        pytest.fail(f"{path.name} was missing and has been written: read it, then run again")
    assert path.read_text() == text


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
class TestEveryPool:
    def test_is_deterministic(self, spec: dict[str, Any]) -> None:
        assert desired_objects(make_context(spec)) == desired_objects(make_context(spec))

    def test_comes_in_the_order_of_application(self, spec: dict[str, Any]) -> None:
        order = [kind.name for kind in APPLIED]
        positions = [order.index(obj["kind"]) for obj in desired_objects(make_context(spec))]
        assert positions == sorted(positions)

    def test_is_owned_by_the_pool(self, spec: dict[str, Any]) -> None:
        for obj in objects(spec).values():
            assert obj["metadata"]["ownerReferences"][0]["uid"] == UID
            assert obj["metadata"]["labels"]["condorpool.dev/pool-uid"] == UID

    def test_keeps_signing_keys_on_the_manager(self, spec: dict[str, Any]) -> None:
        mounting = {
            name
            for name, template in pod_templates(spec).items()
            if "demo-signing-keys" in json.dumps(template["spec"]["volumes"])
        }
        assert mounting == {"demo-manager"}

    def test_gives_each_role_its_own_token_only(self, spec: dict[str, Any]) -> None:
        for name, template in pod_templates(spec).items():
            text = json.dumps(template["spec"]["volumes"])
            assert ("demo-submitter-token" in text) == (name == "demo-submitter")
            assert ("demo-executor-token" in text) == (name not in ("demo-submitter", "demo-manager"))

    def test_shows_no_secret_outside_secrets(self, spec: dict[str, Any]) -> None:
        shown = json.dumps([obj for (kind, _), obj in objects(spec).items() if kind != "Secret"])
        for secret in (b"key-of", b"token-of", b"private-part-of", b"$2b$hash"):
            assert secret.decode() not in shown
            assert base64.b64encode(secret).decode() not in shown

    def test_mounts_secrets_for_root_alone(self, spec: dict[str, Any]) -> None:
        for template in pod_templates(spec).values():
            for volume in template["spec"]["volumes"]:
                if "secret" in volume:
                    assert volume["secret"]["defaultMode"] == 0o600, volume["name"]

    def test_never_sets_condor_knobs_by_environment(self, spec: dict[str, Any]) -> None:
        for template in pod_templates(spec).values():
            for container in template["spec"]["containers"]:
                assert not [v["name"] for v in container.get("env", []) if v["name"].upper().startswith("_CONDOR")]

    def test_gives_no_pod_an_api_token_or_service_links(self, spec: dict[str, Any]) -> None:
        for template in pod_templates(spec).values():
            assert template["spec"]["automountServiceAccountToken"] is False
            assert template["spec"]["enableServiceLinks"] is False

    def test_bounds_every_container(self, spec: dict[str, Any]) -> None:
        for template in pod_templates(spec).values():
            for container in template["spec"]["containers"]:
                assert {"memory"} <= container["resources"]["limits"].keys()
                assert {"cpu", "memory"} <= container["resources"]["requests"].keys()

    def test_selects_pods_by_their_own_labels(self, spec: dict[str, Any]) -> None:
        for (kind, name), obj in objects(spec).items():
            if kind in ("Deployment", "StatefulSet"):
                labels = obj["spec"]["template"]["metadata"]["labels"]
                assert obj["spec"]["selector"]["matchLabels"].items() <= labels.items(), name


def test_only_executors_are_privileged_and_only_by_spec() -> None:
    privileged = {
        name
        for name, template in pod_templates(SPECS["full"]).items()
        for container in template["spec"]["containers"]
        if container.get("securityContext", {}).get("privileged")
    }
    assert privileged == {"demo-gpu", "demo-fuse"}


def test_the_kubelet_waits_longer_than_the_drain() -> None:
    template = pod_templates({"executors": [{"name": "cpu", "drainTimeout": "10m"}]})["demo-cpu"]
    environment = {v["name"]: v["value"] for v in template["spec"]["containers"][0]["env"]}
    assert environment["POOL_DRAIN_SECONDS"] == "600"
    assert template["spec"]["terminationGracePeriodSeconds"] == 660


def executor_template(**fields: Any) -> dict[str, Any]:
    return pod_templates({"executors": [{"name": "cpu", **fields}]})["demo-cpu"]


def test_a_changed_drain_time_alone_replaces_no_pod() -> None:
    assert template_hash(executor_template()) == template_hash(executor_template(drainTimeout="1h"))


@pytest.mark.parametrize(
    "change",
    [{"resources": {"limits": {"memory": "2Gi"}}}, {"privileged": False}, {"podLabels": {"a": "b"}}],
    ids=str,
)
def test_what_only_a_new_pod_can_take_on_replaces_pods(change: dict[str, Any]) -> None:
    assert template_hash(executor_template()) != template_hash(executor_template(**change))


MOUNT = {"name": "data", "path": "/data", "command": ["x", "$(CREDENTIALS)/k", "$(HOME)"], "secretRef": {"name": "s"}}


def test_a_changed_mount_replaces_pods() -> None:
    one, other = executor_template(mounts=[MOUNT]), executor_template(mounts=[MOUNT | {"readOnly": True}])
    assert len({template_hash(template) for template in (executor_template(), one, other)}) == 3


def test_the_order_of_mounts_replaces_no_pod() -> None:
    mounts = [MOUNT, MOUNT | {"name": "a", "path": "/a"}]
    assert executor_template(mounts=mounts) == executor_template(mounts=mounts[::-1])


def test_kubernetes_leaves_the_command_of_a_mount_alone() -> None:
    (container,) = executor_template(mounts=[MOUNT])["spec"]["containers"]
    (value,) = [variable["value"] for variable in container["env"] if variable["name"] == "POOL_MOUNTS"]
    assert "argument /etc/condorpool/mounts/data/k\nargument $$(HOME)" in value


def test_a_mount_without_its_secret_keeps_no_pod_away() -> None:
    (volume,) = [one for one in executor_template(mounts=[MOUNT])["spec"]["volumes"] if one["name"] == "mount-data"]
    assert volume["secret"] == {"secretName": "s", "defaultMode": 0o600, "optional": True}


def test_only_groups_with_mounts_look_at_mounts() -> None:
    spec = {"executors": [{"name": "plain"}, {"name": "fuse", "mounts": [MOUNT]}]}
    owned = {
        name: obj["data"]["90-operator.conf"] for (kind, name), obj in objects(spec).items() if kind == "ConfigMap"
    }
    assert [name for name, text in owned.items() if "START = " in text or "CRON" in text] == ["demo-fuse-config"]


def test_a_changed_number_of_executors_replaces_no_pod() -> None:
    assert executor_template(replicas=1) == executor_template(replicas=5)


def test_an_executor_is_guaranteed_by_default() -> None:
    (group,) = make_pool().spec.groups
    resources = executor_resources(group)
    assert resources["requests"] == resources["limits"] == {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "4Gi"}


@pytest.mark.parametrize(
    ("cpu", "memory", "disk", "expected"),
    [
        ("1", "1Gi", "4Gi", (1, 912, 3840)),
        ("500m", "1Gi", "4Gi", (1, 912, 3840)),
        (4, "8Gi", "20Gi", (4, 8192 - 96 - 64, 20 * 1024 - 256)),
        ("2500m", "256Mi", "1Gi", (2, 128, 768)),
    ],
)
def test_jobs_are_offered_the_limits_less_the_overhead(
    cpu: int | str, memory: str, disk: str, expected: tuple[int, int, int]
) -> None:
    size = advertised({"cpu": cpu, "memory": memory, "ephemeral-storage": disk})
    assert (size.cpus, size.memory, size.disk) == expected


def test_each_mount_takes_memory_from_jobs() -> None:
    limits: dict[str, int | str] = {"cpu": 1, "memory": "1Gi", "ephemeral-storage": "4Gi"}
    assert advertised(limits).memory - advertised(limits, mounts=2).memory == 128


def test_a_component_that_never_had_its_configuration_waits() -> None:
    context = make_context({}, user_config={"manager": {}, "submitter": {}})
    assert not [
        obj
        for obj in desired_objects(context)
        if "executor" in obj["metadata"]["name"] and obj["kind"] == "StatefulSet"
    ]


def test_ssh_is_off_unless_asked_for() -> None:
    assert not [name for _, name in objects({}) if "ssh" in name and name != "demo-ssh-host-keys"]


def test_users_files_are_read_between_defaults_and_owned_settings() -> None:
    context = make_context(
        {}, user_config={name: {"50-00-a-b": "X = 1\n"} for name in ("manager", "submitter", "executor")}
    )
    for obj in desired_objects(context):
        if obj["kind"] == "ConfigMap":
            assert sorted(obj["data"]) == ["10-defaults.conf", "50-00-a-b", "90-operator.conf"]


@pytest.mark.parametrize(
    ("service", "penalties"),
    [
        ({}, False),
        ({"externalTrafficPolicy": "Cluster"}, False),
        ({"type": "LoadBalancer"}, False),
        ({"externalTrafficPolicy": "Local"}, True),
        ({"sourceRanges": ["10.0.0.0/8"]}, True),
        ({"type": "ClusterIP"}, True),
    ],
)
def test_who_guesses_is_punished_only_where_he_can_be_told_from_others(
    service: dict[str, Any], penalties: bool
) -> None:
    spec = {"submitter": {"ssh": {"users": [JANE], "service": service}}}
    text = objects(spec)["ConfigMap", "demo-ssh"]["data"]["sshd_config"]
    assert ("PerSourcePenalties no" not in text) == penalties
    assert "PerSourcePenalties" in text


class TestManagersClaim:
    KEPT: ClassVar[dict[str, Any]] = {"size": "2Gi", "storageClassName": "fast"}

    def test_only_the_managers_pod_differs_by_its_spool(self) -> None:
        before, after = objects(), objects({"manager": {"storage": self.KEPT}})
        claim = ("PersistentVolumeClaim", "demo-manager")
        assert after.keys() - before.keys() == {claim}
        assert [key for key in before if before[key] != after[key]] == [("Deployment", "demo-manager")]
        template = after["Deployment", "demo-manager"]["spec"]["template"]["spec"]
        assert template["volumes"].pop() == {"name": "state", "persistentVolumeClaim": {"claimName": "demo-manager"}}
        mounts = {one["name"]: one["volumeMounts"] for one in template["containers"]}
        spool = {"mountPath": "/var/lib/condor/spool", "name": "state", "subPath": "spool"}
        assert mounts["condor"].pop() == spool
        assert after["Deployment", "demo-manager"]["spec"] == before["Deployment", "demo-manager"]["spec"]

    def test_it_is_as_asked_for(self) -> None:
        claim = objects({"manager": {"storage": self.KEPT}})["PersistentVolumeClaim", "demo-manager"]
        assert claim["spec"] == {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
            "storageClassName": "fast",
        }
        assert claim["metadata"]["labels"]["condorpool.dev/component"] == "manager"
        assert claim["metadata"]["ownerReferences"][0]["uid"] == UID
        kept = objects({"manager": {"storage": {"retentionPolicy": "Retain"}}})["PersistentVolumeClaim", "demo-manager"]
        assert kept["spec"]["resources"]["requests"]["storage"] == "1Gi"
        assert "storageClassName" not in kept["spec"]
        assert "ownerReferences" not in kept["metadata"]
        assert kept["metadata"]["annotations"].keys() == {"condorpool.dev/applied-hash"}

"""The chart, rendered by Helm itself: what it grants, what it refuses, and that it says the same as the code."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from condorpool_operator.kinds import APPLIED, CLAIM
from condorpool_operator.labels import COMPONENT
from condorpool_operator.naming import AGENT_PORT, MANAGER
from condorpool_operator.settings import Settings

from .rendering import CHART, Objects, helm, kinds, only, render

ROOT = Path(__file__).resolve().parents[3]
CRD_NAME = "condorpools.condorpool.dev.yaml"


NAMESPACE = "ops"
SELECTOR = {"app.kubernetes.io/name": "condorpool-operator", "app.kubernetes.io/instance": "condorpool-operator"}


def give(monkeypatch: pytest.MonkeyPatch, objects: Objects) -> None:
    """Set the environment of the operator's container, the namespace as the kubelet fills it in."""
    for variable in only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]:
        path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        monkeypatch.setenv(variable["name"], NAMESPACE if path == "metadata.namespace" else variable["value"])


def verbs(rules: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """Return the verbs by (group, resource)."""
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in rules:
        assert rule.keys() == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    return granted


@pytest.fixture(scope="module")
def cluster_wide() -> Objects:
    return render()


@pytest.fixture(scope="module")
def namespaced() -> Objects:
    return render('watchNamespaces=["physics","biology"]')


def test_lint_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_crd_is_the_canonical_one_and_is_kept_at_uninstall(cluster_wide: Objects) -> None:
    canonical = yaml.safe_load((ROOT / "crds" / CRD_NAME).read_text())
    rendered = only(cluster_wide, "CustomResourceDefinition")
    assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert rendered == canonical


def test_crd_goes_with_the_release_only_when_asked() -> None:
    assert "annotations" not in only(render("crds.keep=false"), "CustomResourceDefinition")["metadata"]


def test_crd_can_be_left_to_an_administrator() -> None:
    assert "CustomResourceDefinition" not in kinds(render("crds.install=false"))


def test_every_setting_is_given_by_name() -> None:
    objects = render('watchNamespaces=["physics"]', 'dnsServers=["169.254.20.10"]')
    container = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    given = {variable["name"]: variable for variable in container["env"]}
    fixed = {"liveness_port"}
    assert given.keys() == {f"CONDORPOOL_{name.upper()}" for name in Settings.model_fields.keys() - fixed}


def test_settings_arrive(monkeypatch: pytest.MonkeyPatch, namespaced: Objects) -> None:
    container = only(namespaced, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    give(monkeypatch, namespaced)
    settings = Settings()
    assert settings.namespaces == ("physics", "biology")
    own = {"operator_namespace": NAMESPACE, "operator_labels": SELECTOR}
    assert settings == Settings.model_validate({"namespaces": "physics,biology", **own}), (
        "the chart's defaults are the code's"
    )
    template = only(namespaced, "Deployment")["spec"]["template"]
    assert settings.operator_labels.items() <= template["metadata"]["labels"].items()
    assert container["ports"][0]["containerPort"] == settings.liveness_port


def test_name_servers_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, render('dnsServers=["169.254.20.10","10.96.0.10"]'))
    assert Settings().dns_servers == ("169.254.20.10", "10.96.0.10")


def test_whole_cluster_by_default(cluster_wide: Objects) -> None:
    container = only(cluster_wide, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "CONDORPOOL_NAMESPACES" not in {variable["name"] for variable in container["env"]}
    assert kinds(cluster_wide) >= {"ClusterRole", "ClusterRoleBinding"}
    assert not kinds(cluster_wide) & {"Role", "RoleBinding"}


def test_namespaced_mode_grants_nothing_cluster_wide(namespaced: Objects) -> None:
    assert not kinds(namespaced) & {"ClusterRole", "ClusterRoleBinding"}
    places = {name for kind, name in namespaced if kind in ("Role", "RoleBinding")}
    assert places == {"physics/condorpool-operator", "biology/condorpool-operator"}


def test_namespaced_mode_grants_the_same_rights(cluster_wide: Objects, namespaced: Objects) -> None:
    everywhere = verbs(only(cluster_wide, "ClusterRole")["rules"])
    assert everywhere.pop(("apiextensions.k8s.io", "customresourcedefinitions")) == {"list", "watch"}
    assert everywhere.pop(("", "nodes")) == {"get", "list", "watch"}
    for place in ("physics", "biology"):
        role = namespaced["Role", f"{place}/condorpool-operator"]
        assert verbs(role["rules"]) == everywhere
        binding = namespaced["RoleBinding", f"{place}/condorpool-operator"]
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "condorpool-operator", "namespace": "ops"}]


def test_rights_are_those_that_the_code_uses(cluster_wide: Objects) -> None:
    granted = verbs(only(cluster_wide, "ClusterRole")["rules"])
    expected = {
        ("condorpool.dev", "condorpools"): {"get", "list", "watch"},
        ("condorpool.dev", "condorpools/status"): {"patch"},
        ("condorpool.dev", "condorpools/finalizers"): {"update"},
        ("", "pods"): {"list", "watch", "patch", "delete"},
        ("", "events"): {"create", "list"},
        ("", "namespaces"): {"get"},
        ("", "nodes"): {"get", "list", "watch"},
        ("apiextensions.k8s.io", "customresourcedefinitions"): {"list", "watch"},
    }
    for kind in APPLIED:
        group = kind.api_version.rpartition("/")[0]
        expected[group, kind.plural] = {"get", "list", "watch", "create", "patch"}
        if kind != CLAIM:
            expected[group, kind.plural].add("delete")
    # from 3.29 on Calico asks for this too; older versions do not know it
    expected["projectcalico.org", "tier.networkpolicies"] = expected["networking.k8s.io", "networkpolicies"]
    assert granted == expected


def test_pod_is_confined(cluster_wide: Objects) -> None:
    spec = only(cluster_wide, "Deployment")["spec"]
    pod, container = spec["template"]["spec"], spec["template"]["spec"]["containers"][0]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in pod
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "liveness"}


def test_selector_does_not_follow_an_upgrade(cluster_wide: Objects) -> None:
    spec = only(cluster_wide, "Deployment")["spec"]
    assert spec["selector"]["matchLabels"].keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_values_reach_the_pod() -> None:
    objects = render(
        'image={"repository":"example/operator","tag":"1.2"}',
        'imagePullSecrets=[{"name":"registry"}]',
        'podAnnotations={"a":"b"}',
        'podLabels={"team":"x"}',
        'nodeSelector={"disk":"ssd"}',
        'tolerations=[{"operator":"Exists"}]',
        'affinity={"nodeAffinity":{}}',
        'priorityClassName="high"',
        'logFormat="json"',
    )
    template = only(objects, "Deployment")["spec"]["template"]
    pod = template["spec"]
    assert pod["containers"][0]["image"] == "example/operator:1.2"
    assert {"name": "CONDORPOOL_LOG_FORMAT", "value": "json"} in pod["containers"][0]["env"]
    assert (template["metadata"]["annotations"], template["metadata"]["labels"]["team"]) == ({"a": "b"}, "x")
    assert (pod["imagePullSecrets"], pod["nodeSelector"]) == ([{"name": "registry"}], {"disk": "ssd"})
    assert (pod["tolerations"], pod["affinity"]) == ([{"operator": "Exists"}], {"nodeAffinity": {}})
    assert pod["priorityClassName"] == "high"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ('watchNamespace=["physics"]', "additional properties 'watchNamespace' not allowed"),
        ('image={"repo":"x"}', "additional properties 'repo' not allowed"),
        ('watchNamespaces=["Physics"]', "/watchNamespaces/0"),
        ('watchNamespaces="physics"', "/watchNamespaces"),
        ('image={"pullPolicy":"Sometimes"}', "/image/pullPolicy"),
        ('logFormat="xml"', "/logFormat"),
        ('clusterDomain="Not A Domain"', "/clusterDomain"),
        ('dnsServers=["dns.example"]', "/dnsServers/0"),
        ("workers=0", "/workers"),
        ("resyncSeconds=1", "/resyncSeconds"),
        ("requestTimeoutSeconds=0", "/requestTimeoutSeconds"),
        ('crds={"install":"yes"}', "/crds/install"),
        ("imagePullSecrets=[{}]", "/imagePullSecrets/0"),
        ('fullnameOverride="Pools"', "/fullnameOverride"),
        ('serviceAccount={"annotation":{}}', "additional properties 'annotation' not allowed"),
        ('serviceAccount={"name":"a b"}', "/serviceAccount/name"),
        ('rbac={"create":"no"}', "/rbac/create"),
        ('networkPolicy={"enabled":"no"}', "/networkPolicy/enabled"),
        ('networkPolicy={"apiServerPorts":[]}', "/networkPolicy/apiServerPorts"),
        ('networkPolicy={"apiServerPorts":["https"]}', "/networkPolicy/apiServerPorts/0"),
    ],
)
def test_wrong_values_are_refused(value: str, complaint: str) -> None:
    done = helm("template", "x", str(CHART), f"--set-json={value}")
    assert done.returncode != 0
    assert complaint in done.stderr


def test_notes_name_the_next_command() -> None:
    done = helm("install", "x", str(CHART), "--dry-run=client", '--set-json=watchNamespaces=["physics"]')
    notes = done.stdout.partition("NOTES:")[2]
    assert "kubectl apply -n physics" in notes, done.stderr
    assert "kubectl wait -n physics condorpool/first --for=condition=Ready" in notes


def test_nothing_calls_the_operator_and_it_calls_dns_the_api_server_and_the_agents(cluster_wide: Objects) -> None:
    policy = only(cluster_wide, "NetworkPolicy")["spec"]
    assert (policy["policyTypes"], policy.get("ingress", [])) == (["Ingress", "Egress"], [])
    pod = only(cluster_wide, "Deployment")["spec"]["template"]["metadata"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["labels"].items()
    opened = {(port["protocol"], port["port"]) for rule in policy["egress"] for port in rule["ports"]}
    ports = {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443), ("TCP", 8443), ("TCP", 16443)}
    assert opened == {*ports, ("TCP", AGENT_PORT)}
    (agents,) = [rule for rule in policy["egress"] if rule["ports"][0]["port"] == AGENT_PORT]
    managers = {"podSelector": {"matchLabels": {COMPONENT: MANAGER}}, "namespaceSelector": {}}
    assert agents["to"] == [managers], "the agents of all pools, and no other pod on that port"


def test_policy_follows_the_values() -> None:
    assert "NetworkPolicy" not in kinds(render("networkPolicy.enabled=false"))
    policy = only(render("networkPolicy.apiServerPorts=[7443]"), "NetworkPolicy")["spec"]
    assert policy["egress"][1]["ports"] == [{"protocol": "TCP", "port": 7443}]


@pytest.mark.parametrize("mode", ["watchNamespaces=[]", 'watchNamespaces=["physics"]'])
def test_account_and_rights_can_be_left_to_an_administrator(mode: str) -> None:
    objects = render(mode, "crds.install=false", "rbac.create=false", 'serviceAccount={"create":false,"name":"given"}')
    assert kinds(objects) == {"Deployment", "NetworkPolicy"}
    assert only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "given"


@pytest.mark.parametrize(("mode", "binding"), [("[]", "ClusterRoleBinding"), ('["physics"]', "RoleBinding")])
def test_account_of_another_name_has_the_rights(mode: str, binding: str) -> None:
    objects = render(
        f"watchNamespaces={mode}", 'serviceAccount.name="robot"', 'serviceAccount.annotations={"example.org/id":"7"}'
    )
    account = only(objects, "ServiceAccount")["metadata"]
    assert (account["name"], account["annotations"]) == ("robot", {"example.org/id": "7"})
    assert only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "robot"
    assert only(objects, binding)["subjects"] == [{"kind": "ServiceAccount", "name": "robot", "namespace": "ops"}]
    assert "annotations" not in only(render(), "ServiceAccount")["metadata"]


@pytest.mark.parametrize("mode", ["[]", '["physics"]'])
def test_all_names_follow_the_override(mode: str) -> None:
    objects = render(f"watchNamespaces={mode}", 'fullnameOverride="pools"')
    names = {obj["metadata"]["name"] for obj in objects.values() if obj["kind"] != "CustomResourceDefinition"}
    assert names == {"pools"}


def test_a_slow_start_is_not_a_death(cluster_wide: Objects) -> None:
    """On a machine with far too much to do the liveness probe once ended operators that were still importing."""
    container = only(cluster_wide, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    assert startup["httpGet"] == liveness["httpGet"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 180

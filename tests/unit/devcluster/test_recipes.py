"""Recipes and parsers: versions, apt, node configuration, Calico's kustomization, storage."""

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devcluster import apt, binaries, calico, clusterimages, nodeimage, rootfs, storage, versions
from devcluster.errors import DevClusterError
from devcluster.settings import GO_SOURCES, Settings
from devcluster.state import Mode

SETTINGS = Settings("p", Path("/c/devcluster"))

GO_MODULES = {
    "kubernetes": ("k8s.io/kubernetes", f"v{versions.KUBERNETES}"),
    "calico": (versions.CALICO_MODULE, versions.CALICO_MODULE_VERSION),
    "kind": (versions.KIND_MODULE, f"v{versions.KIND}"),
    "helm": ("helm.sh/helm/v4", f"v{versions.HELM}"),
    "kubeconform": ("github.com/yannh/kubeconform", f"v{versions.KUBECONFORM}"),
}


@pytest.mark.parametrize("name", sorted(GO_MODULES))
def test_the_pinned_versions_are_those_of_the_go_modules(name: str) -> None:
    module, version = GO_MODULES[name]
    text = (GO_SOURCES / name / "go.mod").read_text(encoding="utf-8")
    assert re.search(rf"^(require )?\s*{re.escape(module)} {re.escape(version)}( //.*)?$", text, re.MULTILINE)


def test_etcd_coredns_and_local_path_are_pinned_too() -> None:
    kubernetes = (GO_SOURCES / "kubernetes/go.mod").read_text(encoding="utf-8")
    clusterapps = (GO_SOURCES / "clusterapps/go.mod").read_text(encoding="utf-8")
    assert f"go.etcd.io/etcd/server/v3 v{versions.ETCD}" in kubernetes
    assert f"github.com/coredns/coredns v{versions.COREDNS}" in clusterapps
    assert f"github.com/rancher/local-path-provisioner v{versions.LOCAL_PATH}" in clusterapps


def test_every_module_has_its_checksums() -> None:
    for module in {program.module for program in (*versions.PROGRAMS, *versions.ON_DEMAND)}:
        assert (GO_SOURCES / module / "go.sum").stat().st_size > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.25rc1 linux/arm64", (1, 25))],
)
def test_go_version(text: str, expected: tuple[int, int]) -> None:
    assert binaries.parse_go_version(text) == expected


def test_a_go_that_says_nothing_useful_is_refused() -> None:
    with pytest.raises(DevClusterError):
        binaries.parse_go_version("go: command not found")


def test_every_name_of_a_binary_is_provided_by_a_program() -> None:
    for name in versions.BINARY_NAMES:
        wanted = binaries.program(name)
        assert name == wanted.name or name in wanted.links


def test_an_unknown_program_is_refused_with_those_known() -> None:
    with pytest.raises(DevClusterError) as failure:
        binaries.program("kwok")
    assert "kube-apiserver" in failure.value.fix


def test_build_command_is_reproducible_and_carries_the_version() -> None:
    command = binaries.build_command(binaries.program("kubectl"), Path("/out/kube"))
    assert "-trimpath" in command
    assert "-mod=readonly" in command
    assert (
        f"-X k8s.io/component-base/version.gitVersion=v{versions.KUBERNETES}" in command[command.index("-ldflags") + 1]
    )


def test_the_debian_mirror_is_the_machines_own() -> None:
    targets = (
        "http://security.example/debian-security/ Debian Debian-Security\n"
        "https://node.example/ . .\n"
        "http://mirror.example/debian/ Debian Debian\n"
    )
    assert apt.find_mirror(targets) == "http://mirror.example/debian"


def test_a_machine_without_debian_mirror_is_told_so() -> None:
    with pytest.raises(DevClusterError, match="no Debian mirror"):
        apt.find_mirror("https://node.example/ . .\n")


def test_transport_options_of_the_machine_are_taken_over() -> None:
    dump = (
        'APT::Architecture "amd64";\n'
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::http::Dl-Limit "70";\n'
        'Acquire::https::CaInfo "";\n'
    )
    assert apt.transport_options(dump) == (
        'Acquire::Check-Valid-Until "false"',
        'Acquire::http::Proxy "http://proxy.example:3128"',
    )


def test_a_root_is_keyed_by_all_that_goes_into_it() -> None:
    archive = apt.Archive("http://mirror.example/debian")
    roots = [
        rootfs.RootFS("r", "trixie"),
        rootfs.RootFS("r", "forky"),
        rootfs.RootFS("r", "trixie", ("curl",)),
        rootfs.RootFS("r", "trixie", ("curl",), ("true",)),
    ]
    assert len({root.path(SETTINGS, archive) for root in roots}) == len(roots)
    assert roots[0].path(SETTINGS, archive) != roots[0].path(SETTINGS, apt.Archive("http://other.example/debian"))


def test_commands_of_a_root_survive_the_shell() -> None:
    for root in (rootfs.NODE, rootfs.CLUSTER):
        for command in root.commands:
            assert "'" not in command
            assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0


def test_containerd_is_adapted_to_debian() -> None:
    upstream = 'sandbox_image = "registry.k8s.io/pause:3.10"\nrestrict_oom_score_adj = false\n'
    text = nodeimage.containerd_config(upstream, "registry.k8s.io/pause:3.10.1")
    assert 'sandbox_image = "registry.k8s.io/pause:3.10.1"' in text
    assert "restrict_oom_score_adj = true" in text
    assert 'bin_dir = "/opt/cni/bin"' in text


def test_a_containerd_configuration_of_another_form_is_refused() -> None:
    with pytest.raises(DevClusterError, match="another form"):
        nodeimage.containerd_config("version = 3\n", "registry.k8s.io/pause:3.10.1")


def test_base_spec_has_kinds_hook_and_no_limits() -> None:
    spec: dict[str, Any] = {
        "process": {"rlimits": [{"type": "RLIMIT_NOFILE"}], "cwd": "/"},
        "hooks": {"createContainer": [{"path": "/x"}]},
    }
    changed = nodeimage.base_spec(spec)
    assert changed["process"] == {"cwd": "/"}
    assert [hook["path"] for hook in changed["hooks"]["createContainer"]] == ["/x", "/kind/bin/mount-product-files.sh"]
    assert "rlimits" in spec["process"]


@pytest.mark.parametrize(
    ("name", "entrypoint"),
    [
        ("registry.k8s.io/pause:3.10.1", ("/pause",)),
        ("registry.k8s.io/coredns/coredns:v1.13.1", ("/coredns",)),
        ("registry.k8s.io/kube-proxy:v1.35.4", ()),
    ],
)
def test_images_differ_in_their_entrypoint(name: str, entrypoint: tuple[str, ...]) -> None:
    assert clusterimages.image_for(name).entrypoint == entrypoint


def test_an_images_dockerfile_adds_no_layer() -> None:
    lines = clusterimages.image_for("registry.k8s.io/pause:3.10.1").dockerfile("base").splitlines()
    assert lines == ["FROM base", "WORKDIR /", 'ENTRYPOINT ["/pause"]']


def test_all_programs_in_images_are_known() -> None:
    assert set(clusterimages.LAYOUT.values()) <= {program.name for program in versions.PROGRAMS}


@pytest.mark.parametrize("mode", list(Mode))
def test_calicos_api_server_is_trusted_by_the_aggregator(mode: Mode) -> None:
    document = calico.kustomization(["x.yaml"], "CERT", "KEY", mode)
    assert document["secretGenerator"][0]["literals"] == ["apiserver.crt=CERT", "apiserver.key=KEY"]
    patch = json.loads(document["patches"][0]["patch"])
    assert base64.b64decode(patch[0]["value"]) == b"CERT"


def test_only_built_images_lose_the_bpf_preparation() -> None:
    built, pulled = (json.dumps(calico.kustomization([], "", "", mode)) for mode in (Mode.BUILD, Mode.PULL))
    assert "mount-bpffs" in built
    assert "mount-bpffs" not in pulled


def test_pull_mode_applies_upstreams_manifests_of_the_same_version() -> None:
    assert all(f"/v{versions.CALICO}/" in address for address in calico.upstream_manifests())


def test_the_storage_class_is_the_default_and_the_helper_account_has_the_compiled_name() -> None:
    items = {item["kind"]: item for item in json.loads(storage.manifest())["items"]}
    annotations = items["StorageClass"]["metadata"]["annotations"]
    assert annotations == {"storageclass.kubernetes.io/is-default-class": "true"}
    account = items["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"]
    assert account == items["ServiceAccount"]["metadata"]["name"] == "local-path-provisioner-service-account"

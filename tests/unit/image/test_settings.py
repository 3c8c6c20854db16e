import pytest
from pool_init.settings import SettingsError, child_environment, read_settings

EXECUTOR = {
    "POOL_COLLECTOR": "demo-manager.physics.svc:9618",
    "POOL_DRAIN_SECONDS": "3600",
    "POOL_CPUS": "2",
    "POOL_MEMORY": "2048",
    "POOL_DISK": "4096",
}


def test_executor() -> None:
    settings = read_settings(["executor"], EXECUTOR)
    assert settings.collector == ("demo-manager.physics.svc", 9618)
    assert settings.drain_seconds == 3600


def test_manager_and_sshd_need_no_environment() -> None:
    assert read_settings(["manager"], {}).collector is None
    assert read_settings(["sshd"], {}).role == "sshd"


@pytest.mark.parametrize("arguments", [[], ["master"], ["manager", "x"]])
def test_unknown_role(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="usage"):
        read_settings(arguments, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POOL_CPUS", "0"),
        ("POOL_CPUS", "1.5"),
        ("POOL_MEMORY", ""),
        ("POOL_DISK", "-1"),
        ("POOL_DRAIN_SECONDS", "1h"),
        ("POOL_COLLECTOR", "host"),
        ("POOL_COLLECTOR", ":9618"),
        ("POOL_COLLECTOR", "host:99999"),
    ],
)
def test_malformed_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(["executor"], EXECUTOR | {name: value})


def test_condor_variables_never_reach_the_daemons() -> None:
    environ = {"PATH": "/bin", "_CONDOR_NUM_CPUS": "64", "_condor_START": "False"}
    assert child_environment(environ) == {"PATH": "/bin"}


def test_mounts() -> None:
    lines = "mount data\npath /mnt/data\nread-only\nargument a b\nargument -f\nvariable TOKEN token\nmount x\npath /x\nargument y"
    data, other = read_settings(["executor"], EXECUTOR | {"POOL_MOUNTS": lines}).mounts
    assert (data.name, data.path, data.read_only, data.argv) == ("data", "/mnt/data", True, ["a b", "-f"])
    assert data.variables == {"TOKEN": "token"}
    assert (other.name, other.path, other.read_only, other.argv, other.variables) == ("x", "/x", False, ["y"], {})
    assert read_settings(["executor"], EXECUTOR).mounts == []


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        ("path /x", "line 1"),
        ("mount a\npath /a\nargument x\nowner root", "line 4"),
        ("mount a\npath a\nargument x", "absolute path"),
        ("mount a\npath /a", "a command"),
        ("mount \npath /a\nargument x", "a name"),
    ],
)
def test_malformed_mounts_are_told_and_not_quoted(lines: str, finding: str) -> None:
    with pytest.raises(SettingsError, match=f"POOL_MOUNTS.*{finding}") as caught:
        read_settings(["executor"], EXECUTOR | {"POOL_MOUNTS": lines})
    assert "root" not in str(caught.value)

"""One prefix names everything."""

from pathlib import Path

import pytest

from devcluster.errors import DevClusterError
from devcluster.settings import Settings


def test_defaults_lie_in_the_home_cache() -> None:
    settings = Settings.from_environment({"HOME": "/home/john"})
    assert settings.prefix == "condorpool"
    assert settings.cache == Path("/home/john/.cache/condorpool/devcluster")


def test_two_prefixes_share_build_results_and_nothing_else() -> None:
    one, two = (
        Settings.from_environment({"CONDORPOOL_CLUSTER": name, "CONDORPOOL_CACHE": "/c"}) for name in ("a", "b")
    )
    assert one.artifacts == two.artifacts
    for attribute in ("runtime", "lock", "home", "logs", "bin", "docker_data", "kubeconfig", "netns_path", "cgroup"):
        assert getattr(one, attribute) != getattr(two, attribute), attribute


@pytest.mark.parametrize("name", ["Pool", "1pool", "a/b", "a" * 21, "a b", "../x", "a\n"])
def test_a_prefix_that_cannot_name_things_is_refused(name: str) -> None:
    with pytest.raises(DevClusterError, match="not a usable name"):
        Settings.from_environment({"CONDORPOOL_CLUSTER": name})

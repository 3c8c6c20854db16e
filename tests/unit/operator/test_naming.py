"""Names fit where Kubernetes puts them."""

from condorpool_operator.api.v1alpha1 import GROUP_NAME_MAX, POOL_NAME_MAX
from condorpool_operator.naming import Names

LONGEST = Names("p" * POOL_NAME_MAX, "n" * 63)
REVISION_SUFFIX = 11
ORDINAL_SUFFIX = len("-9999")


def test_the_longest_group_fits_a_revision_label_and_a_host_name() -> None:
    name = LONGEST.group("g" * GROUP_NAME_MAX)
    assert len(name) + REVISION_SUFFIX <= 63
    assert len(name) + ORDINAL_SUFFIX <= 63


def test_services_fit_a_dns_label() -> None:
    assert max(map(len, (LONGEST.manager, LONGEST.submitter, LONGEST.ssh))) <= 63


def test_the_same_pool_name_in_two_namespaces_is_two_trust_domains() -> None:
    assert Names("a", "x").trust_domain != Names("a", "y").trust_domain


def test_addresses_follow_the_cluster_domain() -> None:
    assert Names("a", "x", "lab.example").collector == "a-manager.x.svc.lab.example:9618"

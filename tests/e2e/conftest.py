"""The cluster, the operator and the pools that the tests share.

A pool takes half a minute to start on two cores, so the shared pools that the chosen tests ask for are created at once, at the first
use of any, in two lots; each lives in a namespace of its own. What fails leaves its evidence under build/e2e-evidence.
"""

import contextlib
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_kind import KindCluster

from tests.e2e.support import evidence, operator, pools
from tests.e2e.support.cluster import connect
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import namespace
from tests.e2e.support.neighbourhood import listener, nodes
from tests.e2e.support.network import Target
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins, walled_spec
from tests.e2e.support.ssh import Ssh, make_key
from tests.e2e.support.waiting import NotYetError, wait_for
from tests.e2e.support.walls import MODES, SPEC_MODES, Walls, build

ROOT = Path(__file__).resolve().parents[2]
TEST_SECONDS = 500
WALLS_SECONDS = 60.0
SSH_SECONDS = 30.0
"""sshd refuses a client's address for up to a minute after failed logins."""

Shared = Mapping[str, Pool]
"""The shared pools by the name of their fixture."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this directory a deadline of its own beside those of its waits."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the evidence of a failed test and name its folder in the report."""
    report = yield
    kubectl = item.session.stash.get(KUBECTL, None)
    if report.failed and call.when != "teardown" and kubectl is not None and item.path.parent == Path(__file__).parent:
        values = getattr(item, "funcargs", {}).values()
        mine = {value.namespace for value in values if isinstance(value, Pool)}
        everything: set[str] = item.session.stash[NAMESPACES]
        kept = item.session.stash.setdefault(EVIDENCE, {})
        error = str(call.excinfo)
        if error not in kept:  # a shared fixture fails once, and is told of by every test that asks for it
            kept[error] = evidence.collect(item.nodeid, kubectl, sorted(mine or everything))
        report.sections.append(("evidence", str(kept[error])))
    return report


KUBECTL = pytest.StashKey[Kubectl]()
NAMESPACES = pytest.StashKey[set[str]]()
EVIDENCE = pytest.StashKey[dict[str, Path]]()
"""Folders by the text of the error."""


@pytest.fixture(scope="session")
def kind_cluster() -> KindCluster:
    """Return pytest-kind's view of the cluster that the environment names; it is neither created nor deleted here."""
    return connect(ROOT)


@pytest.fixture(scope="session")
def kubectl(kind_cluster: KindCluster, request: pytest.FixtureRequest) -> Kubectl:
    """Return kubectl for the whole cluster."""
    result = Kubectl(kind_cluster)
    request.session.stash[KUBECTL] = result
    request.session.stash[NAMESPACES] = set()
    return result


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> None:
    """Install the operator by its chart."""
    operator.remove_leftovers(kubectl)
    operator.install(kubectl, ROOT)


@pytest.fixture(scope="session")
def new_namespace(
    kubectl: Kubectl, installed: None, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Kubectl]]:
    """Return a function that makes a namespace and kubectl for it; they go at the end, unless --keep-cluster is given."""
    made = request.session.stash[NAMESPACES]

    def make(purpose: str) -> Kubectl:
        name = f"e2e-{purpose}-{uuid.uuid4().hex[:5]}"
        kubectl.apply(namespace(name))
        made.add(name)
        return kubectl.in_namespace(name)

    yield make
    if not request.config.getoption("keep_cluster"):
        for name in sorted(made):
            operator.remove_namespace(kubectl, name)


@pytest.fixture(scope="session")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Logins:
    """Return the keys and passwords of the users john, jane and jim, and a key that nobody knows."""
    directory = tmp_path_factory.mktemp("keys")
    names = ("john", "jim", "stranger")
    keys = {name: make_key(directory, name) for name in names}
    return Logins(keys, {name: f"{name} {uuid.uuid4().hex}" for name in ("jane", "jim")})


@pytest.fixture(scope="session")
def shared(new_namespace: Callable[[str], Kubectl], logins: Logins, request: pytest.FixtureRequest) -> Iterator[Shared]:
    """Create every shared pool that a chosen test asks for, all at once."""
    with _created(pools.shared(logins), new_namespace, request) as result:
        yield result


@pytest.fixture(scope="session")
def later(new_namespace: Callable[[str], Kubectl], logins: Logins, request: pytest.FixtureRequest) -> Iterator[Shared]:
    """Create those that the last files ask for, all at once; pools that nobody uses yet slow down the others."""
    with _created(pools.later(logins), new_namespace, request) as result:
        yield result


@contextlib.contextmanager
def _created(
    declared: Mapping[str, pools.Declared], new_namespace: Callable[[str], Kubectl], request: pytest.FixtureRequest
) -> Iterator[Shared]:
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    result = {}
    for fixture, (name, spec, objects) in declared.items():
        if fixture in asked or (fixture.endswith("_walls") and "walls" in asked):
            kubectl = new_namespace(name)
            kubectl.apply(*objects) if objects else None
            pool = Pool(kubectl, name)
            pool.apply(spec)
            result[fixture] = pool
    yield result
    if not request.config.getoption("keep_cluster"):
        for pool in result.values():
            pool.clear_queue()


@pytest.fixture(scope="session")
def plain_pool(shared: Shared) -> Pool:
    """Return the pool of an empty spec."""
    return shared["plain_pool"]


@pytest.fixture(scope="session")
def lab_pool(shared: Shared) -> Pool:
    """Return the ready pool with users, own configuration and two executors; tests leave it as they found it."""
    return _ready(shared["lab_pool"])


@pytest.fixture(scope="session")
def elastic_pool(shared: Shared) -> Pool:
    """Return the ready pool whose executor groups the tests change."""
    return _ready(shared["elastic_pool"])


@pytest.fixture(scope="session")
def drain_pool(shared: Shared) -> Pool:
    """Return the ready pool with one executor that drains long and one that drains short."""
    return _ready(shared["drain_pool"])


@pytest.fixture(scope="session")
def busy_pool(later: Shared) -> Pool:
    """Return the ready pool that is deleted under its running jobs, and made again on its claim."""
    return _ready(later["busy_pool"])


@pytest.fixture(scope="session")
def day_pool(later: Shared, kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Return the ready pool that is edited and broken in every way."""
    yield _ready(later["day_pool"])
    if not request.config.getoption("keep_cluster"):
        operator.remove_cluster_objects(kubectl)


@pytest.fixture(scope="session")
def told_pool(later: Shared) -> Pool:
    """Return the ready pool whose agent is asked, and killed."""
    return _ready(later["told_pool"])


@pytest.fixture(scope="session")
def guest_pool(later: Shared) -> Pool:
    """Return the ready pool whose users change, and whose daemons are killed and made to hang."""
    return _ready(later["guest_pool"])


@pytest.fixture(scope="session")
def ending_pool(later: Shared) -> Pool:
    """Return the ready pool whose namespace is deleted."""
    return _ready(later["ending_pool"])


@pytest.fixture(scope="session")
def shut_out(kubectl: Kubectl) -> Iterator[list[Target]]:
    """Give two listeners outside the cluster, in the network of its nodes."""
    address = next(iter(nodes(kubectl).values()))
    with listener(address) as first, listener(address) as second:
        yield [first, second]


@pytest.fixture(scope="session")
def walls(
    kubectl: Kubectl, later: Shared, shut_out: list[Target], new_namespace: Callable[[str], Kubectl]
) -> dict[str, Walls]:
    """Return two ready pools of one name in two namespaces, isolated by the two kinds of policies, with strangers around them."""
    elsewhere = new_namespace("strangers")
    return build(kubectl, {mode: later[f"{mode}_walls"] for mode in MODES}, elsewhere, shut_out)


@pytest.fixture
def edited(walls: dict[str, Walls], request: pytest.FixtureRequest) -> Iterator[Walls]:
    """Give the walled pool of a test's mode to edit, and put its spec back at the end."""
    mode = request.node.callspec.params["mode"]
    yield walls[mode]
    walls[mode].pool.apply(walled_spec(SPEC_MODES[mode]))
    walls[mode].pool.wait_condition("Ready", "True", WALLS_SECONDS)


def _ready(pool: Pool) -> Pool:
    pool.wait_ready()
    return pool


@pytest.fixture
def ssh(lab_pool: Pool, tmp_path: Path) -> Ssh:
    """Return an ssh client for the address in the lab pool's status."""
    return _ssh(lab_pool, tmp_path)


@pytest.fixture
def guest_ssh(guest_pool: Pool, tmp_path: Path) -> Ssh:
    """Return an ssh client for the guest pool."""
    return _ssh(guest_pool, tmp_path)


def _ssh(pool: Pool, directory: Path) -> Ssh:
    def endpoint() -> str:
        status: dict[str, Any] = pool.live().get("status", {})
        found = status.get("submitter", {}).get("ssh", {}).get("endpoint")
        if not found:
            raise NotYetError(f"{status}")
        return str(found)

    return Ssh(directory, wait_for("status.submitter.ssh.endpoint", endpoint, SSH_SECONDS))

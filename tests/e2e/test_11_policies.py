"""Who reaches whom, by real packets: from every place to every port, with Calico's policies and with Kubernetes' own."""

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import flows
from tests.e2e.support.jobs import shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.neighbourhood import NODE_CACHE, node_caches
from tests.e2e.support.network import Source, Target, outside, try_all, wait_outcomes
from tests.e2e.support.operator import setting
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import Logins, walled_spec
from tests.e2e.support.prober import BLOCKED, DNS, OPEN, TCP
from tests.e2e.support.ssh import Ssh
from tests.e2e.support.walls import MODES, SPEC_MODES, Walls

TABLE = """
from         | manager submitter executor agent other ssh  | stranger twin | dns   metrics api   kubelet outside
-------------+---------------------------------------------+---------------+----------------------------------
manager      | .       open      open     .     shut  shut | shut     shut | open  shut    shut  shut    shut
submitter    | open    .         open     shut  shut  .    | shut     shut | open  shut    shut  shut    shut
executor     | open    open      shut     shut  shut  shut | shut     shut | open  shut    shut  shut    shut
neighbour    | shut    shut      shut     shut  shut  open | open     .    | open  open    open  open    open
impostor     | shut    shut      shut     shut  shut  open | open     .    | open  open    open  open    open
operator     | shut    shut      shut     open  shut  shut | shut     .    | open  shut    open  shut    shut
own node     | open    open      open     open  open  open | open     .    | open  open    open  open    open
another node | shut    shut      shut     shut  shut  open | open     .    | open  open    open  open    open
outside      | .       .         .        .     .     open | .        .    | .     .       .     .       .
"""
"""What may reach what. The port of the HTCondor daemons (9618) of each role, that of the manager's agent (9619), all other ports of the
pool's pods, and sshd, each by every address that leads there; port 9618 of pods that are no members; the daemons and sshd of the pool of
the same name in another namespace; DNS by UDP and TCP; the metrics of the DNS servers; the API server; the kubelets; a listener outside
the cluster.

neighbour: a pod in the pool's namespace without its labels. impostor: a pod in another namespace with all the labels of an executor.
A node always reaches the pods on it (the kubelet's probes). From outside only the NodePorts have a route."""

FLOWS = flows.parse(TABLE)
Seen = Mapping[tuple[Source, Target], str]

EFFECT_SECONDS = 20.0
"""From an edit of a policy to its effect: a second or two on a quiet machine."""


@pytest.fixture(scope="module")
def seen(walls: dict[str, Walls]) -> dict[str, Seen]:
    """Return what every source saw of every target that the table speaks of, around both pools."""
    return {mode: try_all(flows.plan(FLOWS, one.sources, one.targets)) for mode, one in walls.items()}


@pytest.mark.parametrize("mode", MODES)
def test_status_tells_the_kind_of_policies(walls: dict[str, Walls], mode: str) -> None:
    pool = walls[mode].pool

    pool.wait_condition("NetworkPolicyEnforced", "True", 10, "Enforced")
    assert pool.live()["status"]["networkPolicy"] == {"mode": MODES[mode]}


@pytest.mark.parametrize("row", FLOWS)
@pytest.mark.parametrize("mode", MODES)
def test_who_reaches_what(seen: dict[str, Seen], mode: str, row: str) -> None:
    assert any(flows.row_of(*flow) == row for flow in seen[mode])

    different = flows.differences(FLOWS, row, seen[mode])
    assert not different, "\n".join(different)


@pytest.mark.parametrize("mode", MODES)
def test_jobs_run_on_both_nodes(walls: dict[str, Walls], mode: str) -> None:
    pool = walls[mode].pool
    assert len({source.node for source in walls[mode].members.executors}) == 2
    names = [pool.executor("cpu", ordinal) for ordinal in range(2)]

    jobs = {name: pool.submit(shell_job("hostname", requirements=f'regexp("^{name}[.]", Machine)')) for name in names}

    assert [job.wait_done(60) for job in jobs.values()] == [f"{name}\n" for name in jobs]


@pytest.mark.parametrize("mode", MODES)
def test_what_egress_rules_open(edited: Walls, shut_out: list[Target], mode: str) -> None:
    allowed, denied = shut_out
    manager, submitter, executor = edited.members.manager, edited.members.submitter, edited.members.executors[0]
    impostor, neighbour = edited.stranger(edited.impostor), edited.stranger(edited.neighbour)
    kubelet = edited.target("kubelet")
    namespace, _, _ = str(impostor.pod).partition("/")
    spec = walled_spec(SPEC_MODES[mode])
    spec["networkPolicy"]["egress"] = {
        "executors": [
            {"to": [{"ipBlock": {"cidr": f"{allowed.address}/32"}}], "ports": [{"port": allowed.port}]},
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]},
        ],
        "submitter": [
            {
                "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [f"{allowed.address}/32"]}}],
                "ports": [{"port": 10200, "endPort": 10300}, {"port": allowed.port}],
            },
            {"to": [{"podSelector": {"matchLabels": {"e2e": "neighbour"}}}], "ports": [{"port": neighbour.port}]},
        ],
    }

    edited.pool.apply(spec)

    everything = (allowed, denied, impostor, neighbour, kubelet)
    shut = dict.fromkeys(everything, BLOCKED)
    opened = {
        manager: shut,
        submitter: shut | dict.fromkeys((kubelet, neighbour), OPEN),
        executor: shut | dict.fromkeys((allowed, impostor), OPEN),
    }
    wait_outcomes(opened, EFFECT_SECONDS)
    edited.pool.apply(walled_spec(SPEC_MODES[mode]))
    wait_outcomes(dict.fromkeys(opened, shut), EFFECT_SECONDS)


@pytest.mark.parametrize("mode", MODES)
def test_who_monitors_reaches_the_agent_and_nothing_else(edited: Walls, mode: str) -> None:
    agents = edited.members.agent()
    others = [edited.target(column) for column in ("manager", "submitter", "executor", "other")]
    namespace, _, _ = str(edited.impostor.pod).partition("/")
    spec = walled_spec(SPEC_MODES[mode])
    monitor = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"condorpool.dev/component": "executor"}},
    }
    spec["networkPolicy"]["monitoring"] = [monitor]
    shut = dict.fromkeys(agents, BLOCKED)

    edited.pool.apply(spec)

    opened = dict.fromkeys(agents, OPEN) | dict.fromkeys(others, BLOCKED)
    wait_outcomes({edited.impostor: opened, edited.neighbour: shut}, EFFECT_SECONDS)
    left_out = edited.stranger(edited.impostor).address
    spec["networkPolicy"]["monitoring"] = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [f"{left_out}/32"]}}]
    edited.pool.apply(spec)
    wait_outcomes({edited.impostor: shut, edited.neighbour: opened}, EFFECT_SECONDS)
    edited.pool.apply(walled_spec(SPEC_MODES[mode]))
    wait_outcomes({edited.impostor: shut, edited.neighbour: shut}, EFFECT_SECONDS)


LOOK = (
    "look() { timeout 2 bash -c "
    '"exec 3<>/dev/tcp/$1/$2 || exit; read -t 1 seen <&3; echo open \\$seen" 2>/dev/null || echo shut; }'
)
"""A shell's function: whether somebody answers, and the address that a mirror is reached from."""


def wait_for_a_job(pool: Pool, executor: str, listed: Target, neighbour: Target, wanted: str) -> list[str]:
    """Run a job that waits until it sees what is wanted of two targets, such as "open shut"; return what it says, line by line."""
    looks = f"a=$(look {listed.address} {listed.port}); b=$(look {neighbour.address} {neighbour.port})"
    seen = '"${a%% *} ${b%% *}"'
    until = f"for i in $(seq {EFFECT_SECONDS:.0f}); do {looks}; [ {seen} = '{wanted}' ] && break; sleep 0.5; done"
    script = f"{LOOK}; {until}; echo {seen}; echo ${{a#* }}; getent hosts {NAME_OF_THE_API}"
    job = pool.submit(shell_job(script, requirements=f'regexp("^{executor}[.]", Machine)'))
    return job.wait_done(2 * EFFECT_SECONDS).splitlines()


NAME_OF_THE_API = "kubernetes.default.svc.cluster.local"


def reachable(network: str) -> dict[str, Any]:
    """Return the egress of a pool whose jobs may reach a network."""
    return {"executors": [{"to": [{"ipBlock": {"cidr": network}}]}]}


def network_around(address: str, *, without: str) -> str:
    """Return the largest network that has one address and not the other."""
    network = ipaddress.ip_network(f"{address}/32")
    while ipaddress.ip_address(without) not in network.supernet():
        network = network.supernet()
    return str(network)


@pytest.mark.parametrize("mode", MODES)
def test_what_a_job_reaches(edited: Walls, shut_out: list[Target], mode: str) -> None:
    pool, executor = edited.pool, edited.pool.executor("cpu")
    mirror, neighbour = shut_out[0], [one for one in edited.targets if one.column == "kubelet"][-1]
    nodes = {one.address for one in edited.targets if one.column == "kubelet"}
    decisions = {
        "nothing but the pool": ({}, "shut shut"),
        "a range": (reachable(network_around(mirror.address, without=neighbour.address)), "open shut"),
        "its neighbours": (reachable(network_around(neighbour.address, without=mirror.address)), "shut open"),
        "everything": (reachable("0.0.0.0/0"), "open open"),
    }
    for decision, (egress, wanted) in decisions.items():
        spec = walled_spec(SPEC_MODES[mode])
        spec["networkPolicy"]["egress"] = egress
        pool.apply(spec)
        seen, address, name = wait_for_a_job(pool, executor, mirror, neighbour, wanted)
        assert seen == wanted, decision
        assert (address in nodes) is wanted.startswith("open"), f"{decision}: seen from {address}, not from {nodes}"
        assert name.endswith(NAME_OF_THE_API), decision


def test_dns_of_a_cache_on_the_node(
    kubectl: Kubectl, walls: dict[str, Walls], new_namespace: Callable[[str], Kubectl]
) -> None:
    one = walls["calico"]
    service = next(target for target in one.targets if target.name == f"Service kube-dns {DNS}").address
    members = [source for wall in walls.values() for source in wall.members.executors]
    targets = [Target("dns", f"cache {protocol}", NODE_CACHE, 53, protocol) for protocol in (DNS, TCP)]
    shut = dict.fromkeys(members, dict.fromkeys(targets, BLOCKED))
    opened = dict.fromkeys(members, dict.fromkeys(targets, OPEN))

    with node_caches(new_namespace("caches"), {str(source.node) for source in members}, service):
        wait_outcomes(shut | {one.neighbour: dict.fromkeys(targets, OPEN)}, EFFECT_SECONDS)
        with setting(kubectl, "DNS_SERVERS", f"{service},{NODE_CACHE}"):
            wait_outcomes(opened, 2 * EFFECT_SECONDS)
        wait_outcomes(shut, 2 * EFFECT_SECONDS)


def with_ranges(mode: str, *ranges: str) -> dict[str, Any]:
    """Return the spec with the networks whose clients may log in."""
    spec = walled_spec(SPEC_MODES[mode])
    spec["submitter"]["ssh"]["service"] = {"sourceRanges": list(ranges)}
    return spec


@pytest.mark.parametrize("mode", MODES)
def test_source_ranges_see_the_clients_address(
    edited: Walls, shut_out: list[Target], logins: Logins, tmp_path: Path, mode: str
) -> None:
    me, client = outside(), shut_out[0].address
    pool, ssh = edited.pool, edited.members.ssh()
    by_node = {target.address: target for target in ssh if target.name.startswith("NodePort")}
    here = by_node[edited.members.pods[pool.submitter]["status"]["hostIP"]]
    nowhere = dict.fromkeys(by_node.values(), BLOCKED)
    strangers = dict.fromkeys((edited.neighbour, edited.impostor), dict.fromkeys(ssh, BLOCKED))

    pool.apply(with_ranges(mode, f"{client}/32", "192.0.2.0/24"))
    wait_outcomes({me: nowhere | {here: OPEN}} | strangers, EFFECT_SECONDS)
    pool.wait_condition("Ready", "True", EFFECT_SECONDS)
    assert pool.live()["status"]["submitter"]["ssh"]["endpoint"] == f"{here.address}:{here.port}"
    session = Ssh(tmp_path, f"{here.address}:{here.port}").with_key("john", logins.keys["john"], "echo $SSH_CONNECTION")
    assert session.out.split()[:1] == [client], session

    pool.apply(with_ranges(mode, "192.0.2.0/24"))
    wait_outcomes({me: nowhere} | strangers, EFFECT_SECONDS)

    pool.apply(walled_spec(SPEC_MODES[mode]))
    wait_outcomes(dict.fromkeys((me, edited.neighbour), dict.fromkeys(by_node.values(), OPEN)), EFFECT_SECONDS)

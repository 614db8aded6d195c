"""Third-party rules for what comes in by the node's uplink, without a destination."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dataplane.small import clients, save
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import Client, Frontend, Handling, Verdict

ADDRESS, CLUSTER_IP = "203.0.113.10", "10.96.0.30"
CHAIN = (
    "-A KUBE-SERVICES -d {0}/32 -p tcp -m tcp --dport 80 -j KUBE-SEP-A\n"
    "-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:8080\n"
)
HOOKS = "-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n"
PODS = frozenset({Client.POD, Client.REMOTE_POD})


def handlings(
    rule: str, address: str = ADDRESS, never: frozenset[Client] = PODS, table: str = "nat"
) -> dict[Client, Handling]:
    """What a node with this rule in front of kube-proxy's does with a Service's connections."""
    here = replace(
        clients(),
        interfaces=frozenset({"ens3", "ens4", "cni0", "flannel.1"}),
        uplink="ens3",
        never_by_uplink=never,
        cluster_ips=frozenset({CLUSTER_IP}),
    )
    own = f"{HOOKS}{CHAIN.format(address)}"
    tables = {"nat": f"{rule}\n{own}"} if table == "nat" else {table: f"{rule}\n", "nat": own}
    where = Frontend(4, address, "tcp", 80)
    read = read_iptables({4: save(tables)}, here, {where: None})
    return {client: read.handling(where, client) for client in Client}


@pytest.mark.parametrize(
    ("rule", "table", "verdict"),
    [
        ("-i ens3 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80", "nat", "F"),
        ("-i ens+ -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 8080", "nat", "F"),
        ("-i ens3 -p tcp -m tcp --dport 80 -j CT --notrack", "raw", "U"),
        ("-i ens3 -p tcp -j NOTRACK", "raw", "U"),
        ("-i ens3 -j ACCEPT", "nat", "N"),
        ("-i ens3 -p tcp -j RETURN", "nat", "N"),
    ],
)
def test_clients_outside_the_cluster_lose_an_address_that_they_can_reach(rule, table, verdict):
    line = f"-A PREROUTING {rule}"
    wanted = {"F": Verdict.FORWARD, "U": Verdict.UNTRACKED, "N": Verdict.NOTHING}[verdict]
    found = handlings(line, table=table)

    assert found[Client.OUTSIDE].verdict is wanted
    assert found[Client.OUTSIDE].third_party
    assert found[Client.OUTSIDE].lines == (line,)
    for client in (Client.POD, Client.REMOTE_POD, Client.NODE):
        assert found[client].lines[-1].endswith("--to-destination 10.244.1.5:8080")


def test_it_is_not_known_whether_they_reach_a_cluster_ip():
    rule = "-A PREROUTING -i ens3 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80"
    found = handlings(rule, CLUSTER_IP)

    assert found[Client.OUTSIDE].verdict is Verdict.NOT_UNDERSTOOD
    assert found[Client.OUTSIDE].third_party
    assert found[Client.POD].verdict is Verdict.FORWARD


@pytest.mark.parametrize("device", ["ens4", "ens+4", "wg0"])
def test_of_other_devices_nothing_is_certain(device):
    line = f"-A PREROUTING -i {device} -j DNAT --to-destination 172.17.0.2:80"
    found = handlings(line)[Client.OUTSIDE]

    assert (found.verdict is Verdict.FORWARD) is (device != "ens4")
    assert found.lines[-1].endswith("8080") is (device != "ens4")


def test_pods_may_come_in_by_the_uplink_where_the_routes_do_not_show_another_device():
    rule = "-A PREROUTING -i ens3 -j DNAT --to-destination 172.17.0.2:80"
    found = handlings(rule, never=frozenset({Client.POD}))

    assert found[Client.REMOTE_POD].verdict is Verdict.NOT_UNDERSTOOD
    assert found[Client.POD].verdict is Verdict.FORWARD


@pytest.mark.parametrize("target", ["DROP", "REJECT --reject-with tcp-reset"])
def test_a_port_that_is_closed_for_the_outside_is_policy(target):
    found = handlings(f"-A PREROUTING -i ens3 -p tcp -m tcp --dport 80 -j {target}", table="mangle")

    assert {each.verdict for each in found.values()} == {Verdict.FORWARD}

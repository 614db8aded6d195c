"""The connection table of a node: rates, drops, and rules that masquerade."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.addresses import address
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.conntrack import TIME_WAIT, ConnectionRate
from wirecheck.snapshot.node_document import Command, ConntrackSample, KernelLine, NewConnections

NAT = """*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-POSTROUTING - [0:0]
{}COMMIT
"""


@pytest.mark.parametrize(
    ("seconds", "count", "limit", "rate", "share"),
    [
        (2.0, 200, 12_000, 100.0, 100.0),
        (4.0, 200, 12_000, 50.0, 50.0),
        (0.0, 200, 12_000, 0.0, 0.0),
        (2.0, 200, 0, 100.0, 100.0),
    ],
)
def test_the_share_is_what_new_connections_fill_until_the_first_ones_end(
    seconds: float, count: int, limit: int, rate: float, share: float
) -> None:
    assert TIME_WAIT == 120
    found = ConnectionRate(NewConnections(seconds, count), limit)

    assert (found.rate, found.share) == (rate, share)


def test_the_text_has_the_first_destination_and_whether_some_were_lost() -> None:
    to = {"10.96.0.10:53/udp": 2812, "10.96.0.20:80/tcp": 1}
    found = ConnectionRate(NewConnections(2.0, 3000, destinations=to), 1)
    assert str(found) == "1,500 a second, mostly to 10.96.0.10:53/udp"
    assert found.destinations == ["10.96.0.10:53/udp: 2,812", "10.96.0.20:80/tcp: 1"]

    assert str(ConnectionRate(NewConnections(2.0, 4, lost=True), 1)) == "at least 2 a second"


def samples(small: SmallCluster, *counters: dict[str, int]) -> None:
    small.change_document(
        conntrack=[ConntrackSample(1000.0 + at, each) for at, each in enumerate(counters)]
    )


def test_drops_are_what_the_counters_grew_from_the_first_to_the_last_sample(
    small: SmallCluster,
) -> None:
    samples(small, {"drop": 5, "found": 1}, {"drop": 7, "found": 2}, {"drop": 11, "found": 9})
    conntrack = small.node.conntrack

    assert (conntrack.drops, conntrack.window) == ({"drop": 6}, 2.0)


def test_a_counter_that_one_sample_lacks_is_not_compared(small: SmallCluster) -> None:
    samples(small, {"drop": 5, "early_drop": 1}, {"drop": 5, "insert_failed": 2})

    assert small.node.conntrack.drops == {"drop": 0}


@pytest.mark.parametrize("number", [0, 1])
def test_drops_need_two_samples(small: SmallCluster, number: int) -> None:
    samples(small, *[{"drop": 5}] * number)

    with pytest.raises(FactMissingError, match="not read twice"):
        _ = small.node.conntrack.drops


def predictable(small: SmallCluster, *rules: str) -> list[str]:
    small.change_output("iptables-nft-save", NAT.format("".join(f"{each}\n" for each in rules)))
    return list(small.node.conntrack.predictable_masquerades)


OWN = "-A KUBE-POSTROUTING -j MASQUERADE"
OF_FLANNEL = "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE"
OF_DOCKER = "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
RETURNED = "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN"


def test_every_rule_of_kubernetes_that_masquerades_is_read(small: SmallCluster) -> None:
    random = f"{OWN} --random-fully"
    rules = (OF_DOCKER, RETURNED, random, OF_FLANNEL, RETURNED, OWN)

    assert predictable(small, *rules) == [OF_FLANNEL, OWN]
    assert predictable(small, random) == []


def test_a_rule_that_ends_the_text_is_read(small: SmallCluster) -> None:
    small.change_output("iptables-nft-save", NAT.format("")[: -len("COMMIT\n")] + OWN)

    assert list(small.node.conntrack.predictable_masquerades) == [OWN]


def test_rules_of_ipv6_masquerade_too(small: SmallCluster) -> None:
    small.change_output("ip6tables-nft-save", NAT.format(f"{OWN}\n"))

    assert predictable(small, f"{OWN} --random-fully") == [OWN]


@pytest.mark.parametrize("rules", [(), (OF_DOCKER,), (RETURNED,)])
def test_without_masquerading_of_kubernetes_there_is_nothing_to_evaluate(
    small: SmallCluster, rules: tuple[str, ...]
) -> None:
    with pytest.raises(NotApplicable, match="no iptables rule of Kubernetes masquerades"):
        predictable(small, *rules)


def test_only_messages_about_a_full_table_are_its_events(small: SmallCluster) -> None:
    full = "nf_conntrack: nf_conntrack: table full, dropping packet"
    flood = "TCP: request_sock_TCP: Possible SYN flooding on port 80"
    small.change_document(
        kernel_log=[KernelLine(900.0, "full", full), KernelLine(950.0, "syn flood", flood)]
    )

    assert [each.text for each in small.node.conntrack.table_full_events] == [full]


DNS, DNS6 = "10.96.0.10", "fd00:96::a"


def entry(to: str, port: int = 53, backend: str = "10.244.9.9") -> str:
    client = "fd00::3" if ":" in to else "10.244.0.3"
    return (
        f"udp      17 25 src={client} dst={to} sport=4000 dport={port} "
        f"src={backend} dst={client} sport={port} dport=4000 [ASSURED] mark=0 use=1\n"
    )


def listed(small: SmallCluster, *entries: str, of_ipv6: str = "") -> None:
    assert small.document
    known = {"conntrack-dns": "".join(entries), "conntrack-dns6": of_ipv6}
    records = {name: Command([name], status=0, output=text) for name, text in known.items()}
    small.change_document(commands={**small.document.commands, **records})


def test_entries_for_dns_are_those_to_port_53_of_its_service(small: SmallCluster) -> None:
    listed(small, entry(DNS), entry(DNS, 5353), entry("10.96.0.11"))

    (found,) = small.node.conntrack.dns_connections
    assert (found.client, found.service, found.backend) == tuple(
        map(address, ("10.244.0.3", DNS, "10.244.9.9"))
    )
    assert found.target == "translated to 10.244.9.9, which is not a DNS replica"


def test_entries_of_both_families_are_read(small: SmallCluster) -> None:
    small.api["services"][1]["spec"]["clusterIPs"].append(DNS6)
    listed(small, entry(DNS), of_ipv6=entry(DNS6, backend="fd00::9"))

    assert [str(each.service) for each in small.node.conntrack.dns_connections] == [DNS, DNS6]


@pytest.mark.parametrize(
    ("where", "number"),
    [("192.0.2.1", 1), ("10.244.0.1", 0)],
    ids=["the node's own address", "another address on the node"],
)
def test_what_a_server_of_the_node_answers_is_left_out(
    small: SmallCluster, where: str, number: int
) -> None:
    listed(small, entry(DNS, backend=where))

    assert len(list(small.node.conntrack.dns_connections)) == number

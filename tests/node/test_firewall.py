"""The firewall of one node: what is dropped, by which variant, and who manages the rules."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.checks.small_cluster import FILTER, HOST, SmallCluster, link
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.node.filter_chains import Dropped
from wirecheck.snapshot.node_document import Command

PACKET = ForwardedPacket(ip_address("10.244.0.9"), ip_address("10.244.1.9"), "eth0", "eth1")
DROP = "-A FORWARD -j DROP"


def dropped(variant: str = "", *, is_mixed: bool = False) -> Dropped:
    return Dropped("to pods", PACKET, DROP, variant, is_mixed)


@pytest.mark.parametrize(
    ("variant", "is_mixed", "other", "text"),
    [
        ("", False, "", " is dropped"),
        ("nft", False, "legacy", " is dropped in the nft variant of iptables"),
        ("legacy", False, "nft", " is dropped in the legacy variant of iptables"),
        ("nft", True, "legacy", " is dropped in the nft variant of iptables"
         "; Kubernetes accepts it in the legacy variant only"),
    ],
)  # fmt: skip
def test_what_is_dropped_names_the_variant_if_there_are_two(
    variant: str, is_mixed: bool, other: str, text: str
) -> None:
    found = dropped(variant, is_mixed=is_mixed)

    assert found.other_variant == other
    assert found.found == f"{PACKET}{text}"


def without_kubernetes(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if "KUBE-" not in line)


def variants(small: SmallCluster, nft: str, legacy: str) -> list[tuple[str, bool]]:
    """(variant, whether Kubernetes is in the other one only) of the IPv4 chains."""
    small.change_output("iptables-nft-save", nft)
    small.change_output("iptables-legacy-save", legacy)
    chains = small.node.firewall.forward_chains[4]
    return [(each.variant, each.is_mixed) for each in chains]


def test_rules_of_kubernetes_in_one_variant_alone_are_a_mix(small: SmallCluster) -> None:
    other = without_kubernetes(FILTER)

    assert variants(small, FILTER, "") == [("", False)]
    assert variants(small, FILTER, FILTER) == [("nft", False), ("legacy", False)]
    assert variants(small, other, FILTER) == [("nft", True), ("legacy", False)]
    assert variants(small, FILTER, other) == [("nft", False), ("legacy", True)]
    assert variants(small, other, other) == [("nft", False), ("legacy", False)]


def test_each_family_has_its_own_variants(small: SmallCluster) -> None:
    small.change_output("ip6tables-legacy-save", without_kubernetes(FILTER))
    chains = small.node.firewall.forward_chains

    assert [(each.variant, each.is_mixed) for each in chains[4]] == [("", False)]
    assert [(each.variant, each.is_mixed) for each in chains[6]] == [("", False)]


@pytest.mark.parametrize(
    ("names", "unread"),
    [
        ("table ip filter\ntable ip6 nat\ntable ip kube-proxy\n", ()),
        ("table inet firewalld\ntable ip6 mine\n", ("inet firewalld", "ip6 mine")),
        ("table netdev ingress\ntable arp filter\ntable bridge x\n", ("netdev ingress",)),
        ("table inet filter\n", ("inet filter",)),
    ],
)
def test_tables_that_packets_traverse_and_nobody_read_are_named(
    small: SmallCluster, names: str, unread: tuple[str, ...]
) -> None:
    small.change_output("nft-tables", names)

    assert small.node.firewall.unread_tables == unread


def test_without_a_list_of_tables_none_is_named(small: SmallCluster) -> None:
    assert small.document
    failed = Command(["nft"], status=1, output="table inet firewalld\n")
    small.change_document(commands={**small.document.commands, "nft-tables": failed})

    assert small.node.firewall.unread_tables == ()


def test_tables_for_host_ports_filter_nothing(small: SmallCluster) -> None:
    small.change_output("nft-tables", "table ip cni_hostport\ntable ip mine\n")

    assert list(small.node.firewall.unread_filters) == ["ip mine"]


@pytest.mark.parametrize(
    ("daemonset", "device", "is_unsure"),
    [
        ("kube-flannel-ds", "", False),
        ("cilium", "", True),
        ("kube-flannel-ds", "bpfin.cali", True),
        ("kube-flannel-ds", "bpfout.other", False),
    ],
)
def test_programs_in_ebpf_may_take_packets_past_the_chain(
    small: SmallCluster, daemonset: str, device: str, is_unsure: bool
) -> None:
    small.api["pods"][2]["metadata"]["ownerReferences"][0]["name"] = daemonset
    if daemonset != "kube-flannel-ds":
        small.change_document(cni=None)
    assert small.document
    links = [*small.document.namespaces[0].links, *([link(90, device)] if device else [])]
    small.change_netns(HOST, links=links)
    small.change_output("iptables-nft-save", FILTER.replace("-A INPUT", f"{DROP}\n-A INPUT", 1))
    found = list(small.node.firewall.dropped(iter([("to pods", PACKET)])))

    assert [bool(each.inconclusive) for each in found] == [is_unsure]


def test_a_packet_is_dropped_once_and_others_are_followed_too(small: SmallCluster) -> None:
    text = FILTER.replace("-A INPUT", "-A FORWARD -d 10.244.1.9/32 -j DROP\n-A INPUT", 1)
    small.change_output("iptables-nft-save", text)
    small.change_output("iptables-legacy-save", text)
    other = ForwardedPacket(PACKET.source, ip_address("10.244.1.10"), "eth0", "eth1")
    packets = [("b", other), ("a", PACKET), ("c", other), ("d", PACKET)]

    assert [each.what for each in small.node.firewall.dropped(iter(packets))] == ["a", "d"]


def managers(small: SmallCluster, *chains: str, tables: str = "table ip filter\n") -> set[str]:
    declared = "".join(f":{each} - [0:0]\n" for each in chains)
    small.change_output("iptables-nft-save", FILTER.replace(":KUBE-F", f"{declared}:KUBE-F", 1))
    small.change_output("nft-tables", tables)
    return set(small.node.firewall.others)


def test_other_managers_are_known_by_their_chains_and_tables(small: SmallCluster) -> None:
    assert managers(small) == set()
    assert managers(small, "FORWARD_direct") == {"firewalld"}
    assert managers(small, "ufw-before-forward", "FWD_public") == {"ufw", "firewalld"}
    assert managers(small, tables="table inet firewalld\n") == {"firewalld"}
    assert managers(small, tables="table inet firewalld-other\n") == set()


@pytest.mark.parametrize("other", ["AAA", "ZZZ"])
def test_a_jump_to_another_chain_does_not_call_kubernetes(small: SmallCluster, other: str) -> None:
    text = FILTER.replace("-A INPUT -j KUBE-FIREWALL", f"-A INPUT -j {other}")
    small.change_output("iptables-nft-save", text.replace(":INPUT", f":{other} - [0:0]\n:INPUT"))
    lines = [each for each in FILTER.splitlines() if not each.startswith("-A FORWARD")]
    small.change_output("iptables-legacy-save", "\n".join(lines) + "\n")

    missing = [(each.base, each.chain) for each in small.node.firewall.missing_anchors]
    assert missing == [("INPUT", "KUBE-FIREWALL")]


def test_without_table_filter_nothing_is_evaluated(small: SmallCluster) -> None:
    small.change_output("iptables-nft-save", "")

    for name in ("others", "missing_anchors"):
        with pytest.raises(NotApplicable, match="no iptables rules in table filter"):
            list(getattr(small.node.firewall, name))


MINE = (
    "*filter\n:FORWARD ACCEPT [0:0]\n:MINE - [0:0]\n-A FORWARD -j MINE\nCOMMIT\n# Completed on X\n"
)
SERVICES = "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j ACCEPT\nCOMMIT\n# Completed on X\n"


@pytest.mark.parametrize(
    ("nft", "legacy", "in_nft", "in_legacy"),
    [
        (FILTER, MINE, [], ["-A FORWARD -j MINE"]),
        (MINE, MINE, [], []),
        (FILTER, SERVICES, None, []),
        (MINE, SERVICES, ["-A FORWARD -j MINE"], []),
        (MINE + SERVICES, SERVICES, [], []),
        (FILTER, "", [], []),
    ],
)
def test_rules_beside_those_of_kubernetes_are_in_the_other_variant(
    small: SmallCluster,
    nft: str,
    legacy: str,
    in_nft: list[str] | None,
    in_legacy: list[str],
) -> None:
    small.change_output("iptables-nft-save", nft)
    small.change_output("iptables-legacy-save", legacy)
    firewall = small.node.firewall

    if in_nft is not None:
        assert list(firewall.nft_rules) == ([(4, in_nft)] if in_nft else [])
    assert list(firewall.legacy_rules) == ([(4, in_legacy)] if in_legacy else [])

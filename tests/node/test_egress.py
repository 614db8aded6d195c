"""What one node's pods send outside: which pods are followed, and what is not known."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.checks.small_cluster import FILTER, SmallCluster
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.egress import Masqueraded
from wirecheck.node.egress import Egress
from wirecheck.snapshot.node_document import Command

SUBNET = "/run/flannel/subnet.env"
FLANNEL = "FLANNEL_SUBNET=10.244.0.1/24\nFLANNEL_IPV6_SUBNET=fd00:42::1/64\nFLANNEL_IPMASQ=true\n"
MASQUERADE, RETURN = "-A POSTROUTING -j MASQUERADE", "-A POSTROUTING -j RETURN"
YES, NO, UNKNOWN = Masqueraded.YES, Masqueraded.NO, Masqueraded.UNKNOWN


def nat(*rules: str) -> str:
    names = dict.fromkeys(rule.split()[1] for rule in rules if "POSTROUTING -" not in rule[:16])
    declared = "".join(f":{name} - [0:0]\n" for name in names)
    text = "".join(f"{rule}\n" for rule in rules)
    end = "COMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
    return f"*nat\n:POSTROUTING ACCEPT [0:0]\n{declared}{text}{end}"


def with_ipv6(small: SmallCluster) -> None:
    for pod, own in zip(small.api["pods"][:2], ("fd00:42::2", "fd00:42::3"), strict=True):
        pod["status"]["podIPs"].append({"ip": own})


def egress(small: SmallCluster, *rules: str, of_ipv6: tuple[str, ...] = ()) -> tuple[Egress, ...]:
    small.change_output("nft-tables", "table ip nat\ntable ip6 nat\ntable ip filter\n")
    small.change_output("iptables-nft-save", FILTER + nat(*rules))
    small.change_output("ip6tables-nft-save", nat(*of_ipv6))
    return small.node.egress.all


@pytest.mark.parametrize(
    ("answer", "unread", "doubt", "reason"),
    [
        (YES, (), "", ""),
        (YES, ("ip mine",), "", ""),
        (NO, (), "", ""),
        (NO, ("ip mine",), "", "further nftables tables were not read"),
        (UNKNOWN, (), "", "a condition that is not known"),
        (UNKNOWN, ("ip mine",), "pools", "a condition that is not known"),
        (NO, (), "pools were not read", "pools were not read"),
    ],
)
def test_what_is_not_known_has_its_reason(
    answer: Masqueraded, unread: tuple[str, ...], doubt: str, reason: str
) -> None:
    found = Egress(ip_address("10.244.0.2"), "a setting", answer, unread, doubt).inconclusive

    assert reason in found
    assert bool(found) is bool(reason)


def test_one_pod_of_each_family_stands_for_a_setting(small: SmallCluster) -> None:
    with_ipv6(small)
    small.change_file(SUBNET, FLANNEL)

    found = egress(small, MASQUERADE, of_ipv6=(RETURN,))
    assert [(str(each.pod), each.answer) for each in found] == [
        ("10.244.0.2", YES),
        ("fd00:42::2", NO),
    ]


def test_pods_on_the_host_network_are_not_followed(small: SmallCluster) -> None:
    small.change_file(SUBNET, FLANNEL)
    for pod in small.api["pods"]:
        pod["spec"]["hostNetwork"] = True

    with pytest.raises(NotApplicable, match="nothing on the node shows"):
        egress(small, MASQUERADE)


@pytest.mark.parametrize(
    ("legacy", "answer"), [(MASQUERADE, YES), (RETURN, NO)], ids=["masquerades", "returns"]
)
def test_rules_of_the_legacy_variant_masquerade_too(
    small: SmallCluster, legacy: str, answer: Masqueraded
) -> None:
    small.change_file(SUBNET, FLANNEL)
    small.change_output("iptables-legacy-save", nat(legacy))

    assert [each.answer for each in egress(small, RETURN)] == [answer]


def test_a_table_that_masquerades_decides_before_one_that_is_not_known(
    small: SmallCluster,
) -> None:
    small.change_file(SUBNET, FLANNEL)
    unknown = "-A POSTROUTING -m set --match-set some src -j MASQUERADE"
    small.change_output("iptables-legacy-save", nat(unknown))

    assert [each.answer for each in egress(small, MASQUERADE)] == [YES]
    assert [each.answer for each in egress(small, RETURN)] == [UNKNOWN]


@pytest.mark.parametrize(
    ("listing", "rules", "unread"),
    [
        (Command(["nft"], status=0, output="table ip nat\n"), (), ()),
        (Command(["nft"], status=0, output="table ip mine\n"), (), ("ip mine",)),
        (Command(["nft"], status=1), (), ("of which nft did not list the names",)),
        (Command(["nft"], status=1), ("-A FLANNEL-POSTRTG -j RETURN",), ()),
    ],
)
def test_tables_that_may_masquerade_instead_are_named(
    small: SmallCluster, listing: Command, rules: tuple[str, ...], unread: tuple[str, ...]
) -> None:
    small.change_file(SUBNET, FLANNEL)
    small.change_output("iptables-nft-save", FILTER + nat(RETURN, *rules))
    assert small.document
    small.change_document(commands={**small.document.commands, "nft-tables": listing})

    assert [each.unread for each in small.node.egress.all] == [unread]


OUTGOING = "-A cali-nat-outgoing -j MASQUERADE"
TO_CALICO = "-A POSTROUTING -j cali-nat-outgoing"


def empty_pools_chain() -> str:
    return nat().replace("*nat\n", "*nat\n:cali-nat-outgoing - [0:0]\n")


@pytest.mark.parametrize(
    ("of_ipv4", "of_ipv6", "found"),
    [
        (nat(TO_CALICO, OUTGOING), nat(TO_CALICO, OUTGOING), {4: True, 6: True}),
        (nat(TO_CALICO, OUTGOING), empty_pools_chain(), {4: True, 6: False}),
        (empty_pools_chain(), nat(RETURN), {4: False}),
        (nat(RETURN), nat(RETURN), {}),
    ],
)
def test_calicos_chain_shows_by_family_whether_pools_are_masqueraded(
    small: SmallCluster, of_ipv4: str, of_ipv6: str, found: dict[int, bool]
) -> None:
    with_ipv6(small)
    small.change_output("iptables-nft-save", FILTER + of_ipv4)
    small.change_output("ip6tables-nft-save", of_ipv6)
    assert small.node.egress.pools_masqueraded == found

    pool = {"metadata": {"name": "p"}, "spec": {"cidr": "10.244.0.0/16", "natOutgoing": True}}
    small.api["ipPools"] = [pool]
    assert small.node.egress.pools_masqueraded == {}


def test_a_family_without_pods_is_left_out(small: SmallCluster) -> None:
    small.change_output("iptables-nft-save", FILTER + nat(TO_CALICO, OUTGOING))
    small.change_output("ip6tables-nft-save", nat(TO_CALICO, OUTGOING))

    assert small.node.egress.pools_masqueraded == {4: True}


def with_agent(small: SmallCluster) -> None:
    agent = small.api["pods"][2]
    agent["metadata"]["name"] = "ip-masq-agent-abcde"


AGENT = ("-A POSTROUTING -j IP-MASQ-AGENT", "-A IP-MASQ-AGENT -j MASQUERADE")


@pytest.mark.parametrize(
    ("rules", "number"),
    [
        (AGENT, 1),
        ((*AGENT[:1], "-A IP-MASQ-AGENT -j RETURN", *AGENT[1:]), 0),
        ((*AGENT[:1], "-A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN", *AGENT[1:]), 1),
        ((*AGENT[:1], "-A IP-MASQ-AGENT -m set --match-set a src -j RETURN", *AGENT[1:]), 1),
        ((RETURN,), 1),
    ],
)
def test_an_agent_that_leaves_every_packet_alone_masquerades_none(
    small: SmallCluster, rules: tuple[str, ...], number: int
) -> None:
    with_agent(small)

    if number:
        assert len(egress(small, *rules)) == number
    else:
        with pytest.raises(NotApplicable):
            egress(small, *rules)

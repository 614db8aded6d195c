"""The differences of one node's Service rules, with the names that a report uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, service
from wirecheck.api_index.backend import ServicePort
from wirecheck.catalogue.findings import Ref, SharedCauseError
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.compare.leftovers import Leftover
from wirecheck.dataplane.compare.summary import Common, Summary
from wirecheck.dataplane.proxy import NEWEST, OLDEST, Mode
from wirecheck.dataplane.table import Client, Frontend, Verdict
from wirecheck.node.dataplane import (
    Dataplane,
    NamedCommon,
    NamedDifference,
    NamedLeftover,
    compared,
    programmed_modes,
)
from wirecheck.snapshot.netns import Address, Link
from wirecheck.snapshot.node_document import Command

NODE = Ref("Node", "n1")
WEB = Frontend(4, "10.96.0.20", "tcp", 80)
OWNER = ServicePort("shop", "web", "http", "tcp", "uid-of-web")
RULES = ("-A KUBE-SERVICES -d 10.96.0.20/32 -j DROP",)
DIFFERENCE = Difference(
    Kind.VERDICT, WEB, OWNER, (Client.POD,), None, "forwarded", "dropped", RULES
)
COMMON = Common(Kind.SHADOWED, Verdict.FORWARD, (Client.POD, Client.NODE),
                frozenset({WEB}), 1, "dropped", RULES)  # fmt: skip


class TestOneDifference:
    def test_it_is_about_the_port_of_the_service(self) -> None:
        found = NamedDifference(NODE, DIFFERENCE)

        assert found.ref == Ref(
            "Service", "web", "shop", part="http 10.96.0.20:80/tcp", uid="uid-of-web"
        )
        assert (found.found, found.evidence) == ("dropped", RULES)

    def test_an_unnamed_port_is_named_by_its_frontend(self) -> None:
        owner = OWNER._replace(name="")

        named = NamedDifference(NODE, replace(DIFFERENCE, owner=owner))
        assert named.ref.part == "10.96.0.20:80/tcp"

    def test_without_a_service_it_is_about_the_node(self) -> None:
        found = NamedDifference(NODE, replace(DIFFERENCE, owner=None))

        assert found.ref == Ref("Node", "n1", part="10.96.0.20:80/tcp")

    @pytest.mark.parametrize(
        ("clients", "text"),
        [
            ((Client.POD,), "pods on this node"),
            ((Client.POD, Client.OUTSIDE), "pods on this node, clients outside the cluster"),
            (tuple(Client), "every client"),
        ],
    )
    def test_it_names_its_clients(self, clients: tuple[Client, ...], text: str) -> None:
        found = NamedDifference(NODE, replace(DIFFERENCE, clients=clients))
        assert found.expected == f"forwarded (for {text})"
        common = NamedCommon(NODE, replace(COMMON, clients=clients))
        assert common.expected.endswith(f"(for {text})")

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({}, (False, False, False)),
            ({"kind": Kind.NOT_UNDERSTOOD}, (True, False, False)),
            ({"third_party": True}, (False, True, False)),
            ({"by_mark": True}, (False, False, True)),
        ],
    )
    def test_it_shows_what_decides(
        self, change: dict[str, Any], expected: tuple[bool, bool, bool]
    ) -> None:
        found = NamedDifference(NODE, replace(DIFFERENCE, **change))

        assert (found.is_not_understood, found.third_party, found.by_mark) == expected


def test_a_common_difference_is_about_all_frontends_of_the_node() -> None:
    found = NamedCommon(NODE, COMMON)

    assert found.ref == Ref("Node", "n1", part="IPv4 tcp Service rules")
    assert found.expected.startswith("all 1 frontends of 1 Services forwarded")
    assert (found.family, found.found, found.evidence) == (4, "all of them dropped", RULES)
    assert found.third_party is False
    assert NamedCommon(NODE, replace(COMMON, third_party=True)).third_party is True


def test_leftovers_have_their_mode_and_their_harm() -> None:
    left = Leftover(Mode.IPVS, "2 virtual servers", ("TCP 10.96.9.9:443",), (DIFFERENCE,))
    (found,) = Dataplane(NODE, Summary((), (), 0), (left,)).leftovers

    assert found == NamedLeftover(NODE, left)
    assert found.ref == Ref("Node", "n1", part="ipvs leftovers")
    assert (found.what, found.evidence) == ("2 virtual servers", ("TCP 10.96.9.9:443",))
    assert list(found.harm) == [NamedDifference(NODE, DIFFERENCE)]


def test_differences_are_chosen_by_kind() -> None:
    weights = replace(DIFFERENCE, kind=Kind.WEIGHTS)
    dataplane = Dataplane(NODE, Summary((COMMON,), (DIFFERENCE, weights), 7))

    assert dataplane.compared == 7
    assert [each.difference for each in dataplane.of()] == [DIFFERENCE, weights]
    assert [each.difference for each in dataplane.of(Kind.WEIGHTS)] == [weights]
    assert [each.common for each in dataplane.common()] == [COMMON]
    assert list(dataplane.common(Kind.WEIGHTS)) == []


@pytest.mark.parametrize(
    ("minor", "upgraded"), [(OLDEST - 1, "kube-proxy"), (NEWEST + 1, "wirecheck")]
)
def test_a_version_of_kube_proxy_that_is_not_supported_is_an_error(
    small: SmallCluster, minor: int, upgraded: str
) -> None:
    node = small.node
    facts = replace(node.proxy.facts, minor=minor)

    with pytest.raises(SharedCauseError, match=rf"1\.{minor} on n1 .* Upgrade {upgraded}\."):
        compared(node.seen, facts, node.iptables)


def without_nftables(small: SmallCluster) -> None:
    assert small.document
    not_asked = Command([], problem="not asked: kube-proxy is in iptables mode")
    unasked = dict.fromkeys(("nft-kube-proxy", "nft-kube-proxy6"), not_asked)
    small.change_document(commands={**small.document.commands, **unasked})


def test_a_frontend_that_two_services_claim_is_known_with_what_happens_to_it(
    small: SmallCluster,
) -> None:
    without_nftables(small)
    for name, ip in (("web", "10.96.0.20"), ("shop", "10.96.0.21")):
        claimed = service(name, "shop", ip, [{"name": "http", "port": 80, "protocol": "TCP"}])
        claimed["spec"]["externalIPs"] = ["198.51.100.9"]
        small.api["services"].append(claimed)
    node = small.node

    (claim,) = compared(node.seen, node.proxy.facts, node.iptables).claims
    assert str(claim) == "frontend 198.51.100.9:80/tcp of shop/shop:http, shop/web:http"


@pytest.mark.parametrize("minor", [OLDEST, NEWEST])
def test_the_oldest_and_the_newest_supported_version_are_compared(
    small: SmallCluster, minor: int
) -> None:
    without_nftables(small)
    node = small.node

    assert compared(node.seen, replace(node.proxy.facts, minor=minor), node.iptables).compared


OF_SERVICES = "-A KUBE-SVC-ABC -j KUBE-SEP-ABC\n"


@pytest.mark.parametrize(
    ("command", "record", "modes"),
    [
        ("iptables-nft-save", Command([], status=0, output=OF_SERVICES), [Mode.IPTABLES]),
        ("iptables-save", Command([], status=0, output=OF_SERVICES), [Mode.IPTABLES]),
        ("iptables-legacy-save", Command([], status=0, output=OF_SERVICES), [Mode.IPTABLES]),
        ("iptables-save", Command([], status=1, output=OF_SERVICES), []),
        ("iptables-save", Command([], status=0, output="-A KUBE-SERVICES -j ACCEPT\n"), []),
        ("nft-kube-proxy", Command([], status=0, output="{}"), [Mode.NFTABLES]),
        ("nft-kube-proxy6", Command([], status=0, output="{}"), [Mode.NFTABLES]),
        ("nft-kube-proxy", Command([], status=0, output=""), []),
    ],
)
def test_the_modes_with_rules_are_known_by_what_the_tools_print(
    small: SmallCluster, command: str, record: Command, modes: list[Mode]
) -> None:
    assert small.document
    small.change_document(commands={command: record})

    assert list(programmed_modes(small.node.seen)) == modes


@pytest.mark.parametrize(
    ("name", "bound", "modes"),
    [
        ("kube-ipvs0", ["10.96.0.10"], [Mode.IPVS]),
        ("kube-ipvs0", [], []),
        ("dummy0", ["10.96.0.10"], []),
    ],
)
def test_ipvs_mode_is_known_by_the_addresses_that_it_binds(
    small: SmallCluster, name: str, bound: list[str], modes: list[Mode]
) -> None:
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(
        HOST,
        links=[*host.links, Link(99, name, kind="dummy")],
        addresses=[*host.addresses, *(Address(99, each, 32) for each in bound)],
    )
    small.change_document(commands={})

    assert list(programmed_modes(small.node.seen)) == modes

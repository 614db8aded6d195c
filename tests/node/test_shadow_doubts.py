"""Frontends that third-party rules take or may take, and the Service's own load balancer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.checks.small_cluster import SmallCluster, service
from wirecheck.api_index.backend import ServicePort
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.table import Frontend
from wirecheck.node.dataplane import Dataplane, NamedDifference
from wirecheck.node.firewall import Firewall
from wirecheck.node.host_port_rules import PortMapping
from wirecheck.node.port_mappings import PortMappings
from wirecheck.node.shadow_doubts import (
    MOST_FRONTENDS,
    MOST_SHADOWED,
    ShadowDoubt,
    shadow_doubts,
    shadowed,
)

OWNER = ServicePort("shop", "web", "http", "tcp")
RULE = "-A CNI-DN-1 -p tcp --dport 80 -j DNAT --to-destination 10.244.0.3:8080"
DIFFERENCE = Difference(
    Kind.SHADOWED, Frontend(4, "192.0.2.1", "tcp", 80), OWNER, (), None, "a", "b", (RULE,)
)


@dataclass
class Found:
    """What other parts of the node found."""

    differences: list[Difference] = field(default_factory=list)
    conditions: str = ""
    mappings: list[PortMapping] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    small: SmallCluster = field(default_factory=SmallCluster)

    @property
    def dataplane(self) -> Dataplane:
        node = self.small.node.ref
        named = [NamedDifference(node, each) for each in self.differences]
        found = SimpleNamespace(
            of=lambda *kinds: (each for each in named if each.difference.kind in kinds)
        )
        return cast(Dataplane, found)

    def shadowed(self) -> list[str]:
        return [str(each.ref) for each in shadowed(self.small.node.seen, self.dataplane)]

    def doubts(self) -> list[ShadowDoubt]:
        mappings = SimpleNamespace(in_nftables=self.mappings, has_read=self.read.__contains__)
        iptables = SimpleNamespace(may_lack_conditions=lambda *_: self.conditions)
        firewall = SimpleNamespace(iptables=iptables, unread_tables=self.unread)
        return list(
            shadow_doubts(
                self.small.node.seen,
                self.dataplane,
                cast(PortMappings, mappings),
                cast(Firewall, firewall),
            )
        )


def balancer(labels: dict[str, str], **port: Any) -> SmallCluster:
    """The web pod as a pod of ServiceLB, which has the Service's port as a host port."""
    small = SmallCluster()
    pod = small.api["pods"][1]
    pod["metadata"]["labels"] = {f"svccontroller.k3s.cattle.io/{k}": v for k, v in labels.items()}
    host_port = {"containerPort": 8080, "hostPort": 80, "protocol": "TCP", **port}
    pod["spec"]["containers"] = [{"name": "c", "ports": [host_port]}]
    return small


@pytest.mark.parametrize(
    ("labels", "port", "is_own"),
    [
        ({"svcname": "web", "svcnamespace": "shop"}, {}, True),
        # Older versions run the pod in the Service's namespace, without the second label.
        ({"svcname": "web"}, {}, True),
        ({"svcname": "web", "svcnamespace": "ops"}, {}, False),
        ({"svcname": "web", "svcnamespace": "shop2"}, {}, False),
        ({"svcname": "other", "svcnamespace": "shop"}, {}, False),
        ({"svcnamespace": "shop"}, {}, False),
        ({"svcname": "web"}, {"hostPort": 81}, False),
        ({"svcname": "web"}, {"protocol": "UDP"}, False),
        ({"svcname": "web"}, {"containerPort": 8081}, False),
    ],
)
def test_the_services_own_load_balancer_takes_its_connections(
    labels: dict[str, str], port: dict[str, Any], is_own: bool
) -> None:
    small = balancer(labels, **port)

    assert Found([DIFFERENCE], small=small).shadowed() == (
        [] if is_own else ["Service shop/web http 192.0.2.1:80/tcp"]
    )
    same_priority = replace(DIFFERENCE, kind=Kind.ORDER_UNKNOWN)
    assert len(Found([same_priority], small=small).doubts()) == (0 if is_own else 1)


@pytest.mark.parametrize(
    "fields",
    [{"owner": None}, {"frontend": Frontend(4, "", "tcp", 80)}],
    ids=["a frontend of no Service", "a node port"],
)
def test_the_load_balancer_has_neither_node_ports_nor_other_frontends(
    fields: dict[str, Any],
) -> None:
    found = Found([replace(DIFFERENCE, **fields)], small=balancer({"svcname": "web"}))

    assert len(found.shadowed()) == 1


def test_a_rule_that_takes_many_frontends_is_one_finding_with_the_first_of_them() -> None:
    some = [
        replace(DIFFERENCE, frontend=Frontend(4, "", "tcp", 30080 + number)) for number in range(7)
    ]
    apart = replace(DIFFERENCE, evidence=("-A MINE -j REDIRECT",))

    assert len(Found(some[:MOST_SHADOWED]).shadowed()) == MOST_SHADOWED
    assert Found([*some, apart]).shadowed() == [
        f"Node n1 {RULE}",
        "Service shop/web http 192.0.2.1:80/tcp",
    ]
    (one,) = shadowed(SmallCluster().node.seen, Found(some).dataplane)
    assert "7 frontends of 1 Service" in one.found
    assert "30082" in one.found
    assert "and 4 more" in one.found
    assert "30083" not in one.found
    assert one.evidence == (RULE,)


@pytest.mark.parametrize(
    ("kind", "by_mark", "count"),
    [
        (Kind.FRONTEND_MISSING, False, 1),
        # A policy engine accepts the packets later on.
        (Kind.FRONTEND_MISSING, True, 1),
        (Kind.VERDICT, False, 1),
        # That is a warning of its own.
        (Kind.VERDICT, True, 0),
    ],
)
def test_no_difference_by_rules_of_others_is_left_out(
    kind: Kind, by_mark: bool, count: int
) -> None:
    some = [
        replace(
            DIFFERENCE,
            kind=kind,
            frontend=Frontend(4, "", "tcp", 30080 + number),
            third_party=True,
            by_mark=by_mark,
        )
        for number in range(4)
    ]
    node = SmallCluster().node
    node.__dict__["dataplane"] = Found(some).dataplane

    assert len(list(node.decided_by_others(kind))) == count


def unknown(number: int, kind: Kind = Kind.RULE_UNKNOWN, rule: str = RULE) -> Difference:
    frontend = Frontend(4, f"10.96.0.{number}", "tcp", 80)
    return replace(DIFFERENCE, kind=kind, frontend=frontend, evidence=("first", rule))


def test_frontends_behind_an_unrecognised_rule_are_listed_up_to_a_limit() -> None:
    some = [unknown(number) for number in range(1, MOST_FRONTENDS + 1)]

    listed = Found(some).doubts()
    assert len(listed) == MOST_FRONTENDS
    assert {each.ref.name for each in listed} == {"web"}

    (one, other) = Found([*some, unknown(99), unknown(100, rule="another")]).doubts()
    assert str(one.ref) == f"Node n1 {RULE}"
    assert one.found == ("9 frontends, for example Service shop/web http 10.96.0.1:80/tcp: b")
    assert other.ref.part == "http 10.96.0.100:80/tcp"


def test_one_frontend_is_listed_once() -> None:
    assert len(Found([unknown(1), unknown(1)]).doubts()) == 1


def test_each_kind_of_doubt_has_its_reason() -> None:
    some = [
        replace(DIFFERENCE, kind=Kind.ORDER_UNKNOWN),
        unknown(1),
        unknown(2, Kind.CONDITIONS_UNKNOWN),
        replace(DIFFERENCE, kind=Kind.BACKEND_STALE),
    ]

    reasons = [each.reason for each in Found(some, conditions="an old iptables").doubts()]
    assert len(reasons) == 3
    assert "same priority" in reasons[0]
    assert "not recognised" in reasons[1]
    assert reasons[2] == "an old iptables"


def test_tables_that_were_not_read_are_doubts_of_the_node() -> None:
    found = Found(unread=["ip a", "ip cni_hostport"], read=["ip cni_hostport"]).doubts()

    assert [(str(each.ref), each.reason) for each in found] == [
        ("Node n1 nftables table ip a", "the rules of further nftables tables were not read")
    ]


MAPPING = PortMapping("tcp", "", 30080, "10.244.0.3:8080", "rule", "ip cni_hostport")


@pytest.mark.parametrize(
    ("port", "protocol", "is_found"),
    [(30080, "TCP", True), (30081, "TCP", False), (30080, "UDP", False)],
)
def test_a_host_port_with_the_number_of_a_node_port_is_a_doubt(
    port: int, protocol: str, is_found: bool
) -> None:
    small = SmallCluster()
    ports = [
        {"name": "other", "port": 81, "nodePort": 30999},
        {"name": "http", "port": 80, "nodePort": port, "protocol": protocol},
    ]
    small.api["services"].append(service("web", "shop", "10.96.0.9", ports))

    found = Found(mappings=[MAPPING], small=small).doubts()

    assert [str(each.ref) for each in found] == (
        ["Service shop/web http node port 30080/tcp"] if is_found else []
    )

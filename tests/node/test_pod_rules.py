"""Routing rules of a cloud's plugin that are gone for single pods."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from tests.network.all_clusters import CLUSTERS
from wirecheck.snapshot.netns import Address, Rule

CHECK = "routes.policy_routing"
FIRST, SECOND = "192.0.2.71", "192.0.2.72"


@pytest.fixture
def aws() -> SmallCluster:
    small = SmallCluster()
    CLUSTERS["AWS VPC CNI"](small)
    return small


def rules(small: SmallCluster) -> list[Rule]:
    assert small.document
    return list(small.document.namespaces[0].rules)


def without(small: SmallCluster, priority: int, address: str = "") -> None:
    """Remove the rules of this priority, all or those for an address."""
    left = [
        each
        for each in rules(small)
        if each.priority != priority
        or (address and f"{address}/32" not in (each.source, each.destination))
    ]
    small.change_netns(HOST, rules=left)


def second_network(small: SmallCluster, prefix: str = "192.0.2.64/28") -> None:
    """Let the second interface be in a network of its own, as with custom networking."""
    assert small.document
    address, _, length = prefix.partition("/")
    kept = [each for each in small.document.namespaces[0].addresses if each.index == 2]
    own = Address(3, address.rpartition(".")[0] + ".66", int(length))
    # The first interface's network does not have the pods' addresses.
    first = [Address(2, each.address, 26) for each in kept]
    small.change_netns(HOST, addresses=[*first, own])


def found(small: SmallCluster) -> list[tuple[str, str, str]]:
    of_pods = (each for each in small.findings(CHECK) if each.subject.kind == "Pod")
    certain = (each for each in of_pods if not each.inconclusive)
    return [(each.subject.name, each.expected, each.found) for each in certain]


def unknown(small: SmallCluster) -> list[str]:
    """The addresses of which nobody can know whether a rule is missing."""
    found = (each for each in small.findings(CHECK) if each.inconclusive)
    return [each.expected.split()[2] for each in found]


def test_a_node_with_all_rules_passes(aws: SmallCluster) -> None:
    assert found(aws) == []


def test_of_two_interfaces_in_one_network_the_pods_one_is_not_known(aws: SmallCluster) -> None:
    assert unknown(aws) == [FIRST]
    without(aws, 1536)

    assert found(aws) == []
    assert unknown(aws) == [FIRST, SECOND]


def test_of_interfaces_in_different_networks_the_pods_one_is_known(aws: SmallCluster) -> None:
    second_network(aws)
    without(aws, 1536)

    assert unknown(aws) == []


def test_packets_leave_by_the_interface_of_the_pods_network(aws: SmallCluster) -> None:
    second_network(aws)
    rule = Rule(4, 1536, 2, source=f"{FIRST}/32")
    aws.change_netns(HOST, rules=[*rules(aws), rule])
    assert found(aws) == []
    without(aws, 1536, SECOND)

    ((_, expected, there),) = found(aws)
    assert expected == f"packets from {SECOND} leave by ens4, whose network has it"
    assert there == "they leave by ens3: no rule selects them"
    without(aws, 1536)
    assert len(found(aws)) == 2


@pytest.mark.parametrize("address", [FIRST, SECOND])
def test_a_rule_that_other_pods_have_is_missing(aws: SmallCluster, address: str) -> None:
    without(aws, 512, address)

    ((_, expected, there),) = found(aws)
    assert expected == f"`512: from all to {address} lookup main`"
    assert there == "no such rule, which other pods of the node have"


def test_where_no_pod_has_such_a_rule_nothing_is_missing(aws: SmallCluster) -> None:
    """Older versions, and other clouds, add none."""
    without(aws, 512)

    assert found(aws) == []


def test_the_rules_of_a_branch_interface_are_for_its_device(aws: SmallCluster) -> None:
    assert aws.document
    name = next(e.name for e in aws.document.namespaces[0].links if e.name.startswith("eni"))
    without(aws, 512, FIRST)
    assert found(aws)
    aws.change_netns(HOST, rules=[*rules(aws), Rule(4, 10, 101, iif=name)])

    assert found(aws) == []


def test_with_other_plugins_pods_have_no_such_rules() -> None:
    small = SmallCluster()
    to_pod = Rule(4, 512, 254, destination="10.244.0.2/32")
    small.change_netns(HOST, rules=[Rule(4, 0, 255), to_pod, Rule(4, 32766, 254)])

    assert found(small) == []

"""Lost queries that policies of a plugin's own kinds may explain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.checks.small_cluster import DNS_NETNS, WEB_NETNS, SmallCluster
from wirecheck.api_index.dns_lookup import Lookup
from wirecheck.node.netns import Netns
from wirecheck.node.unread_policies import UnreadPolicies
from wirecheck.snapshot.attempts import Contact, Probe, Try

WHY = "policies of Calico's own kinds, which were not read"
LOST = Try(2.0, error="timeout")


@pytest.fixture
def small() -> SmallCluster:
    cluster = SmallCluster()
    owner = {"kind": "DaemonSet", "name": "calico-node", "controller": True}
    cluster.api["pods"][2]["metadata"]["ownerReferences"] = [owner]
    return cluster


def why(small: SmallCluster, *tries: Try, server: str = "10.96.0.10") -> str:
    node = small.node
    netns = next(e for e in node.seen.facts.namespaces if e.inode == WEB_NETNS)
    probe = Probe(WEB_NETNS, "kubernetes", server, 53, "udp", list(tries))
    lookup = cast(Lookup, SimpleNamespace(probe=probe))
    return UnreadPolicies(node.seen, node.namespaces).why_lost(Netns(netns), lookup)


@pytest.mark.parametrize(
    ("tries", "is_lost"),
    [
        ([LOST], True),
        ([Try(2.0, error="timed out")], True),
        ([Try(0.1, error="refused"), LOST], True),
        ([LOST, Try(0.1, error="refused")], False),
        ([LOST, Try(0.1, answer="AAAA")], False),
        ([Try(0.1, answer="AAAA"), LOST], True),
        ([], False),
    ],
)
def test_the_last_try_timed_out(small: SmallCluster, tries: list[Try], is_lost: bool) -> None:
    assert why(small, *tries) == (WHY if is_lost else "")


def test_without_a_plugin_that_has_its_own_policies_nothing_explains_it(
    small: SmallCluster,
) -> None:
    del small.api["pods"][2]

    assert why(small, LOST) == ""


def contact(inode: int, made: int, tries: int = 1) -> Contact:
    return Contact(inode, "", "pod", "10.244.1.9", 80, tries=tries, made=made)


@pytest.mark.parametrize(
    ("contacts", "server", "explains"),
    [
        # Other packets of the pod pass, whatever the server does for others.
        ([contact(WEB_NETNS, 1)], "10.96.0.77", True),
        ([contact(WEB_NETNS, 0), contact(WEB_NETNS, 1)], "10.96.0.77", True),
        ([contact(WEB_NETNS, 0)], "10.96.0.77", False),
        ([contact(WEB_NETNS, 1, tries=0)], "10.96.0.77", False),
        ([contact(DNS_NETNS, 1)], "10.96.0.77", False),
        (None, "10.96.0.77", False),
        # The pod is attached, and the node itself gets answers from the server.
        ([contact(WEB_NETNS, 0)], "10.96.0.10", True),
        (None, "10.96.0.10", True),
    ],
)
def test_a_policy_explains_it_if_other_packets_pass_or_the_pod_is_attached(
    small: SmallCluster, contacts: list[Contact] | None, server: str, explains: bool
) -> None:
    small.change_document(contacts=contacts)

    assert bool(why(small, LOST, server=server)) is explains

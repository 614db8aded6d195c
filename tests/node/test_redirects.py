"""Rules in a pod's netns that may redirect its queries make a lost query inconclusive."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import WEB_NETNS, SmallCluster
from wirecheck.node.redirects import NOT_READ, redirect_in
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.netns import Namespace
from wirecheck.snapshot.node_document import Command

LISTED = {"iptables-nft-save": Command(["iptables-nft-save"], status=0)}
MISSING = {"iptables-nft-save": Command(["iptables-nft-save"], problem="missing")}
LINKERD = "-A PREROUTING -j PROXY_INIT_REDIRECT\n-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT\n"


@pytest.mark.parametrize(
    ("tables", "commands", "reason"),
    [
        (None, LISTED, ""),
        ([], MISSING, ""),
        (["nat"], LISTED, ""),
        (["ip nat", "ip6 mangle", "ip filter"], LISTED, ""),
        (["nat"], MISSING, NOT_READ),
        (["ip nat"], {}, NOT_READ),
        (["inet istio-proxy-nat"], LISTED, NOT_READ),
        (["ip nat", "ip kuma"], LISTED, NOT_READ),
    ],
)
def test_tables_whose_rules_were_not_read(
    tables: list[str] | None, commands: dict[str, Command], reason: str
) -> None:
    assert redirect_in(Namespace(inode=1, filters=tables), commands) == reason


def test_listed_rules_say_so() -> None:
    found = redirect_in(Namespace(inode=1, filters=["nat"], redirect=LINKERD), LISTED)

    assert found == "redirect rules in the pod's own netns"


def test_a_lost_query_of_a_meshed_pod_is_inconclusive() -> None:
    small = SmallCluster()
    small.change_probes(WEB_NETNS, "tcp", [Try(0.0, error="reset")] * 3)
    (lost,) = small.findings("dns.pods_resolve_tcp")
    small.change_netns(WEB_NETNS, filters=["inet istio-proxy-nat"])
    (doubtful,) = small.findings("dns.pods_resolve_tcp")

    assert (lost.inconclusive, doubtful.inconclusive) == ("", NOT_READ)

"""What is refused once it is translated: by Kubernetes' own chains, and for certain."""

import json
from pathlib import Path

import pytest

from testbed.referee import record
from testbed.referee.mutation import with_text
from tests.dataplane import small
from tests.dataplane.small import NAT, WEB
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.table import Client

SIGHTS = Path(__file__).parents[2] / "recorded/random-services/sights"
FORWARD = """-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A FORWARD -j KUBE-FORWARD
{first}
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
{marked}
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
{known}
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-PROXY-FIREWALL -d 198.19.0.1/32 -p tcp -m tcp --dport 80 -j DROP
"""


def refused(first: str = "", marked: str = "", known: str = "") -> dict[Client, tuple[str, ...]]:
    """Whose connections are refused, and the rules that are shown."""
    rules = FORWARD.format(first=first, marked=marked, known=known)
    every = small.differences({"nat": NAT, "filter": rules})
    found = [each for each in every if each.frontend == WEB]
    assert {each.kind for each in found} <= {Kind.VERDICT}
    return {client: each.evidence for each in found for client in each.clients}


def test_as_kube_proxy_writes_it_nothing_is_refused() -> None:
    assert not refused()


def test_what_is_marked() -> None:
    rule = "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j DROP"
    found = refused(marked=rule)
    assert set(found) == {Client.OUTSIDE}
    assert found[Client.OUTSIDE][-1] == rule


def test_everything() -> None:
    assert set(refused(first="-A KUBE-FORWARD -j REJECT")) == {*Client} - {Client.NODE}


def test_answers() -> None:
    rule = "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j DROP"
    found = refused(known=rule)
    assert set(found) == {*Client} - {Client.NODE}
    assert found[Client.POD][-1] == rule


@pytest.mark.parametrize(
    "rule",
    [
        "-A KUBE-FORWARD -s 10.244.9.0/24 -j DROP",
        "-A KUBE-FORWARD -p tcp -m tcp --dport 9 -j DROP",
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A KUBE-FORWARD -m mark --mark 0x8000/0x8000 -j DROP",
        "-A KUBE-FORWARD -m foo --bar -j DROP",
        "-A KUBE-FORWARD -m statistic --mode random --probability 0.50000000000 -j DROP",
        "-A KUBE-FORWARD -m recent --rcheck --seconds 60 --reap --name X --rsource "
        "--mask 255.255.255.255 -j DROP",
        "-A KUBE-FORWARD -m connmark ! --mark 0x0 -j DROP",
    ],
    ids=[
        "a source",
        "a port",
        "no connection",
        "another mark",
        "who knows",
        "a random choice",
        "a known client",
        "a marked connection",
    ],
)
def test_some_packets_are_a_matter_of_policy(rule: str) -> None:
    assert not refused(first=rule)


def test_what_may_have_passed_before_is_not_refused_for_certain() -> None:
    rules = "-A KUBE-FORWARD -i cni0 -j ACCEPT\n-A KUBE-FORWARD -j DROP"
    assert not refused(first=rules)


@pytest.mark.parametrize("sight", ["nftables-1.30.14-1000", "nftables-1.34.4-200"])
@pytest.mark.parametrize("chain", ["filter-forward", "filter-output"])
def test_new_connections_in_a_hook_of_kube_proxys_table(sight: str, chain: str) -> None:
    """A drop before the last rule of the hook, which is about unknown ports of ClusterIPs."""
    seen = record.read(SIGHTS / f"{sight}.json.gz")
    listing = json.loads(seen.document.commands["nft-kube-proxy"].output)
    things = listing["nftables"]
    hooks = [each["chain"] for each in things if each.get("chain", {}).get("hook")]
    of_hook = chain.removeprefix("filter-")
    late = max((each for each in hooks if each["hook"] == of_hook), key=lambda each: each["prio"])
    at = max(
        at for at, each in enumerate(things) if each.get("rule", {}).get("chain") == late["name"]
    )
    rule = things[at]["rule"]
    is_behind_dnat = late["prio"] > -100 or of_hook == "forward"
    assert is_behind_dnat
    things.insert(at, {"rule": {**rule, "expr": [rule["expr"][0], {"drop": None}]}})

    found = with_text(seen, "nft-kube-proxy", json.dumps(listing)).disagreements

    assert any("dropped" in each for each in found)


def test_answers_on_a_node_in_ipvs_mode() -> None:
    """IPVS sends requests on by itself; the answers are forwarded."""
    seen = record.read(SIGHTS / "ipvs-1.34.4-200.json.gz")
    text = seen.document.commands["iptables-legacy-save"].output
    rule = next(
        each
        for each in text.splitlines()
        if each.startswith("-A KUBE-FORWARD") and "ESTABLISHED" in each
    )
    drop = rule.replace("ACCEPT", "DROP")
    found = with_text(seen, "iptables-legacy-save", text.replace(rule, f"{drop}\n{rule}"))
    assert any("dropped" in each.found for each in found.dataplane.common(Kind.FRONTEND_MISSING))


def test_a_node_is_judged_by_its_own_rules_after_others_were() -> None:
    """What was kept of a healthy node must not stand for one whose filter refuses all."""
    rules = FORWARD.format(first="", marked="", known="")
    bad = FORWARD.format(first="-A KUBE-FORWARD -j DROP", marked="", known="")
    cache = ReaderCache()
    outcomes = [
        {each.kind for each in small.differences({"nat": NAT, "filter": text}, cache=cache)}
        for text in (rules, bad, rules)
    ]
    assert outcomes[0] == outcomes[2]
    assert outcomes[1] == {*outcomes[0], Kind.VERDICT}

"""Random single mutations of what was read: each is reported, or shown to be harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from testbed.referee import (
    harmless_iptables,
    harmless_ipvs,
    harmless_ipvs_rules,
    harmless_nftables,
)
from testbed.referee.dice import Dice
from testbed.referee.judging import Sight
from testbed.referee.kube_proxy import NODE
from testbed.referee.mutate_iptables import edit_iptables
from testbed.referee.mutate_ipvs import edit_addresses, edit_servers, edit_sets
from testbed.referee.mutate_nftables import edit_nftables
from testbed.referee.mutation import ADDRESSES, Edit, Editor, NodeFacts, texts, with_text
from testbed.referee.node_object import ADDRESSES as MAIN
from testbed.referee.results import Tally

Why = Callable[[Edit, Mapping[str, str], str, NodeFacts], str]
"""Of an edit of one of the texts, which is named."""


def _of_iptables(edit: Edit, before: Mapping[str, str], source: str, facts: NodeFacts) -> str:
    return harmless_iptables.why_harmless(edit, before[source], facts)


def _of_nftables(edit: Edit, before: Mapping[str, str], source: str, facts: NodeFacts) -> str:
    return harmless_nftables.why_harmless(edit, before[source], facts)


def _of_servers(edit: Edit, before: Mapping[str, str], _source: str, facts: NodeFacts) -> str:
    return harmless_ipvs.why_of_servers(edit, _around(before), facts)


def _of_sets(edit: Edit, before: Mapping[str, str], _source: str, facts: NodeFacts) -> str:
    name = (edit.before or edit.after).split()[1]
    # kube-proxy leaves out the rule of a set that is empty.
    if not any(f"--match-set {name} " in text for text in before.values()):
        return "no rule uses the set"
    return harmless_ipvs.why_of_sets(edit, _around(before), facts)


def _of_rules(edit: Edit, before: Mapping[str, str], source: str, facts: NodeFacts) -> str:
    return harmless_ipvs_rules.why_of_rules(edit, before[source], _around(before), facts)


def _around(before: Mapping[str, str]) -> harmless_ipvs.Around:
    return harmless_ipvs.Around(before["ipvsadm-save"], before["ipset-save"])


SOURCES: Mapping[str, Mapping[str, tuple[Editor, Why]]] = {
    "iptables": {
        "iptables-nft-save": (edit_iptables, _of_iptables),
        "ip6tables-nft-save": (edit_iptables, _of_iptables),
    },
    "nftables": {
        "nft-kube-proxy": (edit_nftables, _of_nftables),
        "nft-kube-proxy6": (edit_nftables, _of_nftables),
    },
    "ipvs": {
        "ipvsadm-save": (edit_servers, _of_servers),
        "ipset-save": (edit_sets, _of_sets),
        "iptables-legacy-save": (edit_iptables, _of_rules),
        "ip6tables-legacy-save": (edit_iptables, _of_rules),
        ADDRESSES: (edit_addresses, lambda *_: ""),
    },
}
"""By mode: the texts that hold the Services' rules, and how each is changed."""


def try_mutations(dice: Dice, sight: Sight, count: int, tally: Tally) -> Iterator[str]:
    """Try some mutations of a sight without disagreement; yields the ones that are missed."""
    all_texts = texts(sight.document)
    of_mode = SOURCES.get(sight.node.proxy.mode, {})
    sources = {name: each for name, each in of_mode.items() if all_texts.get(name)}
    facts = _facts(sight)
    done = 0
    while sources and done < count:
        source = dice.choice(sorted(sources))
        edit_of, why_of = sources[source]
        edit = edit_of(dice, all_texts[source])
        if edit is None:
            continue
        done += 1
        if with_text(sight, source, edit.text).complaints:
            tally.reported += 1
        elif why := why_of(edit, all_texts, source, facts):
            tally.harmless[why] = tally.harmless.get(why, 0) + 1
        else:
            tally.missed += 1
            yield f"missed: {edit.kind} in {source}:\n  - {edit.before}\n  + {edit.after}"


def _facts(sight: Sight) -> NodeFacts:
    nodes: dict[str, set[str]] = {}
    for each in sight.api.endpoint_slices:
        for endpoint in each.endpoints or ():
            nodes.setdefault(endpoint.addresses[0], set()).add(endpoint.node_name)
    own = sight.document.namespaces[0].addresses
    return NodeFacts(
        addresses=frozenset(each.address for each in own),
        sources=frozenset(MAIN),
        endpoints=frozenset(address for address, names in nodes.items() if names == {NODE}),
        contested=frozenset(_contested(sight)),
        masquerades_all=sight.node.proxy.facts.masquerade_all,
        pod_ranges=frozenset(range_ for each in sight.api.nodes for range_ in each.spec.pod_cidrs),
    )


def _contested(sight: Sight) -> Iterator[str]:
    claims: Counter[str] = Counter()
    for each in sight.api.services:
        spec = each.spec
        hosts = {*spec.external_ips, *(i.ip for i in each.status.load_balancer.ingress)}
        claims.update(
            f"{host},{port.protocol.lower()}:{port.port}" for host in hosts for port in spec.ports
        )
    return (entry for entry, count in claims.items() if count > 1)

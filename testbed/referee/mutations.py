"""Random single mutations of what was read: each is reported, or shown to be harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from testbed.referee import harmless_iptables, harmless_nftables
from testbed.referee.dice import Dice
from testbed.referee.judging import Sight
from testbed.referee.kube_proxy import NODE
from testbed.referee.mutate_iptables import edit_iptables
from testbed.referee.mutate_nftables import edit_nftables
from testbed.referee.mutation import Edit, Editor, NodeFacts, texts, with_text
from testbed.referee.results import Tally

Why = Callable[[Edit, str, NodeFacts], str]

SOURCES: Mapping[str, Mapping[str, tuple[Editor, Why]]] = {
    "iptables": {
        "iptables-nft-save": (edit_iptables, harmless_iptables.why_harmless),
        "ip6tables-nft-save": (edit_iptables, harmless_iptables.why_harmless),
    },
    "nftables": {
        "nft-kube-proxy": (edit_nftables, harmless_nftables.why_harmless),
        "nft-kube-proxy6": (edit_nftables, harmless_nftables.why_harmless),
    },
}
"""By mode: the texts that hold the Services' rules, and how each is changed."""


def try_mutations(dice: Dice, sight: Sight, count: int, tally: Tally) -> Iterator[str]:
    """Try some mutations of a sight without disagreement; yields the ones that are missed."""
    sources = SOURCES.get(sight.node.proxy.mode, {})
    facts = _facts(sight)
    done = 0
    while sources and done < count:
        source = dice.choice(sorted(sources))
        edit_of, why_of = sources[source]
        before = texts(sight.document)[source]
        edit = edit_of(dice, before)
        if edit is None:
            continue
        done += 1
        if with_text(sight, source, edit.text).disagreements:
            tally.reported += 1
        elif why := why_of(edit, before, facts):
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
        endpoints=frozenset(address for address, names in nodes.items() if names == {NODE}),
    )

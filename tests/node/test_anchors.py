"""Which chains table filter must call, and which of a plugin's own table nothing calls."""

from __future__ import annotations

import pytest
from msgspec import Raw

from wirecheck.dataplane.nftables.tables import NamedTable
from wirecheck.network.plugin import UNKNOWN
from wirecheck.network.plugins.calico import PLUGIN as CALICO
from wirecheck.node.anchors import (
    Anchor,
    MissingAnchor,
    anchors_in_iptables,
    missing_in_nftables,
)
from wirecheck.parse.nftables import NftChain, NftRule, NftRules, NftTable

OF_KUBERNETES = [
    Anchor("FORWARD", "KUBE-FORWARD", is_plugins=False),
    Anchor("INPUT", "KUBE-FIREWALL", is_plugins=False),
    Anchor("OUTPUT", "KUBE-FIREWALL", is_plugins=False),
]
OF_CALICO = [
    Anchor(base, f"cali-{base}", is_plugins=True) for base in ("FORWARD", "INPUT", "OUTPUT")
]
HOOKS = ("FORWARD", "INPUT", "OUTPUT")


def rule(chain: str, text: str) -> NftRule:
    return NftRule(chain, Raw(text.encode()))


def table(
    of: str = "ip", name: str = "calico", *, called: tuple[str, ...] = HOOKS, is_filled: bool = True
) -> NamedTable:
    """Calico's own table: base chains that call those of felix, and these."""
    chains, rules = {}, {}
    for hook in HOOKS:
        base, own = f"filter-{hook}", f"filter-cali-{hook}"
        chains |= {base: NftChain(base, "filter", hook.lower()), own: NftChain(own)}
        jump = f'[{{"jump": {{"target": "{own}"}}}}]'
        rules[base] = NftRules([rule(base, jump)] if hook in called else [])
        rules[own] = NftRules([rule(own, '[{"accept": null}]')] if is_filled else [])
    return NamedTable(of, name, NftTable(chains, rules))


def test_table_filter_must_call_the_chains_of_kubernetes_and_of_the_plugin() -> None:
    assert list(anchors_in_iptables([CALICO], [])) == OF_KUBERNETES + OF_CALICO
    assert list(anchors_in_iptables([UNKNOWN], [])) == OF_KUBERNETES


def test_a_plugin_with_its_own_table_has_left_its_chains_in_table_filter() -> None:
    assert list(anchors_in_iptables([CALICO], [table()])) == OF_KUBERNETES
    others = [table(name="other"), table(name="filter-")]
    assert list(anchors_in_iptables([CALICO], others)) == OF_KUBERNETES + OF_CALICO


@pytest.mark.parametrize(("of", "family"), [("ip", "IPv4"), ("ip6", "IPv6")])
def test_a_chain_that_its_base_chain_does_not_call_is_missing(of: str, family: str) -> None:
    found = list(missing_in_nftables([UNKNOWN, CALICO], [table(of, called=("INPUT", "OUTPUT"))]))

    where = f"filter-FORWARD of table {of} calico"
    assert found == [MissingAnchor(family, where, "filter-cali-FORWARD", is_plugins=True)]


@pytest.mark.parametrize(
    "complete_or_other",
    [
        table(),
        table("ip6"),
        table(name="other", called=()),
        table("inet", called=()),
        table(called=(), is_filled=False),
        NamedTable("ip", "calico", NftTable()),
    ],
    ids=["IPv4", "IPv6", "another table", "another family", "empty chains", "no chains"],
)
def test_nothing_else_is_missing(complete_or_other: NamedTable) -> None:
    assert list(missing_in_nftables([CALICO], [complete_or_other])) == []


def test_every_table_of_the_plugin_counts() -> None:
    tables = [table("ip"), table(name="other"), table("ip6", called=("FORWARD", "INPUT"))]

    assert [each.chain for each in missing_in_nftables([CALICO], tables)] == ["filter-cali-OUTPUT"]

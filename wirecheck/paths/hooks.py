"""The base chains of each netfilter hook of a node, in the order in which packets meet them.

Unlike the comparison of Services, a path meets every table: mangle, raw and security of iptables,
kube-proxy's nftables tables, and those of other programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.iptables.base_chains import TABLES, VARIANTS
from wirecheck.dataplane.iptables.reader import shared_text
from wirecheck.dataplane.iptables.rules import steps_of
from wirecheck.dataplane.nftables.reader import own_chains
from wirecheck.dataplane.nftables.tables import stages_at, stages_of
from wirecheck.dataplane.rules.chains import ChainCache, Chains
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.node.firewall import Firewall
from wirecheck.node.iptables import Iptables
from wirecheck.node.nftables import LINK_FAMILIES, kube_proxy_tables
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.iptables import IptablesDump
from wirecheck.paths.ip_sets import NO_SETS, IpSets


@dataclass(frozen=True)
class Hooks:
    """The hooks of one node's own netns.

    Raises FactMissingError if rules were not read or are malformed.
    """

    seen: NodeSeen
    iptables: Iptables
    firewall: Firewall

    def stages(self, hook: str, family: int) -> tuple[Stage, ...]:
        """The base chains of a hook, the lowest priority first."""
        key = (hook, family)
        if key not in self._kept:
            found = [
                *self._of_iptables(hook, family),
                *self._of_kube_proxy(hook, family),
                *stages_of(hook, family, self.firewall.other_tables, self._chains),
            ]
            self._kept[key] = tuple(sorted(found, key=lambda stage: stage.priority))
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[tuple[str, int], tuple[Stage, ...]]:
        return {}

    @property
    def _chains(self) -> ChainCache:
        return self.seen.cluster.readers.rules.chains

    @cached_property
    def sets(self) -> IpSets:
        """The ipsets of the node; none if they were not read as a whole."""
        record = self.seen.facts.commands.get("ipset-save")
        if record is None or not record.is_whole:
            return NO_SETS
        try:
            return IpSets(self.seen.ipsets)
        except FactMissingError:
            return NO_SETS

    def lacks_conditions(self, family: int, rules: list[str]) -> str:
        """Why one of these rules of iptables may match less than its tool prints."""
        return self.iptables.may_lack_conditions(family, rules)

    def _of_iptables(self, hook: str, family: int) -> Iterator[Stage]:
        own = self.iptables
        texts = (own.rules[family], own.legacy[family])
        dumps = {variant: own.dump(text) for variant, text in zip(VARIANTS, texts, strict=True)}
        yield from iptables_stages(hook, dumps, self.seen.cluster.readers, is_mixed=all(texts))

    def _of_kube_proxy(self, hook: str, family: int) -> Iterator[Stage]:
        seen = self.seen
        text = kube_proxy_tables(seen)[family]
        if not text:
            return
        table = seen.cluster.readers.texts.nft_table(text)
        chains = own_chains(family, table, self._chains)
        yield from stages_at(hook, table, chains, diverts=True)

    @property
    def unread(self) -> Iterator[str]:
        """What may drop packets here and was not read, as sentences."""
        seen = self.seen
        for label in self.firewall.unread_tables:
            if label.partition(" ")[0] not in LINK_FAMILIES:  # See `link_tables`.
                yield f"the rules of nftables table {label} on {seen.name} were not read"


def iptables_stages(
    hook: str, dumps: Mapping[str, IptablesDump], readers: ReaderCache, *, is_mixed: bool
) -> Iterator[Stage]:
    """The base chains of iptables' tables, by variant; `is_mixed` if several have rules."""
    translate = partial(steps_of, step_of=readers.step_of)
    for variant, dump in dumps.items():
        for name, priority in TABLES[hook].items():
            chain = dump.chain(name, hook.upper())
            if chain is None:
                continue
            chains = Chains(
                f"{variant} {name}",
                dump.tables[name].chains,
                translate,
                shared_text,
                readers.rules.chains,
                variant=f"{variant} {name}" if is_mixed else name,
            )
            yield Stage(
                hook.upper(),
                chains,
                chain.policy,
                priority=priority,
                refuses_rest=chain.policy == "DROP",
                translates=name == "nat",
            )

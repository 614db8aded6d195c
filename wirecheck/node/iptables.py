"""The iptables rules of one node, of both variants and families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import FactMissingError, SharedCauseError
from wirecheck.node.listing_doubts import legacy_doubt, listing_doubt
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.iptables import IptablesDump

TOOLS = {4: "iptables", 6: "ip6tables"}
NAT_HOOKS = ("PREROUTING", "OUTPUT", "POSTROUTING")


@dataclass(frozen=True)
class Iptables:
    """The output of iptables-save on a node; empty texts if there was no reason to run it.

    Raises FactMissingError if it failed.
    """

    seen: NodeSeen

    @cached_property
    def rules(self) -> Mapping[int, str]:
        """The rules of the nft variant by family, or of plain iptables if it has no variants."""
        return self.rules_in("raw", "mangle", "nat", "filter")

    def rules_in(self, *tables: str) -> Mapping[int, str]:
        """The same for what depends on these tables only: their listings have to be complete.

        Raises SharedCauseError if a listing cannot be what the kernel has.
        """
        return {family: self._listing(family, tables) for family in TOOLS}

    def _listing(self, family: int, tables: tuple[str, ...]) -> str:
        """A family that no pod of the node uses, and whose listing is wrong, counts as empty."""
        named, plain = f"{TOOLS[family]}-nft-save", f"{TOOLS[family]}-save"
        text = self.seen.output_if_asked(named)
        command = named if text or self.seen.was_run(named) else plain
        text = text or self.seen.output_if_asked(plain)
        if not (doubt := listing_doubt(self.seen, family, tables, command, text)):
            return text
        if self.seen.families_of_pods and family not in self.seen.families_of_pods:
            return ""
        raise SharedCauseError(doubt)

    @cached_property
    def legacy(self) -> Mapping[int, str]:
        """The rules of the legacy variant by family, which are in force beside the others.

        Raises SharedCauseError if a listing cannot be what the kernel has.
        """
        found = {}
        for family, tool in TOOLS.items():
            found[family] = self.seen.output_if_asked(f"{tool}-legacy-save")
            if doubt := legacy_doubt(self.seen, f"{tool}-legacy-save", found[family]):
                raise SharedCauseError(doubt)
        return found

    def dump(self, text: str) -> IptablesDump:
        """The tables in one of the texts; raises FactMissingError if it is malformed."""
        try:
            return self.seen.cluster.readers.texts.iptables(text)
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}") from error

    @property
    def families_with_two_service_rules(self) -> Iterator[int]:
        """Families whose Service rules are in both variants."""
        for family, text in self.legacy.items():
            if all("-A KUBE-SERVICES " in each for each in (text, self.rules[family])):
                yield family

    def service_hooks(self, family: int) -> list[str]:
        """The rules of base chains that jump to Service rules, each with its variant."""
        variants = {"legacy": self.legacy[family], "nft": self.rules[family]}
        return [
            f"{variant}: {rule}"
            for variant, text in variants.items()
            for rule in self._hooks_of(text)
            if rule.endswith("-j KUBE-SERVICES")
        ]

    def nat_hooks(self, family: int) -> Iterator[str]:
        """The rules of the base chains of table nat, which every new connection traverses first."""
        for text in (self.legacy[family], self.rules[family]):
            yield from self._hooks_of(text)

    def _hooks_of(self, text: str) -> Iterator[str]:
        dump = self.dump(text)
        for name in NAT_HOOKS:
            if chain := dump.chain("nat", name):
                yield from chain.rules

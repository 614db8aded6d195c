"""The iptables rules of one node, of both variants and families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import FactMissingError, SharedCauseError
from wirecheck.dataplane.kube_chains import is_kubernetes_rule
from wirecheck.node.listing_doubts import legacy_doubt, listing_doubt, lossy_version
from wirecheck.node.nftables import tables_of_iptables
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.iptables import IptablesDump
from wirecheck.parse.iptables_doubts import may_be_bare
from wirecheck.parse.restored_conditions import restored

TOOLS = {4: "iptables", 6: "ip6tables"}
OF_NFT = "nft: "
"""How evidence begins where both variants have rules."""
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
        """A family that nothing here uses, and whose listing is wrong, counts as empty."""
        command, text = self._printed(family)
        if not (doubt := listing_doubt(self.seen, family, tables, command, text)):
            return text
        used = self.seen.families_of_pods
        if used and "nat" in tables:
            used |= self.seen.cluster.families_of_services
        if used and family not in used:
            return ""
        raise SharedCauseError(doubt)

    def _printed(self, family: int) -> tuple[str, str]:
        """The command that listed the rules of a family, and its output, completed by nft's."""
        if family not in self._kept:
            self._kept[family] = self._read(family)
        return self._kept[family]

    @cached_property
    def _kept(self) -> dict[int, tuple[str, str]]:
        return {}

    def _read(self, family: int) -> tuple[str, str]:
        named, plain = f"{TOOLS[family]}-nft-save", f"{TOOLS[family]}-save"
        text = self.seen.output_if_asked(named)
        command = named if text or self.seen.was_run(named) else plain
        text = text or self.seen.output_if_asked(plain)
        if lossy_version(self.seen, family, command, text):
            tables = tables_of_iptables(self.seen, family)
            text = (tables and restored(str(text), tables)) or text
        return command, text

    @cached_property
    def _lossy(self) -> Mapping[int, str]:
        """The version of the tool by family, if it does not print all conditions."""
        return {
            family: lossy_version(self.seen, family, *self._printed(family)) for family in TOOLS
        }

    def may_lack_conditions(self, family: int, rules: Iterable[str]) -> str:
        """Why one of these rules may match less than is printed; empty if none does.

        The listing as a whole is used if it has the ports and marks of Kubernetes' rules. A newer
        version of iptables, in a container or statically linked, may have written other rules.
        """
        version = self._lossy[family]
        lines = (each.removeprefix(OF_NFT) for each in rules) if version else ()
        doubted = (each for each in lines if may_be_bare(each) and not is_kubernetes_rule(each))
        rule = next(doubted, "")
        if not rule:
            return ""
        return (
            f"iptables {version} does not print ports and marks that 1.8.8 or later wrote, and "
            f"`{rule}` may have one"
        )

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

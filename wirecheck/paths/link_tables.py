"""nftables tables that frames meet: of bridges, of single devices, and for ARP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.nftables.tables import NamedTable, chains_of, stages_at
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.node.nftables import LINK_FAMILIES, OTHER
from wirecheck.parse.errors import ParseError
from wirecheck.parse.nftables import NftChain
from wirecheck.snapshot.command import Command

UNKNOWN = "?"
BRIDGE, ARP, NETDEV = "bridge", "arp", "netdev"


@dataclass(frozen=True)
class LinkTables:
    """The tables of one netns, with the names of all tables that it has."""

    commands: Mapping[str, Command]
    names: tuple[str, ...]
    """`bridge guard`, `inet firewalld`."""
    where: str
    readers: ReaderCache

    def of_bridge(self, hook: str, family: int) -> tuple[Stage, ...]:
        """The base chains of a hook that frames with packets of a family meet in a bridge."""
        return self._stages(BRIDGE, hook, family)

    def of_arp(self, hook: str) -> tuple[Stage, ...]:
        """The base chains that ARP meets: `input` or `output`."""
        return self._stages(ARP, hook, 4)

    def of_device(self, hook: str, family: int, device: str) -> tuple[Stage, ...]:
        """The base chains of one device: `ingress` or `egress`."""
        return self._stages(NETDEV, hook, family, device)

    def of_some_device(self, hook: str, family: int) -> tuple[Stage, ...]:
        """Those whose device nft does not print, as before 1.0.8."""
        return self._stages(NETDEV, hook, family, UNKNOWN)

    def unread(self, *families: str) -> Iterator[str]:
        """The tables of these families that were not read, as sentences."""
        known = {each.label for each in self._tables}
        for label in self.names:
            if label.partition(" ")[0] in families and label not in known:
                yield f"the rules of nftables table {label} {self.where} were not read"

    def _stages(self, of: str, hook: str, family: int, device: str = "") -> tuple[Stage, ...]:
        found: list[Stage] = []
        for each in self._tables:
            if each.of != of or not each.has_hook(hook):
                continue
            own = each.of_device(device) if device else each
            chains = chains_of(own, family, self.readers.rules.chains)
            found += stages_at(hook, own.table, chains, diverts=False)
        return tuple(sorted(found, key=lambda stage: stage.priority))

    @cached_property
    def _tables(self) -> tuple[_LinkTable, ...]:
        found = []
        for identity, command in self.commands.items():
            kind, _, label = identity.partition(" ")
            family, _, name = label.partition(" ")
            is_listed = command.is_whole and "-t" not in command.argv
            if kind != OTHER or family not in LINK_FAMILIES or not is_listed:
                continue
            try:
                table = self.readers.texts.nft_other(command.output, has_elements=True)
            except ParseError:
                continue  # It counts as one that was not read.
            found.append(_LinkTable(family, name, table))
        return tuple(found)


@dataclass(frozen=True)
class _LinkTable(NamedTable):
    """A table with chains of single devices."""

    def has_hook(self, hook: str) -> bool:
        return any(each.hook == hook for each in self.table.chains.values())

    def of_device(self, device: str) -> _LinkTable:
        """The table with the base chains of one device only."""
        chains = {
            name: each
            for name, each in self.table.chains.items()
            if not each.hook or device in _devices_of(each)
        }
        return replace(self, table=replace(self.table, chains=chains))


def _devices_of(chain: NftChain) -> list[str]:
    names = [chain.dev] if isinstance(chain.dev, str) else chain.dev
    return [each for each in names if each] or [UNKNOWN]

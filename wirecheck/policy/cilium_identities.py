"""The identities by which Cilium knows addresses on one node.

The ipcache gives it for addresses that the node's pods send to, and of peers whose packets come
from outside or without a tunnel. A tunnel carries the identity that the peer has on its own node,
and pods of the node itself have that of their endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, network
from wirecheck.api_index.cilium_endpoints import PodAddress
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.seen import NodeSeen

WORLD = {4: 9, 6: 10}
"""The identity of addresses of which the ipcache has nothing, where both families are in use."""
WORLD_OF_ONE_FAMILY = 2
OF_RANGE = 1
"""The highest byte of identities of ranges that policies name."""
UNKNOWN = 0


@dataclass(frozen=True)
class CiliumIdentities:
    """Whose identity each address has on one node."""

    seen: NodeSeen
    addresses: CiliumAddresses

    def of(self, address: IPAddress) -> tuple[int, int]:
        """The identities with which an address sends, and by which the node knows it.

        The latter is that of the longest prefix. A pod that is just being created has none: then
        it is unknown.
        """
        text = str(address)
        if (found := self._known.get(text)) is None:
            found = self._known[text] = self._looked_up(address, text)
        return found

    @cached_property
    def _known(self) -> dict[str, tuple[int, int]]:
        return {}

    def _looked_up(self, address: IPAddress, text: str) -> tuple[int, int]:
        exact, pod = self.addresses.ipcache.addresses.get(text), self._pods.get(text)
        if exact is not None:
            known = exact.identity
        else:
            is_new = pod is not None and not pod.identity and self.addresses.wanted.identified
            known = UNKNOWN if is_new else self._of_range(address)
        if (own := self.addresses.endpoints.get(text)) is not None:
            return own.identity, known
        is_tunnelled = pod is not None and pod.identity and self.addresses.has_tunnel
        return (pod.identity if pod is not None and is_tunnelled else known), known

    @cached_property
    def _pods(self) -> Mapping[str, PodAddress]:
        return self.addresses.wanted.by_address

    def _of_range(self, address: IPAddress) -> int:
        version, width, number = address.version, address.max_prefixlen, int(address)
        for length, starts in self._ranges[version]:
            if (identity := starts.get(number >> (width - length))) is not None:
                return identity
        is_dual = len(self.seen.families_of_pods) > 1
        return WORLD[version] if is_dual else WORLD_OF_ONE_FAMILY

    @cached_property
    def _ranges(self) -> Mapping[int, Sequence[tuple[int, Mapping[int, int]]]]:
        """By family, from the longest prefix on: the identities by the bits of the prefix."""
        found: dict[int, dict[int, dict[int, int]]] = {4: {}, 6: {}}
        for (first, length), known in self.addresses.ipcache.ranges.items():
            range_ = network(f"{first}/{length}")
            bits = int(range_.network_address) >> (range_.max_prefixlen - length)
            found[range_.version].setdefault(length, {})[bits] = known.identity
        return {family: sorted(of.items(), reverse=True) for family, of in found.items()}


@dataclass(frozen=True)
class IdentitiesTold:
    """The identities of addresses of one family."""

    identities: CiliumIdentities
    family: int
    members: Sequence[IPAddress] = ()
    """Stale addresses of the ipcache are a finding of `ebpf.pod_identities`."""

    def of(self, address: IPAddress) -> tuple[int, int]:
        """The identities with which it sends and receives."""
        return self.identities.of(address)

    @cached_property
    def ranges(self) -> tuple[IPNetwork, ...]:
        """The ranges and addresses that have an identity of their own."""
        cache = self.identities.addresses.ipcache
        every = {f"{first}/{n}": each for (first, n), each in cache.ranges.items()}
        every.update(cache.addresses)
        named = (network(text) for text, each in every.items() if each.identity >> 24 == OF_RANGE)
        return tuple(each for each in named if each.version == self.family)

"""Packets by the ranges that have their addresses."""

from __future__ import annotations

import pytest

from wirecheck.addresses import address, network
from wirecheck.dataplane.rules.many_packets import Ends, ManyPackets
from wirecheck.dataplane.rules.set_members import Ranges

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "::a00:1")
PORTS = (("tcp", 80), ("udp", 53))


@pytest.mark.parametrize(
    ("included", "excluded"),
    [
        ((), ()),
        (("10.0.0.1/32", "fd00::1/128"), ()),
        (("10.0.0.1/32", "10.0.0.2/32"), ("10.0.0.2/32",)),
        (("10.0.0.0/24", "10.0.1.1/32"), ("10.0.0.2/32",)),
        (("0.0.0.0/1", "::/1"), ("10.0.0.0/23",)),
        (tuple(f"10.0.0.{n}/32" for n in range(1, 30)), ()),
    ],
)
@pytest.mark.parametrize("side", ["src", "dst"])
def test_ranges_have_the_packets_of_each_address(
    side: str, included: tuple[str, ...], excluded: tuple[str, ...]
) -> None:
    ends = [Ends(address(one), address(two)) for one in ADDRESSES for two in reversed(ADDRESSES)]
    packets = ManyPackets(ends, PORTS)
    ranges = Ranges(map(network, included), map(network, excluded))

    own = [each.source if side == "src" else each.destination for each in ends]
    wanted = sum(packets.of_end(at, 3) for at, each in enumerate(own) if ranges.has(each))
    assert packets.of_ranges(side, ranges) == wanted

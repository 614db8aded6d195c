"""Cilium's own dump of its maps is read into the same maps as its entries."""

import pytest

from testbed.commands import TestbedError
from testbed.referee.cilium_dump import differences, of_dump
from wirecheck.addresses import network
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Flags, MapBackend, MapFrontend, Place

WEB = Place(4, "10.96.0.20", "tcp", 80)
LINES = (
    "AFF: ID=2 BEID=1",
    "BE: ID=1 ADDR=10.244.1.2:8080/TCP STATE=active",
    "BE: ID=2 ADDR=[fd00:10:244::2]:8080/UDP STATE=terminating",
    "REV: ID=2 ADDR=10.96.0.20:80",
    "SRCRANGE: ID=2 CIDR=10.0.0.0/8",
    "SVC: ID=0 ADDR=10.96.0.20:0/ANY SLOT=0 LBALG=undef AFFTimeout=0 COUNT=0 QCOUNT=0 "
    "FLAGS=ClusterIP+non-routable",
    "SVC: ID=2 ADDR=10.96.0.20:80/TCP SLOT=0 LBALG=undef AFFTimeout=600 COUNT=1 QCOUNT=1 "
    "FLAGS=LoadBalancer+Local+two-scopes+sessionAffinity+check source-range+deny",
    "SVC: ID=2 ADDR=10.96.0.20:80/TCP SLOT=1 BEID=1 COUNT=0 QCOUNT=0 FLAGS=LoadBalancer",
    "SVC: ID=3 ADDR=[fd00::1]:53/UDP/i SLOT=0 LBALG=undef AFFTimeout=0 COUNT=0 QCOUNT=0 "
    "FLAGS=NodePort+InternalLocal+non-routable",
)


def test_every_kind_of_line_is_read() -> None:
    found = of_dump(LINES)
    flags = Flags.LOAD_BALANCER | Flags.EXTERNAL_LOCAL | Flags.TWO_SCOPES | Flags.AFFINITY
    flags |= Flags.SOURCE_RANGES | Flags.DENIES_RANGES | Flags.ROUTABLE
    assert found == CiliumMaps(
        frontends={
            Place(4, "10.96.0.20", "any", 0): MapFrontend(0, 0, 0, 0, Flags(0)),
            WEB: MapFrontend(600, 1, 1, 2, flags),
            Place(6, "fd00::1", "udp", 53, 1): MapFrontend(
                0, 0, 0, 3, Flags.NODE_PORT | Flags.INTERNAL_LOCAL
            ),
        },
        slots={WEB: {1: 1}},
        backends={
            (4, 1): MapBackend("10.244.1.2", 8080, "tcp", 0, 0),
            (6, 2): MapBackend("fd00:10:244::2", 8080, "udp", 1, 0),
        },
        reverse_nat={(4, 2): ("10.96.0.20", 80)},
        source_ranges={(4, 2): [network("10.0.0.0/8")]},
        affinity={(1, 2)},
        families={4, 6},
    )


def test_a_line_of_another_form_is_an_error() -> None:
    with pytest.raises(TestbedError, match="MAGLEV"):
        of_dump(["MAGLEV: ID=1 INNER=[1(3)]"])


def test_equal_maps_have_no_differences() -> None:
    assert differences(of_dump(LINES), of_dump(reversed(LINES))) == []


@pytest.mark.parametrize("left_out", range(len(LINES)))
def test_every_line_counts(left_out: int) -> None:
    others = [line for at, line in enumerate(LINES) if at != left_out]
    (found,) = differences(of_dump(LINES), of_dump(others))
    assert found

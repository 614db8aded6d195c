"""Payloads against the MTU of devices on the way."""

from __future__ import annotations

import pytest

from tests.paths.conftest import FAR_GATEWAY, NEAR_GATEWAY, WEB, complete, on
from tests.paths.test_dying import changed, host, pod
from wirecheck.inspect.trace_view import TraceView

ETH0, VETH = {"name": "eth0"}, {"name": "veth92562b85"}


def decided(view: TraceView) -> tuple[str, str]:
    hop = view.paths[0].decisive
    return view.result, hop.lines[-1] if hop and hop.lines else ""


@pytest.mark.parametrize("size", [1, 1300, 4000])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_the_sender_cuts_to_its_own_device_arrives(traced, size: int, protocol: str) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, size=size, protocol=protocol)

    assert view.result == "reaches"


@pytest.mark.parametrize(
    ("protocol", "size", "result"),
    [
        ("udp", 1100, ("reaches", "")),
        ("udp", 1300, ("dies", "veth92562b85 mtu 1200")),
        ("tcp", 1300, ("cannot be decided", "veth92562b85 mtu 1200")),
    ],
)
def test_an_end_of_a_pair_with_a_smaller_mtu(traced, protocol: str, size: int, result) -> None:
    small = on("wc-w2", host(changed("links", VETH, mtu=1200)))
    view = traced(WEB, NEAR_GATEWAY, complete, small, size=size, protocol=protocol)

    assert decided(view) == result


def test_a_forwarded_packet_that_does_not_fit_into_the_tunnel(traced) -> None:
    small = on("wc-w2", host(changed("links", {"name": "flannel.1"}, mtu=1280)))

    assert decided(traced(WEB, FAR_GATEWAY, complete, small, size=1300)) == (
        "dies",
        "flannel.1 mtu 1280",
    )
    assert traced(WEB, FAR_GATEWAY, complete, small, size=1200).result == "reaches"
    assert traced(WEB, FAR_GATEWAY, complete, small).result == "reaches"


def test_a_tunnel_whose_packets_exceed_the_uplink_sends_fragments(traced) -> None:
    small = on("wc-w2", host(changed("links", ETH0, mtu=1400)))
    view = traced(WEB, FAR_GATEWAY, complete, small, size=1390, protocol="udp")

    lines = [line for hop in view.paths[0].there.hops for line in hop.lines]
    assert "eth0 mtu 1400" in lines


def test_the_answer_has_the_same_size(traced) -> None:
    small = on("wc-w1", host(changed("links", {"name": "flannel.1"}, mtu=1280)))
    view = traced(WEB, FAR_GATEWAY, complete, small, size=1300, protocol="udp")

    assert decided(view) == ("dies", "flannel.1 mtu 1280")
    assert view.paths[0].there.result == "reaches"


def test_a_pod_with_a_small_mtu_sends_what_fits(traced) -> None:
    small = on("wc-w2", pod("10.244.2.8", changed("links", ETH0, mtu=1200)))

    assert traced(WEB, FAR_GATEWAY, complete, small, size=1300, one_way=True).result == "reaches"

"""Calico with a VXLAN, and with BGP."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster, link
from tests.network.building import (
    PODS,
    routes_to_pods,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, Fdb, Link, Neighbour, Route

BIRD, VXLAN_AGENT = 12, 80
"""Route protocols of Calico's BGP daemon and of its VXLAN agent."""

CHAINS = """
:cali-FORWARD - [0:0]
:cali-cidr-block - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-cali0d7763dns - [0:0]
:cali-fw-cali0d7763web - [0:0]
:cali-pri-kns.all - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-cali0d7763dns - [0:0]
:cali-tw-cali0d7763web - [0:0]
"""
FORWARD = """
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000
-A cali-FORWARD -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -i cali+ -m comment --comment "cali:8ZoYfO5HKXWbB3pk" -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ -m comment --comment "cali:jdEuaPBe14V2hutn" -j cali-to-wl-dispatch
-A cali-FORWARD -m comment --comment "cali:9CzV9RgXVHLkjFaL" -j cali-cidr-block
-A cali-pri-kns.all -m comment --comment "cali:WMSw8BmYOknRHfsz" -j MARK --set-xmark 0x10000/0x10000
-A cali-pri-kns.all -m mark --mark 0x10000/0x10000 -j RETURN
"""
ENDPOINT = """
-A cali-{way}-wl-dispatch {option} {device} -g cali-{short}-{device}
-A cali-{short}-{device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-{short}-{device} -m conntrack --ctstate INVALID -j DROP
-A cali-{short}-{device} -j MARK --set-xmark 0x0/0x30000
-A cali-{short}-{device} -j cali-pri-kns.all
-A cali-{short}-{device} -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-{short}-{device} -m comment --comment "Drop if no profiles matched" -j DROP
"""
UNKNOWN = """
-A cali-{way}-wl-dispatch -m comment --comment "Unknown interface" -j DROP
"""
RULES = FORWARD + "".join(
    "".join(
        ENDPOINT.format(way=way, option=option, short=short, device=f"cali0d7763{pod}")
        for pod in PODS.values()
    )
    + UNKNOWN.format(way=way)
    for way, option, short in (("from", "-i", "fw"), ("to", "-o", "tw"))
)
POD_ADDRESSES = ("192.168.74.2", "192.168.74.3")


def calico_vxlan(small: SmallCluster) -> None:
    """Blocks of a pool instead of podCIDRs, a /32 route for each pod, a VXLAN to the others."""
    run_agent(small, "calico-node")
    small.api["policyKinds"] = {"Calico NetworkPolicy": "read", "GlobalNetworkPolicy": "read"}
    set_pod_addresses(small, *POD_ADDRESSES)
    set_cni_configuration(
        small, "10-calico.conflist", ["calico", "bandwidth", "portmap"], ["calico-ipam"]
    )
    sides = set_up_pods(small, "cali0d7763", POD_ADDRESSES, length=32, gateway="169.254.1.1")
    tunnel = link(4, "vxlan.calico", "vxlan", mac="66:00:00:00:00:01", vxlan_local="192.0.2.1")
    set_up_host(
        small,
        [tunnel, *sides],
        [
            *routes_to_pods(POD_ADDRESSES),
            Route(4, "192.168.74.0/26", type="blackhole", protocol=VXLAN_AGENT),
            Route(
                4,
                "192.168.55.0/26",
                gateway="192.168.55.0",
                index=4,
                onlink=True,
                protocol=VXLAN_AGENT,
            ),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "192.168.74.0", 32)],
        neighbours=[Neighbour(4, "192.168.55.0", "66:00:00:00:00:02", "PERMANENT")],
        fdb=[Fdb(4, "66:00:00:00:00:02", "192.0.2.2", state="permanent")],
    )
    set_filter(small, CHAINS, RULES)


def calico_bgp(small: SmallCluster) -> None:
    """Without an overlay: the other nodes are the gateways, an idle tunl0 stands by."""
    calico_vxlan(small)
    sides = set_up_pods(small, "cali0d7763", POD_ADDRESSES, length=32, gateway="169.254.1.1")
    set_up_host(
        small,
        [Link(3, "tunl0", flags=["NOARP"], mtu=1480, kind="ipip"), *sides],
        [
            *routes_to_pods(POD_ADDRESSES),
            Route(4, "192.168.74.0/26", type="blackhole", protocol=BIRD),
            Route(4, "192.168.55.0/26", gateway="192.0.2.2", index=2, protocol=BIRD),
        ],
    )


CLUSTERS = {"Calico, VXLAN": calico_vxlan, "Calico, BGP": calico_bgp}

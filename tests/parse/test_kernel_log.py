"""Messages of the kernel, as kernels print them, and texts of users that look like them."""

from __future__ import annotations

import pytest

from wirecheck.collect.on_node import kernel
from wirecheck.parse.kernel_log import PATTERNS, pattern_of


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("nf_conntrack: nf_conntrack: table full, dropping packet", "conntrack table full"),
        ("nf_conntrack: table full, dropping packet", "conntrack table full"),
        ("nf_conntrack: table full in netns 4026532000, dropping packet", "conntrack table full"),
        ("ip_conntrack: table full, dropping packet.", "conntrack table full"),
        ("neighbour: arp_cache: neighbor table overflow!", "neighbour table overflow"),
        ("neighbour: ndisc_cache: neighbor table overflow!", "neighbour table overflow"),
        ("arp_cache: neighbor table overflow!", "neighbour table overflow"),
        ("Neighbour table overflow.", "neighbour table overflow"),
        (
            "IPv6: eth0: IPv6 duplicate address fe80::1 used by fa:16:3e:1a:31:80 detected!",
            "duplicate address",
        ),
        ("ICMPv6: eth0: IPv6 duplicate address fe80::1 detected!", "duplicate address"),
        (
            "cni0: received packet on veth1a2b with own address as source address (addr:0a:58)",
            "duplicate address",
        ),
        (
            "unregister_netdevice: waiting for lo to become free. Usage count = 1",
            "netns not freed",
        ),
        ("NETDEV WATCHDOG: eth0 (vmxnet3): transmit queue 1 timed out", "netdev watchdog"),
        ("NETDEV WATCHDOG: eth0 (): transmit queue 1 timed out 5012 ms", "netdev watchdog"),
        *(
            (
                f"{prefix}: NETDEV WATCHDOG: CPU: 1: transmit queue 4 timed out 5 ms",
                "netdev watchdog",
            )
            for prefix in (
                "r8169 0000:02:00.0 eth0 (unregistering)",
                "r8169 0000:02:00.0 eth0 (uninitialized)",
                "mtk_soc_eth 1e100000.ethernet wan",
                "fsl_dpaa2_eth dpni.0 eth1",
                "fec 30be0000.ethernet@0,1 eth0 (unregistered)",
                "r8152 1-1.2:1.0 eth1",
                "e1000e 0000:00:1f.6 (unnamed net_device) (uninitialized)",
                "tap0",
                "tap0 (released)",
            )
        ),
        ("NETDEV WATCHDOG: eth0 (unregistering): transmit queue 0 timed out", "netdev watchdog"),
        (
            "vmxnet3 0000:0b:00.0 ens192: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5 ms",
            "netdev watchdog",
        ),
        (
            "netdevice: tap0: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5012 ms",
            "netdev watchdog",
        ),
        (
            "Route cache is full: consider increasing sysctl net.ipv6.route.max_size.",
            "route cache full",
        ),
        ("IPv4: dst cache overflow", "route cache full"),
        (
            "TCP: request_sock_TCP: Possible SYN flooding on port 443. Sending cookies.",
            "syn flood",
        ),
        ("TCP: too many orphaned sockets", "out of memory"),
        ("TCP: out of memory -- consider tuning tcp_mem", "out of memory"),
        ("Out of socket memory", "out of memory"),
    ],
)
def test_what_the_kernel_prints_is_recognised(text: str, pattern: str) -> None:
    assert pattern_of(text) == pattern


@pytest.mark.parametrize(
    "text",
    [
        "UDP: bad checksum",
        "cni0: port 3(veth9f) entered blocking state",
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=coredns",
        # A process has a name of at most 15 characters, chosen by whoever starts it.
        "NETDEV WATCHDOG[4242]: segfault at 0 ip 0000 sp 0000 error 4 in app[400000+1000]",
        "traps: NETDEV WATCHDOG[4242] general protection fault ip:0 sp:0 error:0 in app",
        "table full[77]: segfault at 0 ip 0000 sp 0000 error 4",
        "nf_conntrack: t[77]: segfault at 0 ip 0000 sp 0000 error 4",
        "Possible SYN fl[77]: segfault at 0 ip 0000 sp 0000 error 4",
        "unregister_netd[77]: segfault at 0 ip 0000 sp 0000 error 4",
        "Memory cgroup out of memory: Killed process 9 (NETDEV WATCHDOG) total-vm:1kB",
        "Out of memory: Killed process 9 (out of socket m) total-vm:1kB",
        "process 'duplicate address' launched '/bin/sh' with NULL argv: empty string added",
        'audit: type=1400 audit(1.0:2): apparmor=DENIED comm="table full" name="NETDEV WATCHDOG"',
        "EXT4-fs error (device sda1): ext4_lookup:1690: inode #2: comm nf_conntrack: t: deleted",
        # An interface has a name without spaces and colons.
        "table-full: renamed from NETDEVWATCHDOG",
        "device duplicate-addr entered promiscuous mode",
        "usb 1-1: Product: NETDEV WATCHDOG: eth0 (x): transmit queue 1 timed out",
    ],
)
def test_what_a_user_names_is_no_message(text: str) -> None:
    assert pattern_of(text) == ""


def test_the_node_program_has_the_same_patterns() -> None:
    assert kernel.PATTERNS == PATTERNS

"""What checks look at: how it is measured on a node, what that costs, what is run and sent.

A check names its facts; `wirecheck explain`, `wirecheck list` and the check's page tell the
rest from here. Costs were measured on the test cluster, see docs/measured.md.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Measured(NamedTuple):
    """How one kind of fact is measured."""

    what: str
    """What is read, and how."""
    cost: str
    commands: tuple[str, ...] = ()
    """Of the closed table of node commands, by id."""
    sends: str = ""
    """What it sends into the network; nothing where it is empty."""


class Fact(Enum):
    """A kind of fact that a check rests on."""

    API = Measured(
        "the API's lists of Nodes, Pods, Services, EndpointSlices and NetworkPolicies",
        "one paged list each; nothing on the nodes",
    )
    VISIT = Measured(
        "the visit to the node itself: whether it answered, and who answered",
        "one command over the node's transport, for all checks together",
    )
    NETNS = Measured(
        "links, addresses, routes and neighbours of the node and of every pod's netns, by "
        "netlink after setns",
        "below one millisecond a pod",
    )
    PROCESSES = Measured(
        "/proc: which netns the processes of a pod's cgroup are in",
        "one pass over /proc",
    )
    POD_FILES = Measured(
        "/etc/resolv.conf inside each pod's root: a regular file of at most 64 KiB, no link "
        "followed out of the root",
        "one small file a pod",
    )
    DNS = Measured(
        "DNS queries from every pod's netns and from the node, all waited for together",
        "about as long as one lookup, within `dns.rate` queries a second over the cluster",
        sends="a UDP and a TCP query per pod and DNS Service address, and per node and replica; "
        "per node 40 single queries (from 100 nodes on fewer, at least 8), 4 pairs, and up to "
        "three more for each of at most 4 replicas",
    )
    CONTACTS = Measured(
        "TCP connections from the node and from one of its pods: to other nodes, to a pod of each, "
        "to the API server and to Services, and to ports of nodes; over those to DNS replicas go "
        "messages of 4 KiB, over those to health check ports `GET /healthz`",
        "a few milliseconds where all is well, at most two time limits where it is not",
        sends="at most 16 peers a node: one TCP connection each to kubelet and to a pod, closed at "
        "once; to at most 4 DNS replicas 17 padded DNS queries (68 KiB, answered by as much); to "
        "the API server's addresses one connection each, without TLS; at the node and at three "
        "others one each to at most 6 node ports, 2 health check ports and 4 host ports, and to a "
        "pod behind each",
    )
    HELPER_PODS = Measured(
        "messages of 4 KiB over TCP to a helper pod, made for the run on each node, that sends "
        "them back: from the node and from its own helper pod to those of other nodes, and from "
        "the node and one of its pods to that of the same node",
        "pods for the run start within seconds; else a few milliseconds where all is well, at "
        "most two time limits where it is not",
        sends="only with `--helper-pods`: to at most 16 peers a node and to its own helper pod "
        "68 KiB each from two sources, which come back; nothing else is asked of helper pods",
    )
    CONNTRACK = Measured(
        "conntrack's count in each netns, and its counters twice, a window apart",
        "two small files a netns; the window is at least two seconds",
    )
    CONNECTIONS = Measured(
        "the UDP entries of conntrack that lead to a DNS Service address",
        "one dump of the UDP entries to port 53",
        commands=("conntrack-dns", "conntrack-dns6"),
    )
    KERNEL_LOG = Measured("the kernel's log, only lines of known patterns", "one read of /dev/kmsg")
    SYSCTLS = Measured("files below /proc/sys and /proc/net", "one small file each")
    SERVICE_RULES = Measured(
        "kube-proxy's rules: iptables-save, kube-proxy's own nftables tables, or "
        "/proc/net/ip_vs with ipset and iptables-save",
        "one dump: 0.01 s at 25 Services, about a second at 10,000, a minute beside a "
        "kube-proxy that writes all the time",
        commands=(
            "iptables-nft-save",
            "ip6tables-nft-save",
            "iptables-legacy-save",
            "ip6tables-legacy-save",
            "iptables-version",
            "iptables-save",
            "ip6tables-save",
            "nft-kube-proxy",
            "nft-kube-proxy6",
            "ipset-save",
            "ipvsadm-save",
        ),
    )
    KUBELET = Measured(
        "the kubelet's flags and configuration: of both only what it tells pods of DNS",
        "one small file",
    )
    CNI_FILES = Measured(
        "names in /etc/cni/net.d, /opt/cni/bin and /var/lib/cni/networks; of configurations only "
        "types and names, of tokens only when they end",
        "one listing each",
    )
    BOOT_SETTINGS = Measured(
        "files in sysctl.d, in the order in which systemd applies them: only lines about "
        "forwarding, bridges, rp_filter and conntrack",
        "some small files",
    )
    DEVICE_MANAGERS = Measured(
        "whether NetworkManager, systemd-networkd and systemd-udevd run, and of their files only "
        "what they say of devices and rules of other programs",
        "one pass over /proc, some small files of at most 64 KiB",
    )
    TRAFFIC = Measured(
        "counters of lost packets, of the CPUs' queues and of interfaces that have an address, "
        "twice, a window apart",
        "two small files, twice",
    )
    NEW_CONNECTIONS = Measured(
        "the kernel's notices of new entries of conntrack, heard for the rest of the window",
        "one netlink socket for two seconds at most, and 50,000 notices",
    )
    KUBE_PROXY = Measured(
        "kube-proxy's /healthz, /proxyMode, /configz and /metrics on the node's loopback",
        "five requests that stay on the node",
    )

    @property
    def measured(self) -> Measured:
        """How it is measured."""
        return self.value

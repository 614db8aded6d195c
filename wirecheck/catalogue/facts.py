"""Facts: what checks need to know, how it is measured, what it costs, what is run and sent.

A check lists its facts. `wirecheck explain`, `wirecheck list` and the page of the check get the
rest from here. The costs were measured on the test cluster, see docs/measured.md.
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
    """IDs of commands in the closed table of node commands."""
    stages: tuple[str, ...] = ()
    """The stages of the node program that read it, by name; none if no node is asked for it."""
    sends: str = ""
    """What it sends into the network; empty if it sends nothing."""


class Fact(Enum):
    """A kind of fact that checks are based on."""

    API = Measured(
        "the API's lists of Nodes, Pods, Services, EndpointSlices, DaemonSets and NetworkPolicies",
        "one paged list each; nothing on the nodes",
    )
    VISIT = Measured(
        "the visit to the node itself: whether it answered, and which host answered",
        "one command over the node's transport, for all checks together",
    )
    NETNS = Measured(
        "links, addresses, routes and neighbours of the node and of every pod's network "
        "namespace, over netlink after setns",
        "less than a millisecond per pod",
        stages=("Network namespaces",),
    )
    PROCESSES = Measured(
        "/proc: the network namespaces of the processes in each pod's cgroup",
        "one pass over /proc",
        stages=("Network namespaces", "Pods"),
    )
    DEVICE_PROGRAMS = Measured(
        "programs and filters attached to interfaces of the node and of pods: tc over netlink, "
        "XDP, tcx and netkit with the system call bpf, which only queries",
        "some milliseconds, and less than a millisecond per pod; at most 2,000 programs each",
        stages=("Programs of interfaces",),
    )
    PATH_SETTINGS = Measured(
        "IPsec policies of the node and of pods over netlink, where xfrm_user is loaded already, "
        "the sysctls of pods' interfaces that decide whether these take a packet, and the rules of "
        "packet filters inside pods that have any",
        "less than a millisecond per pod, at most 2,000 policies and 200 sysctls each; a process "
        "per listing in at most 24 pods with rules, at most 256 KiB each and 4 s in total",
        stages=("Settings of paths", "Rules in pods"),
    )
    LISTENERS = Measured(
        "the listening TCP sockets of the node and of each pod's network namespace, over netlink "
        "(sock_diag) or from /proc/PID/net/tcp and tcp6, and the names of packet filter tables in "
        "pods' network namespaces",
        "about a millisecond per pod; at most 1,000 sockets and 20 tables each",
        stages=("Listening sockets",),
    )
    POD_FILES = Measured(
        "/etc/resolv.conf in each pod's root file system: a regular file of at most 64 KiB, "
        "without following links out of the root",
        "one small file per pod",
        stages=("Pods",),
    )
    DNS = Measured(
        "DNS queries from every pod's network namespace and from the node, sent in parallel",
        "about as long as one lookup, within `dns.rate` queries per second over the cluster",
        sends="a UDP and a TCP query per pod and DNS Service address, and per node and replica; "
        "per node 40 single queries (fewer from 100 nodes on, at least 8), 100 from its pods (64 "
        "from 100 nodes on), 4 pairs, and up to three more to each of at most 4 replicas; two to "
        "each server that the kubelet gives to pods, and from up to 16 pods to their own server",
        stages=("DNS", "Redirects in pods"),
    )
    CONTACTS = Measured(
        "TCP connections from the node and from one of its pods: to other nodes, to a pod on each, "
        "to the API server and to Services, and to ports of nodes; messages of 4 KiB over those to "
        "DNS replicas, and `GET /healthz` over those to health check ports",
        "a few milliseconds if all succeed, otherwise at most two time limits",
        sends="for at most 16 peers per node one TCP connection each to the kubelet and to a pod, "
        "closed at once; 17 padded DNS queries (68 KiB, with a response of the same size) to at "
        "most 4 DNS replicas; one connection without TLS to each address of the API server; to the "
        "node and three others one connection each to at most 6 node ports, 2 health check ports "
        "and 4 host ports, and to a pod behind each; one connection each to at most 8 endpoints on "
        "the node at whose port nothing listens",
        stages=("Contacts",),
    )
    HELPER_PODS = Measured(
        "messages of 4 KiB over TCP to a helper pod, created for the run on each node, which "
        "returns them: from the node and from its helper pod to the helper pods of other nodes, "
        "and from the node and one of its pods to the helper pod of the same node",
        "helper pods start within seconds; the messages take a few milliseconds if all succeed, "
        "otherwise at most two time limits",
        sends="only with `--helper-pods`: 68 KiB from two sources to at most 16 peers per node and "
        "to its own helper pod, which returns them; helper pods do nothing else",
        stages=("Contacts",),
    )
    CONNTRACK = Measured(
        "the number of conntrack entries in each network namespace, and conntrack's counters twice "
        "within a measurement window",
        "two small files per network namespace; the window is at least two seconds",
        stages=("Conntrack counters", "Network namespaces"),
    )
    CONNECTIONS = Measured(
        "the UDP entries of conntrack for a DNS Service address, and those that are translated to "
        "another destination, at most eight for each backend",
        "one dump of the UDP entries: about a second for 300,000; at most 16 MB are kept",
        commands=("conntrack-dns", "conntrack-dns6"),
        stages=("Connections",),
    )
    KERNEL_LOG = Measured(
        "the kernel log: its own messages that begin as known, and when the log begins",
        "two reads of /dev/kmsg, the second of the first record only",
        stages=("Kernel log",),
    )
    SYSCTLS = Measured(
        "files below /proc/sys and /proc/net",
        "one small file each",
        stages=("Sysctls",),
    )
    SERVICE_RULES = Measured(
        "kube-proxy's rules: iptables-save, kube-proxy's own nftables tables, or "
        "/proc/net/ip_vs with ipset and iptables-save; ipsets of other programs; nftables tables "
        "of host ports and of other programs; over netlink the names of nftables tables, and of "
        "base chains and sets in the tables of iptables",
        "one dump: 0.01 s with 25 Services, about a second with 10,000, up to a minute while "
        "kube-proxy writes rules all the time; the names take 0.4 s with 30,000 chains",
        commands=(
            "iptables-nft-save",
            "ip6tables-nft-save",
            "iptables-legacy-save",
            "ip6tables-legacy-save",
            "iptables-version",
            "iptables-save",
            "ip6tables-save",
            "nft-version",
            "nft-kube-proxy",
            "nft-kube-proxy6",
            "nft-portmap",
            "nft-portmap6",
            "nft-crio",
            "nft-crio6",
            "nft-table",
            "nft-table-terse",
            "ipset-save",
            "ipvsadm-save",
        ),
        stages=("Rules", "Blocks of rules"),
    )
    EBPF_MAPS = Measured(
        "Cilium's eBPF maps with Services, backends, reverse NAT, session affinity and source "
        "ranges, the ipcache, the endpoints of the node and what their policies allow, and the "
        "numbers of entries in its other maps: opened by their pins in /sys/fs/bpf, read-only, "
        "with the system call bpf; the programs on the node's cgroup; whether the policies of an "
        "endpoint are only audited, from its folder in /run/cilium/state",
        "0.1 s for 50,000 entries; at most 40 MiB and five seconds",
        stages=("eBPF maps",),
    )
    KUBELET = Measured(
        "the kubelet's flags and configuration, only its DNS settings",
        "one small file",
        stages=("kubelet",),
    )
    CNI_FILES = Measured(
        "the folders that the container runtime's configuration names for CNI; file names in "
        "them and in host-local's folder; only types, names and paths of CNI configurations, and "
        "only the expiry of tokens",
        "one pass over /proc, some small files, one listing of each folder",
        stages=("CNI files",),
    )
    BOOT_SETTINGS = Measured(
        "files in sysctl.d, in the order in which systemd applies them: only lines about "
        "forwarding, bridges, rp_filter and conntrack",
        "some small files",
        stages=("Settings at the next boot",),
    )
    DEVICE_MANAGERS = Measured(
        "whether NetworkManager, systemd-networkd and systemd-udevd run, and what their files "
        "specify for devices and rules of other programs",
        "one pass over /proc, some small files of at most 64 KiB",
        stages=("Device managers",),
    )
    TRAFFIC = Measured(
        "counters of dropped packets, of the CPUs' queues and of interfaces with an address, twice "
        "within a measurement window",
        "two small files, twice",
        stages=("Traffic",),
    )
    NEW_CONNECTIONS = Measured(
        "the kernel's notifications of new conntrack entries, for the rest of the window",
        "one netlink socket for at most two seconds and 50,000 notifications",
        stages=("New connections",),
    )
    KUBE_PROXY = Measured(
        "kube-proxy's /healthz, /proxyMode, /configz and /metrics on the node's loopback",
        "five requests that do not leave the node",
        stages=("kube-proxy",),
    )

    AGENTS = Measured(
        "the health endpoints of Cilium's, Calico's and kube-router's agents on the node's "
        "loopback: status, and 1,000 characters of the response",
        "at most three requests that do not leave the node, only where something listens, of at "
        "most three seconds each",
        stages=("Agents of CNI plugins",),
    )

    @property
    def measured(self) -> Measured:
        """Return how it is measured."""
        return self.value

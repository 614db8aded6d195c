"""One node in one look: its part of the API beside what was seen on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, network
from wirecheck.catalogue import Threshold
from wirecheck.findings import FactMissingError, NotApplicable, Ref
from wirecheck.model import conntrack
from wirecheck.model.cluster import OWN_DATAPATH, OWN_POOLS, Cluster
from wirecheck.model.lookup import Lookup
from wirecheck.model.netns import Netns
from wirecheck.model.pod import Pod
from wirecheck.model.resolver import Resolver
from wirecheck.model.veth import Orphan, Veth, orphans
from wirecheck.parse.conntrack import parse_connections
from wirecheck.parse.errors import ParseError
from wirecheck.parse.kube_proxy_config import conntrack_limit
from wirecheck.parse.resolv_conf import parse_resolv_conf
from wirecheck.snapshot.api_objects import NodeObject
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import Command, ConntrackSample, NodeDocument, PodProcesses

ABSENT = "absent"
BRIDGE_SYSCTLS = {
    4: "net.bridge.bridge-nf-call-iptables",
    6: "net.bridge.bridge-nf-call-ip6tables",
}
FORWARDING_SYSCTLS = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(frozen=True)
class Node:
    """A node of the API; `document` is None where it was not visited.

    Facts of a node that was not visited, or that it could not read, raise FactMissingError
    with the reason: a check that needs them is an error, never a pass.
    """

    cluster: Cluster
    object: NodeObject
    visit: VisitRecord
    document: NodeDocument | None

    # What the API says.

    @property
    def name(self) -> str:
        return self.object.metadata.name

    @property
    def ref(self) -> Ref:
        return Ref("Node", self.name, uid=self.object.metadata.uid)

    def part(self, part: str) -> Ref:
        """The name of something on this node."""
        return replace(self.ref, part=part)

    def threshold(self, threshold: Threshold) -> float:
        """The inventory's number, or the default."""
        return self.cluster.threshold(threshold)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that the API places on this node."""
        return self.cluster.pods_by_node.get(self.name, ())

    @cached_property
    def pod_ranges(self) -> tuple[IPNetwork, ...]:
        spec = self.object.spec
        return tuple(map(network, dict.fromkeys(filter(None, [spec.pod_cidr, *spec.pod_cidrs]))))

    @property
    def gives_addresses_from_its_range(self) -> bool:
        """Whether pods' addresses come from spec.podCIDRs: some CNI plugins have own pools."""
        return bool(self.pod_ranges) and self.cluster.cni not in OWN_POOLS

    @property
    def attaches_pods_elsewhere(self) -> bool:
        return self.cluster.cni in OWN_DATAPATH

    @property
    def is_being_removed(self) -> bool:
        doomed = {"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"}
        return bool(self.object.metadata.deletion_timestamp) or any(
            taint.key in doomed for taint in self.object.spec.taints
        )

    @property
    def is_ready(self) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in self.object.status.conditions)

    @property
    def why_not_ready(self) -> str:
        for each in self.object.status.conditions:
            if each.type == "Ready":
                return f"Ready is {each.status} ({each.reason}) since {each.last_transition_time}"
        return "no Ready condition: kubelet has never reported"

    # What was seen on it.

    @cached_property
    def seen(self) -> NodeDocument:
        """The document of the visit; raises where there is none."""
        if self.document is not None:
            return self.document
        if self.visit.status in ("no way", "gone"):
            raise NotApplicable(self.visit.reason)
        raise FactMissingError(self.visit.reason)

    @cached_property
    def host(self) -> Netns:
        """The node's own netns."""
        return Netns(self.seen.namespaces[0])

    @cached_property
    def _netns_by_inode(self) -> Mapping[int, Netns]:
        return {each.inode: Netns(each) for each in self.seen.namespaces}

    @cached_property
    def _processes_by_uid(self) -> Mapping[str, PodProcesses]:
        return {each.uid: each for each in self.seen.pods}

    def netns_of(self, pod: Pod) -> Netns | None:
        """The pod's netns, or None where its processes have none of their own."""
        processes = self._processes_by_uid.get(pod.cgroup_uid)
        if processes is None or processes.inode == self.host.inode:
            return None
        return self._netns_by_inode.get(processes.inode)

    def why_no_netns(self, pod: Pod) -> str:
        processes = self._processes_by_uid.get(pod.cgroup_uid)
        if processes is None:
            return f"no process on {self.name} belongs to it"
        if processes.inode == self.host.inode:
            return "its processes are in the node's own netns"
        return f"its netns {processes.inode} could not be looked at"

    @property
    def wired_pods(self) -> Iterator[tuple[Pod, Netns]]:
        """Pods that have a netns which could be read.

        Raises FactMissingError, after all others, if some could not and are not just going.
        """
        unread = []
        for pod in self.pods:
            netns = self.netns_of(pod) if pod.has_own_netns else None
            if netns is None:
                continue
            if not netns.record.error:
                yield pod, netns
            elif pod.ref.object_key not in self.cluster.changed:
                unread.append(f"{pod.namespace}/{pod.name}: {netns.record.error}")
        if unread:
            raise FactMissingError(
                f"The netns of {len(unread)} pods could not be read; {unread[0]}"
            )

    @property
    def veths(self) -> Iterator[Veth]:
        """The pair of each wired pod that is wired with one."""
        for pod, netns in self.wired_pods:
            inner = netns.primary
            if inner is not None and inner.is_paired:
                outer = self.host.by_index.get(inner.link.peer_index or 0)
                yield Veth(
                    pod, netns, inner, outer if outer and outer.is_paired else None, self.host
                )

    @cached_property
    def orphaned_veths(self) -> tuple[Orphan, ...]:
        live = frozenset(
            each.nsid
            for each in self.seen.namespaces[1:]
            if each.processes and each.nsid is not None
        )
        return tuple(orphans(self.name, self.host, live))

    @property
    def resolvers(self) -> Iterator[tuple[Pod, Resolver]]:
        """Each pod's resolv.conf. Raises, after all others, for those that were not read."""
        refused = []
        dns = self.cluster.dns
        for pod in self.pods:
            processes = self._processes_by_uid.get(pod.cgroup_uid)
            if not pod.is_running or processes is None:
                continue
            file = processes.resolv_conf
            if not file.refused:
                conf = parse_resolv_conf(file.text)
                yield pod, Resolver(pod, conf, dns.domain, dns.service_addresses)
            elif pod.ref.object_key not in self.cluster.changed:
                refused.append(f"{pod.namespace}/{pod.name}: {file.refused}")
        if refused:
            raise FactMissingError(
                f"/etc/resolv.conf of {len(refused)} pods was not read; {refused[0]}"
            )

    # DNS.

    @cached_property
    def _lookups_by_netns(self) -> Mapping[int, tuple[Lookup, ...]]:
        lookups: dict[int, list[Lookup]] = {}
        for probe in self.seen.probes:
            question = self.cluster.index.queries.get(probe.query)
            if question is None:
                raise FactMissingError(
                    f"The snapshot does not say what query {probe.query!r} asked."
                )
            lookup = Lookup(question, probe, self.cluster.names.expected(question))
            lookups.setdefault(probe.inode, []).append(lookup)
        return {inode: tuple(each) for inode, each in lookups.items()}

    def pod_lookups(self, transport: str) -> Iterator[tuple[Pod, Lookup]]:
        """What each pod's netns was answered at the DNS Service addresses."""
        silent = []
        for pod, netns in self.wired_pods:
            lookups = [
                each
                for each in self._lookups_by_netns.get(netns.inode, ())
                if each.transport == transport
            ]
            if not lookups:
                silent.append(f"{pod.namespace}/{pod.name}")
            for lookup in lookups:
                yield pod, lookup
        if silent:
            raise FactMissingError(
                f"Nothing was asked from {len(silent)} pods, such as {silent[0]}."
            )

    @property
    def service_lookups(self) -> Iterator[Lookup]:
        """What the node itself was answered at the DNS Service addresses."""
        yield from self._host_lookups(self.cluster.dns.service_addresses)

    @property
    def replica_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each DNS replica answered the node about the API server's name."""
        for replica, lookup in self._lookups_at_replicas():
            if lookup.is_of(self.cluster.dns.probe_name):
                yield replica, lookup

    @property
    def name_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each DNS replica answered the node about other names."""
        for replica, lookup in self._lookups_at_replicas():
            if not lookup.is_of(self.cluster.dns.probe_name):
                yield replica, lookup

    def _lookups_at_replicas(self) -> Iterator[tuple[Pod, Lookup]]:
        for replica in self.cluster.dns.replicas:
            for lookup in self._host_lookups(replica.addresses):
                yield replica, lookup

    def _host_lookups(self, servers: frozenset[IPAddress]) -> Iterator[Lookup]:
        for lookup in self._lookups_by_netns.get(self.host.inode, ()):
            if lookup.server in servers:
                yield lookup

    # The kernel.

    def sysctl(self, name: str) -> str:
        """The value in force, or `absent` where this kernel has no such setting."""
        return self.seen.files.get(f"/proc/sys/{name.replace('.', '/')}", ABSENT).strip()

    def number(self, name: str) -> int:
        """A sysctl that is a number; raises FactMissingError where it is none."""
        value = self.sysctl(name)
        if not value.isdigit():
            raise FactMissingError(f"{name} on {self.name} is {value}, not a number.")
        return int(value)

    @cached_property
    def _families(self) -> frozenset[int]:
        return frozenset(
            each.version for pod in self.pods if not pod.on_host_network for each in pod.addresses
        )

    @property
    def forwarding_sysctls(self) -> list[str]:
        return [FORWARDING_SYSCTLS[family] for family in sorted(self._families)]

    @property
    def bridge_sysctls(self) -> list[str]:
        return [BRIDGE_SYSCTLS[family] for family in sorted(self._families)]

    @property
    def has_pods_on_a_bridge(self) -> bool:
        return any(veth.outer and veth.outer.link.master is not None for veth in self.veths)

    # Conntrack.

    @property
    def conntrack_limit(self) -> int:
        return self.number("net.netfilter.nf_conntrack_max")

    @property
    def proxy_conntrack_limit(self) -> int | None:
        """What kube-proxy sets as the limit; None where it is told to leave it alone.

        Raises NotApplicable where nothing tells how kube-proxy is configured.
        """
        config = self.cluster.proxy_config
        if config is None:
            raise NotApplicable("kube-system has no ConfigMap kube-proxy that tells its limit")
        return conntrack_limit(config, self.seen.host.cpus)

    @property
    def conntrack_tables(self) -> Iterator[conntrack.Table]:
        """The node's own entries and those of each pod's netns."""
        limit = self.conntrack_limit
        own = self.number("net.netfilter.nf_conntrack_count")
        yield conntrack.Table(self.part("conntrack"), own, limit)
        for pod, netns in self.wired_pods:
            if (count := netns.record.conntrack_count) is not None:
                yield conntrack.Table(replace(pod.ref, part="conntrack"), count, limit)

    @property
    def conntrack_window(self) -> float:
        """Seconds between the two samples of the counters."""
        first, last = self._conntrack_samples
        return last.time - first.time

    @property
    def conntrack_losses(self) -> dict[str, int]:
        """How much each counter of losses grew between the two samples."""
        first, last = self._conntrack_samples
        return {
            counter: last.counters[counter] - first.counters[counter]
            for counter in conntrack.LOSS_COUNTERS
            if counter in first.counters and counter in last.counters
        }

    @property
    def _conntrack_samples(self) -> tuple[ConntrackSample, ConntrackSample]:
        if len(self.seen.conntrack) < 2:
            raise FactMissingError(f"The conntrack counters of {self.name} were not read twice.")
        return self.seen.conntrack[0], self.seen.conntrack[-1]

    @property
    def table_full_events(self) -> Iterator[conntrack.TableFull]:
        """Lines about a full table in the kernel log, one event for each pattern."""
        lines = [line for line in self.seen.kernel_log if "table full" in line.text]
        if lines:
            last = max(lines, key=lambda line: line.time)
            yield conntrack.TableFull(
                pattern=last.pattern,
                when=datetime.fromtimestamp(last.time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
                age_minutes=(self.seen.finished - last.time) / 60,
                times=len(lines),
                text=last.text,
            )

    @property
    def dns_connections(self) -> Iterator[conntrack.DnsConnection]:
        """UDP entries towards the DNS Service addresses, in the node's netns."""
        wanted = self.cluster.dns.service_addresses
        try:
            for each in parse_connections(self.output_of("conntrack-dns")):
                if each.original.destination in wanted and each.original.destination_port == 53:
                    yield conntrack.DnsConnection(each)
        except ParseError as error:
            raise FactMissingError(f"{self.name}: {error}") from error

    def output_of(self, command: str) -> str:
        """What a command of the table printed; raises where it did not run to a good end."""
        record = self.seen.commands.get(command)
        if record is None:
            raise FactMissingError(f"{command} was not run on {self.name}.")
        if reason := _failure(record):
            raise FactMissingError(f"{' '.join(record.argv)} on {self.name}: {reason}.")
        return record.output


def _failure(record: Command) -> str:
    if record.problem:
        return record.problem
    if record.status != 0:
        return f"exit status {record.status}: {record.stderr.strip()[:200]}"
    return ""

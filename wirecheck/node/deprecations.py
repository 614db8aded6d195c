"""What the next version of Kubernetes, of the kernel or of the OS takes away from one node.

Each change names the first version that it affects, and where it was announced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.host_ports import host_ports
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.dataplane.proxy import Mode, minor_version
from wirecheck.node.conntrack import Conntrack
from wirecheck.node.iptables import TOOLS, Iptables
from wirecheck.node.kube_proxy import KubeProxy
from wirecheck.node.seen import NodeSeen
from wirecheck.node.service_proxy import ServiceProxy
from wirecheck.text import listed, plural

KEPS = "https://github.com/kubernetes/enhancements/issues"
RULE = re.compile(r"^-A .*$", re.MULTILINE)
LEAST_KERNEL = (5, 13)
LEAST_NFT = (1, 0, 1)
CRASHING_NFT, FIXED_PROXY = (1, 1, 3), 37
LOCALHOST = re.compile(
    r"^kubeproxy_iptables_localhost_nodeports_accepted_packets_total(?:\{[^}]*\})? ([0-9.e+]+)$",
    re.MULTILINE,
)
HOST_PORTS = re.compile(r"^-A (?:CNI-DN-\S+|KUBE-HP-\S+) .*-j DNAT .*$", re.MULTILINE)
CALICO = re.compile(r"^-A cali-\S+ .*$", re.MULTILINE)
ENTERPRISE_LINUX_10 = re.compile(
    r"(?:Red Hat Enterprise|CentOS Stream|Rocky|AlmaLinux|Oracle)\b.{0,40}? 1\d(?:\.\d+)?\b"
)
TOP = 5


@dataclass(frozen=True, slots=True)
class Announced:
    """A change of a future version: `first` as text, `minor` for a version of Kubernetes."""

    first: str
    source: str
    minor: int = 0


NFTABLES_DEFAULT = Announced("Kubernetes 1.40", f"{KEPS}/5343", 40)
IPVS_OFF = Announced("Kubernetes 1.40", f"{KEPS}/5495", 40)
IPVS_REMOVED = Announced("Kubernetes 1.43", f"{KEPS}/5495", 43)
NFTABLES_NEEDS = Announced(
    "Kubernetes 1.40", "https://kubernetes.io/docs/reference/networking/virtual-ips/", 40
)
NODE_PORTS = Announced(
    "Kubernetes 1.40", "https://kubernetes.io/blog/2025/02/28/nftables-kube-proxy/", 40
)
CALICO_MODE = Announced(
    "Kubernetes 1.40", "https://github.com/kubernetes-sigs/kubespray/issues/12198", 40
)
NFT_CRASH = Announced("nftables 1.1.3", "https://github.com/kubernetes/kubernetes/issues/136786")
IPTABLES_REMOVED = Announced(
    "Red Hat Enterprise Linux 10", "https://github.com/kubernetes/kops/pull/18179"
)


@dataclass(frozen=True)
class Deprecation:
    """Something that works today and that an announced change takes away."""

    ref: Ref
    change: Announced
    expected: str
    found: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deprecations:
    """What announced changes take away. Each property raises NotApplicable where none applies."""

    seen: NodeSeen
    service_proxy: ServiceProxy
    iptables: Iptables
    conntrack: Conntrack

    @property
    def default_mode(self) -> Iterator[Deprecation]:
        """kube-proxy without a configured mode."""
        self._require_before(NFTABLES_DEFAULT)
        if not self._configured_mode:
            yield self._of(
                "kube-proxy mode",
                NFTABLES_DEFAULT,
                "a mode in kube-proxy's configuration: the default changes to nftables",
                f"no mode is set; it runs in {self._proxy.mode} mode",
            )

    @property
    def ipvs_mode(self) -> Iterator[Deprecation]:
        """kube-proxy in IPVS mode."""
        change = IPVS_REMOVED if self._minor >= IPVS_OFF.minor else IPVS_OFF
        self._require_before(change)
        if self._proxy.facts.mode is Mode.IPVS:
            yield self._of(
                "kube-proxy mode",
                change,
                "iptables or nftables mode: IPVS mode is off by default from Kubernetes 1.40, "
                "where kube-proxy does not start with it, and removed in 1.43",
                "ipvs",
            )

    @property
    def kernel(self) -> Iterator[Deprecation]:
        """A kernel with which kube-proxy refuses nftables mode."""
        self._require_move_to_nftables(NFTABLES_NEEDS)
        release = self.seen.facts.host.kernel
        if not release:
            raise NotApplicable("the kernel's version was not read on this node")
        version = numbers(release)
        if len(version) < 2:
            raise FactMissingError(f"The kernel's version on {self.seen.name} is unrecognised.")
        if version[:2] < LEAST_KERNEL:
            yield self._of(
                "kernel", NFTABLES_NEEDS, "at least 5.13, as nftables mode requires", release
            )

    @property
    def nft(self) -> Iterator[Deprecation]:
        """An nft on the node that crashes at kube-proxy's rules, or whose rules crash its nft."""
        text = self._nft_version
        version = numbers(text.partition(" v")[2])
        if not version:
            raise FactMissingError(f"`nft --version` on {self.seen.name} is unrecognised: {text}")
        if version < LEAST_NFT:
            self._require_move_to_nftables(NFTABLES_NEEDS)
            expected = "at least 1.0.1: older ones crash when they list kube-proxy's tables"
            yield self._of("nft", NFTABLES_NEEDS, expected, text)
        elif version >= CRASHING_NFT and self._is_nftables and self._minor < FIXED_PROXY:
            expected = (
                "kube-proxy 1.37 or later beside nft 1.1.3 or later, whose sets can crash the nft "
                "in older images"
            )
            yield self._of("nft", NFT_CRASH, expected, f"{text}, kube-proxy {self._proxy.version}")

    @property
    def legacy_iptables(self) -> Iterator[Deprecation]:
        """Rules that need the kernel's legacy iptables, which is going away."""
        for family, tool in TOOLS.items():
            if rules := RULE.findall(self._legacy_rules(family)):
                yield self._of(
                    f"{tool}-legacy",
                    IPTABLES_REMOVED,
                    "no legacy rules: newer systems have no kernel modules for them",
                    plural(len(rules), "rule"),
                    tuple(rules[:TOP]),
                )
        system = self.seen.facts.host.os
        if ENTERPRISE_LINUX_10.search(system) and self._uses_iptables:
            yield self._of(
                "kube-proxy mode",
                IPTABLES_REMOVED,
                "nftables mode: this system has no legacy iptables, and its images lack "
                "modules that iptables-nft needs",
                f"{self._proxy.mode} mode on {system}",
            )

    @property
    def node_ports(self) -> Iterator[Deprecation]:
        """Node ports that clients use where nftables mode does not open them."""
        self._require_move_to_nftables(NODE_PORTS)
        ports = frozenset(
            f"{each.node_port}/{each.protocol.lower()}"
            for service in self.seen.cluster.api.services
            for each in service.spec.ports
            if each.node_port
        )
        if not ports:
            raise NotApplicable("no Service has a node port")
        answer = self.seen.http.get("metrics")
        counters = LOCALHOST.findall(answer.body) if answer else []
        is_listed = bool(self._proxy.facts.node_port_addresses)
        used = [] if is_listed else list(self._secondary_destinations(ports))
        if not counters and not used:
            raise NotApplicable(
                "kube-proxy does not count packets to node ports on localhost, and no client used "
                "one on a secondary address during the visit"
            )
        packets = sum(map(float, counters))
        if packets:
            found = f"{packets:,.0f} packets to node ports on localhost"
            expected = "no clients of node ports on 127.0.0.1, which nftables mode never opens"
            yield self._of("node ports on localhost", NODE_PORTS, expected, found)
        if used:
            expected = (
                "no clients of node ports on secondary addresses, which nftables mode opens only "
                "if nodePortAddresses lists them"
            )
            found = f"new connections to {listed(used, TOP)}"
            yield self._of("node ports on secondary addresses", NODE_PORTS, expected, found)

    @property
    def host_ports(self) -> Iterator[Deprecation]:
        """Host ports of pods that are written for iptables."""
        self._require_move_to_nftables(NFTABLES_DEFAULT)
        ports = [
            f"{pod.namespace}/{pod.name} {port.port}/{port.protocol}"
            for pod in self.seen.pods
            if pod.is_running
            for port in host_ports(pod.object)
        ]
        if not ports:
            raise NotApplicable("no pod of the node has a host port")
        rules = [rule for text in self._rules for rule in HOST_PORTS.findall(text)]
        if rules:
            yield self._of(
                "host ports",
                NFTABLES_DEFAULT,
                "rules for host ports in nftables, as kube-proxy's (portmap from CNI plugins 1.6 "
                "on has a setting for it)",
                f"iptables rules for host ports: {listed(ports, TOP)}",
                tuple(rules[:TOP]),
            )

    @property
    def cni_plugin(self) -> Iterator[Deprecation]:
        """Calico's iptables dataplane, which does not work beside nftables mode."""
        self._require_move_to_nftables(CALICO_MODE)
        if rule := next(filter(None, map(CALICO.search, self._rules)), None):
            yield self._of(
                "Calico's dataplane",
                CALICO_MODE,
                "Calico in nftables mode together with kube-proxy: its iptables mode does not work "
                "beside it",
                "iptables rules of Calico",
                (rule[0],),
            )

    # What decides.

    @property
    def _proxy(self) -> KubeProxy:
        return self.service_proxy.kube_proxy

    @property
    def _minor(self) -> int:
        try:
            return minor_version(self._proxy.version)
        except ValueError as error:
            raise FactMissingError(f"{self.seen.name}: {error}") from error

    @property
    def _is_nftables(self) -> bool:
        return self._proxy.facts.mode is Mode.NFTABLES

    @property
    def _uses_iptables(self) -> bool:
        try:
            return self._proxy.facts.mode is not Mode.NFTABLES
        except NotApplicable:
            return False

    @cached_property
    def _configured_mode(self) -> str:
        """The mode in the ConfigMap; /configz shows the default where none is set."""
        value = self._proxy.own_configuration
        if value is None:
            raise NotApplicable("kube-proxy's configuration is not in a known ConfigMap")
        return str(value.get("mode") or "")

    @cached_property
    def _nft_version(self) -> str:
        if "nft-version" not in self.seen.facts.commands:
            raise NotApplicable("the version of nft was not read on this node")
        text = self.seen.output_if_asked("nft-version").strip()
        if not text or self.seen.facts.commands["nft-version"].lent:
            raise NotApplicable("the node has no nft")
        return text

    @property
    def _rules(self) -> list[str]:
        return [*self.iptables.rules.values(), *self.iptables.legacy.values()]

    def _legacy_rules(self, family: int) -> str:
        """The legacy variant's rules; of plain iptables only if it is the legacy one."""
        version = self.seen.facts.commands.get("iptables-version")
        is_legacy = version and version.status == 0 and "nf_tables" not in version.output
        return self.iptables.legacy[family] or (self.iptables.rules[family] if is_legacy else "")

    def _require_before(self, change: Announced) -> None:
        """Raise NotApplicable where the change is past, or later than the upgrade's target."""
        target = self.seen.cluster.upgrade_target
        if change.minor and target and target < change.minor:
            raise NotApplicable(f"it changes in {change.first}, after the target 1.{target}")
        if change.minor and self._minor >= change.minor:
            raise NotApplicable(f"kube-proxy on this node is {change.first} or later already")

    def _require_move_to_nftables(self, change: Announced) -> None:
        """Raise NotApplicable where kube-proxy does not use nftables, and stays so."""
        if self._proxy.facts.mode is Mode.NFTABLES:
            return
        self._require_before(change)
        if self._proxy.facts.mode is Mode.IPTABLES and self._configured_mode:
            raise NotApplicable("kube-proxy is configured for iptables mode, which stays")

    def _secondary_destinations(self, ports: frozenset[str]) -> Iterator[str]:
        """New connections to node ports at addresses of the node that the API does not show.

        wirecheck itself connects to the addresses of the API only.
        """
        try:
            destinations = self.conntrack.new_connections.record.destinations
        except (NotApplicable, FactMissingError):
            return
        own = {str(each) for each in self.seen.host.addresses - self.seen.addresses}
        for text, number in destinations.items():
            where, _, port = text.rpartition(":")
            if where.strip("[]") in own and port in ports:
                yield f"{text} ({number})"

    def _of(
        self,
        part: str,
        change: Announced,
        expected: str,
        found: str,
        evidence: tuple[str, ...] = (),
    ) -> Deprecation:
        return Deprecation(self.seen.part(part), change, expected, found, evidence)


def numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: (5, 10, 0) of `5.10.0-28-amd64`; empty without any."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(map(int, found[0].split("."))) if found else ()

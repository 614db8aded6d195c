"""What says that a node masquerades what its pods send outside: settings and agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, contains, network
from wirecheck.network.plugins import calico
from wirecheck.network.plugins.flannel import POD_NAMES
from wirecheck.node.cni_configuration import in_force
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.masq_agent import exempt_ranges

SUBNET = "/run/flannel/subnet.env"

AGENTS: Mapping[str, tuple[int, ...]] = {
    "kindnet-": (4, 6),
    # These masquerade IPv6 only with an option of their own.
    "ip-masq-agent-": (4,),
    "azure-ip-masq-agent-": (4,),
}
"""Names of pods whose program masquerades these families, whatever its configuration."""

SETS_OF_POOLS = ("all-ipam-pools", "network-ip-pools")
SETS_OF_HOSTS = ("all-hosts-net", "all-tunnel-net")
"""Names of Calico's ipsets, behind `cali40` and `cali60`. They differ between versions."""

MASQ_AGENT = "ip-masq-agent"


@dataclass(frozen=True)
class EgressSetting:
    """A setting or an agent with which a pod's packets are masqueraded."""

    text: str
    """`FLANNEL_IPMASQ=true in /run/flannel/subnet.env`."""
    is_for_each_pod: bool = False
    """Whether each pod has rules of its own, so that none stands for the others."""
    may_exempt: bool = False
    """Whether it may leave the packets alone, by a configuration that is not known."""


@dataclass(frozen=True)
class EgressSettings:
    """The settings that apply to the pods of one node."""

    seen: NodeSeen

    def of(self, pod: IPAddress, outside: IPAddress) -> EgressSetting | None:
        """The setting by which the pod's packets to `outside` are masqueraded, if there is one."""
        return (
            self._of_flannel(pod)
            or self._of_pools(pod, outside)
            or self._of_configuration
            or self._of_agents(pod, outside)
        )

    # flannel.

    def _of_flannel(self, pod: IPAddress) -> EgressSetting | None:
        found = self._subnet.get("FLANNEL_SUBNET" if pod.version == 4 else "FLANNEL_IPV6_SUBNET")
        # k3s has flannel in its own process, and an option of its own for IPv6, off by default.
        applies = pod.version == 4 or self._has_flannel_pod
        if self._subnet.get("FLANNEL_IPMASQ") == "true" and applies and _within(pod, found or ""):
            return EgressSetting(f"FLANNEL_IPMASQ=true in {SUBNET}")
        return None

    @cached_property
    def _subnet(self) -> Mapping[str, str]:
        lines = (self.seen.files.get(SUBNET) or "").splitlines()
        return {name.strip(): value.strip() for name, _, value in (e.partition("=") for e in lines)}

    @property
    def _has_flannel_pod(self) -> bool:
        return any(
            each.on_host_network and any(name in each.name for name in POD_NAMES)
            for each in self.seen.pods
        )

    # Calico.

    @property
    def knows_pools(self) -> bool:
        """Whether the pools of Calico were read, or nothing depends on them."""
        return bool(self._pools) or self._has_ebpf_of_calico

    def _of_pools(self, pod: IPAddress, outside: IPAddress) -> EgressSetting | None:
        found = [each for each in self._pools if contains([each[1]], pod)]
        if not found or self._has_ebpf_of_calico:
            return None
        name, _, is_masqueraded = max(found, key=lambda each: each[1].prefixlen)
        if not is_masqueraded or self._is_in_a_pool(outside):
            return None
        return EgressSetting(f"natOutgoing of IPPool {name}")

    def _is_in_a_pool(self, address: IPAddress) -> bool:
        return contains((range_ for _, range_, _ in self._pools), address)

    @cached_property
    def _pools(self) -> list[tuple[str, IPNetwork, bool]]:
        found = []
        for each in self.seen.cluster.api.ip_pools:
            with suppress(ValueError):
                range_ = network(each.spec.cidr)
                found.append((each.metadata.name, range_, each.spec.nat_outgoing))
        return found

    @property
    def _has_ebpf_of_calico(self) -> bool:
        """Whether a program of Calico masquerades, which no rule shows."""
        device = calico.PLUGIN.services.device
        return any(each.name == device for each in self.seen.host.interfaces)

    def set_memberships(self, pod: IPAddress, outside: IPAddress) -> Iterator[tuple[str, bool]]:
        """(match on an ipset of Calico, whether it holds), as the pools imply.

        felix fills the sets from the pools; sets of addresses of hosts have no address outside.
        """
        is_masqueraded = contains((each for _, each, is_on in self._pools if is_on), pod)
        is_inside = self._is_in_a_pool(outside)
        known = {
            "masq-ipam-pools src": is_masqueraded,
            **dict.fromkeys((f"{name} dst" for name in SETS_OF_POOLS), is_inside),
            **dict.fromkeys((f"{name} dst" for name in SETS_OF_HOSTS), False),
        }
        for text, holds in known.items() if self._pools else ():
            yield f"-m set --match-set cali{pod.version}0{text}", holds
            yield f"-m set ! --match-set cali{pod.version}0{text}", not holds

    # The CNI configuration.

    @property
    def _of_configuration(self) -> EgressSetting | None:
        """ipMasq of the CNI plugins bridge and ptp."""
        for each in in_force(self.seen.facts.cni) if self.seen.facts.cni else ():
            if each.ip_masq:
                return EgressSetting(f"ipMasq in {each.file}", is_for_each_pod=True)
        return None

    # Agents.

    def _of_agents(self, pod: IPAddress, outside: IPAddress) -> EgressSetting | None:
        for each in self.seen.pods:
            families = (of for name, of in AGENTS.items() if each.name.startswith(name))
            if each.on_host_network and pod.version in next(families, ()):
                return self._of_agent(each.name, outside)
        return None

    def _of_agent(self, name: str, outside: IPAddress) -> EgressSetting | None:
        if not name.startswith(MASQ_AGENT) or self._exempt is None:
            return EgressSetting(f"{name} runs on the node", may_exempt="masq-agent" in name)
        return None if contains(self._exempt, outside) else EgressSetting(f"ConfigMap {MASQ_AGENT}")

    @cached_property
    def _exempt(self) -> tuple[IPNetwork, ...] | None:
        """The destinations that ip-masq-agent leaves alone; None if its ConfigMap is not known."""
        for each in self.seen.cluster.api.config_maps:
            if each.metadata.name == MASQ_AGENT and each.data:
                with suppress(ParseError):
                    return exempt_ranges(next(iter(each.data.values())))
        return None


def _within(address: IPAddress, text: str) -> bool:
    try:
        return contains([network(text)], address)
    except ValueError:
        return False

"""The programs that forward Services on one node, by what they left there. One is enough.

Two of them write rules for the same connections. Which one handles a connection depends on hooks
and priorities, and the rules of a program that no longer runs are never updated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.network.plugin import CniPlugin
from wirecheck.network.plugins import antrea, kube_router
from wirecheck.network.registry import PLUGINS
from wirecheck.node.dataplane import IP_VS, programmed_modes
from wirecheck.node.iptables import Iptables
from wirecheck.node.kube_proxy_pods import KUBE_PROXY, has_its_image
from wirecheck.node.missing_tools import BOUND_BY_IPVS
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.ipvs import VirtualServer, parse_ip_vs
from wirecheck.text import plural

KUBE_ROUTER, ANTREA = kube_router.PLUGIN.name, antrea.PLUGIN.name
ANTREA_DNAT = re.compile(r"^-A ANTREA-PREROUTING .*-j DNAT .*$", re.MULTILINE)
"""AntreaProxy with proxyAll. Without it, Antrea only forwards pods' connections, beside kube-proxy,
which is a supported configuration."""
SHOWN = 5


@dataclass(frozen=True, slots=True)
class ServiceDataplane:
    """A program that forwards Services, or that left rules for them."""

    name: str
    evidence: tuple[str, ...]
    """What shows it: a process, a device, rules."""

    @property
    def found(self) -> str:
        """`kube-proxy: pod kube-system/kube-proxy-x, it answers at 127.0.0.1:10249`."""
        return f"{self.name}: {', '.join(self.evidence)}"


@dataclass(frozen=True)
class ServiceDataplanes:
    """All programs that forward Services on one node."""

    seen: NodeSeen
    iptables: Iptables

    @cached_property
    def all(self) -> tuple[ServiceDataplane, ...]:
        """The one that is in use first. Raises NotApplicable if none is recognised."""
        if not self.seen.http:
            raise NotApplicable("whether kube-proxy runs on the node was not asked")
        found = [*self._replacements, *filter(None, [self._kube_proxy])]
        if not found:
            raise NotApplicable("no program that forwards Services is recognised on the node")
        configured = self.seen.proxy_replacement or KUBE_PROXY * self._runs_kube_proxy
        return tuple(sorted(found, key=lambda each: each.name != configured))

    @property
    def further(self) -> Iterator[ServiceDataplane]:
        """Those that must not be there beside the first one."""
        yield from self.all[1:]
        if len(self._kube_proxy_pods) > 1:
            names = tuple(f"{pod.namespace}/{pod.name}" for pod in self._kube_proxy_pods)
            yield ServiceDataplane("several kube-proxies", names)

    @property
    def _runs_kube_proxy(self) -> bool:
        answer = self.seen.http.get("proxyMode")
        return bool(self._kube_proxy_pods) or (answer is not None and answer.status is not None)

    @property
    def _kube_proxy(self) -> ServiceDataplane | None:
        answer = self.seen.http.get("proxyMode")
        evidence = [f"pod {pod.namespace}/{pod.name}" for pod in self._kube_proxy_pods[:1]]
        if answer is not None and answer.status is not None:
            evidence.append("it answers at 127.0.0.1:10249")
        evidence += [f"rules of {mode} mode" for mode in programmed_modes(self.seen)]
        return ServiceDataplane(KUBE_PROXY, tuple(evidence)) if evidence else None

    @cached_property
    def _kube_proxy_pods(self) -> tuple[Pod, ...]:
        """Running pods of kube-proxy, without those that are being replaced.

        Other pods may use its image, for its iptables, and have its name, as exporters have. One
        in another namespace counts if it is on the host network: otherwise it writes its rules
        into a netns of its own.
        """
        return tuple(
            pod
            for pod in self.seen.pods
            if pod.is_running
            and pod.on_host_network
            and KUBE_PROXY in pod.name
            and has_its_image(pod)
        )

    @property
    def _replacements(self) -> Iterator[ServiceDataplane]:
        """What forwards Services in the place of kube-proxy, as far as the node shows it."""
        devices = {each.name for each in self.seen.host.interfaces}
        configured = self.seen.proxy_replacement
        for plugin in PLUGINS:
            sign = self._sign_of(plugin, devices, is_configured=plugin.name == configured)
            if sign := sign or self._program_of(plugin):
                yield ServiceDataplane(plugin.name, (sign,))
        if not self._addresses_on(kube_router.PLUGIN.services.device):
            yield from self._ipvs_of_others

    def _sign_of(self, plugin: CniPlugin, devices: set[str], *, is_configured: bool) -> str:
        """What shows that the plugin forwards Services; empty if nothing does."""
        device = plugin.services.device
        if is_configured:
            return f"device {device}" if device in devices else "its configuration"
        if device not in devices:
            return ""
        if plugin.name == KUBE_ROUTER:
            return self._addresses_on(device)
        if plugin.name == ANTREA:
            return self._rule_of_antrea or self._route_of_antrea
        # Cilium has its device without the replacement, too.
        is_optional = plugin.services.setting is not None
        return "" if is_optional and self._runs_kube_proxy else f"device {device}"

    def _addresses_on(self, device: str) -> str:
        """kube-router binds the addresses of Services; as a firewall only it binds none."""
        services = self.seen.cluster.service_addresses.by_address
        interfaces = (each for each in self.seen.host.interfaces if each.name == device)
        bound = sum(where in services for each in interfaces for where in each.addresses)
        return f"{plural(bound, 'address', 'addresses')} of Services on {device}" if bound else ""

    def _program_of(self, plugin: CniPlugin) -> str:
        """A program on an interface of the node that forwards Services."""
        for each in self.seen.host.record.programs or ():
            if each.name.startswith(plugin.services.programs):
                device = self.seen.host.by_index.get(each.index)
                return f"program {each.name} on {device.name if device else each.index}"
        return ""

    @property
    def _ipvs_of_others(self) -> Iterator[ServiceDataplane]:
        """Virtual servers at cluster IPs that are not kube-proxy's, as kube-router leaves them.

        kube-proxy binds the addresses of its own to kube-ipvs0.
        """
        if any(each.name == BOUND_BY_IPVS for each in self.seen.host.interfaces):
            return
        servers: list[VirtualServer] = []
        with suppress(ValueError):  # Other checks report a list that cannot be parsed.
            servers = parse_ip_vs(self.seen.files.get(IP_VS) or "")
        own = self.seen.cluster.service_addresses.cluster_ips
        if found := [each.line for each in servers if address(each.address) in own]:
            number = plural(len(found), "virtual server")
            yield ServiceDataplane("IPVS", (f"{number} at cluster IPs", *found[:SHOWN]))

    @property
    def _route_of_antrea(self) -> str:
        """AntreaProxy with proxyAll routes Services into Open vSwitch, for the node itself."""
        routing = self.seen.routing
        for each in sorted(self.seen.cluster.service_addresses.cluster_ips, key=str)[:SHOWN]:
            route = routing.route_to(each)
            device = routing.device_of(route) if route else None
            if device is not None and device.name == antrea.PLUGIN.services.device:
                return f"route {routing.text_of(route)}"
        return ""

    @property
    def _rule_of_antrea(self) -> str:
        rules = (ANTREA_DNAT.search(text) for text in self.iptables.rules.values())
        return next((found[0] for found in rules if found), "")

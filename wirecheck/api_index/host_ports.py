"""Host ports of pods.

Collecting connects to them, and checks compare them with the node's rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import address, canonical
from wirecheck.api_index.node_addresses import is_contactable, node_ips
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import ContainerPort, PodObject


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of a node that forwards to a pod, in one IP family."""

    protocol: str
    """tcp, udp or sctp."""
    host_address: str
    """The only address of the node on which the port is open; empty for all addresses."""
    port: int
    pod_address: str
    pod_port: int

    @property
    def family(self) -> int:
        return address(self.pod_address).version

    def open_at(self, node: NodeObject) -> Iterator[str]:
        """The addresses at which other nodes reach the port: the node's, of the port's family."""
        own = node_ips(node)
        if self.host_address:
            own = (address(self.host_address),)
        for each in own:
            if each.version == self.family and is_contactable(each):
                yield str(each)


def host_ports(pod: PodObject) -> Iterator[HostPort]:
    """The host ports of a pod in each of its families; none for a pod on the host's network.

    The kubelet passes the ports of containers to the CNI plugin, not those of init containers.
    """
    if pod.spec.host_network:
        return
    for container in pod.spec.containers:
        for port in container.ports:
            for ip in dict.fromkeys(each.ip for each in pod.status.pod_ips if each.ip):
                if port.host_port and _is_of_its_family(port, ip):
                    yield HostPort(
                        port.protocol.lower(),
                        _single(port.host_ip),
                        port.host_port,
                        canonical(ip),
                        port.container_port,
                    )


def _single(host_ip: str) -> str:
    return "" if not host_ip or address(host_ip).is_unspecified else canonical(host_ip)


def _is_of_its_family(port: ContainerPort, ip: str) -> bool:
    """A hostIP applies to its own family only; `0.0.0.0` means every IPv4 address."""
    return not port.host_ip or address(port.host_ip).version == address(ip).version

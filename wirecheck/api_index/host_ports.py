"""Host ports of pods: looking connects to them, judging compares them with the node's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import address, canonical
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import ContainerPort, PodObject


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of its node that leads to a pod, in one family."""

    protocol: str
    """tcp, udp or sctp."""
    host_address: str
    """The one address of the node that it is open at; empty for all."""
    port: int
    pod_address: str
    pod_port: int

    @property
    def family(self) -> int:
        return address(self.pod_address).version

    def open_at(self, node: NodeObject) -> Iterator[str]:
        """Where the port is reached from other nodes: the node's InternalIPs of its family."""
        own = [each.address for each in node.status.addresses if each.type == "InternalIP"]
        if self.host_address:
            own = [] if address(self.host_address).is_loopback else [self.host_address]
        for each in map(canonical, own):
            if address(each).version == self.family:
                yield each


def host_ports(pod: PodObject) -> Iterator[HostPort]:
    """Those of the pod's containers, in each of its families; none of one on the host's network.

    The kubelet asks the CNI plugin for the ports of containers, not for those of init containers.
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
    """An address of one family says nothing of the other; `0.0.0.0` means all of IPv4."""
    return not port.host_ip or address(port.host_ip).version == address(ip).version

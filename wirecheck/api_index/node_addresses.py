"""The IP addresses of a Node object.

The API server accepts any text as an address of a node: virtual kubelets and clouds write empty
strings and host names. What is not an IP address is left out, so that it affects its node alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wirecheck.addresses import IPAddress, IPNetwork, api_address, api_network
from wirecheck.snapshot.objects.node import NodeObject

INTERNAL, EXTERNAL = "InternalIP", "ExternalIP"


def internal_addresses(node: NodeObject) -> tuple[IPAddress, ...]:
    """Return the node's InternalIPs, in the order of the API."""
    return _of_types(node, INTERNAL)


def all_addresses(node: NodeObject) -> tuple[IPAddress, ...]:
    """Return the node's InternalIPs and ExternalIPs."""
    return _of_types(node, INTERNAL, EXTERNAL)


def node_ips(node: NodeObject) -> tuple[IPAddress, ...]:
    """Return the node IPs: the addresses at which the cluster reaches the node.

    Kubernetes uses ExternalIPs where a node has no InternalIP (GetNodeHostIPs).
    """
    return internal_addresses(node) or _of_types(node, EXTERNAL)


def is_contactable(known: IPAddress) -> bool:
    """Return whether another machine can connect to the address without naming a device."""
    return not (
        known.is_loopback
        or known.is_unspecified
        or known.is_multicast
        or (known.version == 6 and known.is_link_local)
    )


def valid_addresses(texts: Iterable[str]) -> Iterator[IPAddress]:
    """Yield the IP addresses among texts; an address with a zone has a meaning on its node only."""
    return filter(None, map(api_address, texts))


def pod_ranges(node: NodeObject) -> tuple[IPNetwork, ...]:
    """Return spec.podCIDRs; texts that are not ranges are left out."""
    found = map(api_network, [node.spec.pod_cidr, *node.spec.pod_cidrs])
    return tuple(dict.fromkeys(filter(None, found)))


def _of_types(node: NodeObject, *types: str) -> tuple[IPAddress, ...]:
    listed = (each.address for each in node.status.addresses if each.type in types)
    return tuple(dict.fromkeys(valid_addresses(listed)))

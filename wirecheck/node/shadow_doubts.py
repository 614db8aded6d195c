"""Third-party rules of which it is not known whether they take connections to Services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.catalogue.findings import Ref
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.node.dataplane import Dataplane
from wirecheck.node.firewall import Firewall
from wirecheck.node.host_port_rules import PortMapping
from wirecheck.node.port_mappings import PortMappings
from wirecheck.node.seen import NodeSeen

SAME_PRIORITY = (
    "a third-party chain has the same priority as kube-proxy's, and the node does not show which "
    "one the kernel asks first"
)
UNREAD = "the rules of further nftables tables were not read"


@dataclass(frozen=True)
class ShadowDoubt:
    """A frontend, or a table of rules, that is inconclusive."""

    ref: Ref
    expected: str
    found: str
    evidence: tuple[str, ...]
    reason: str


def shadow_doubts(
    seen: NodeSeen, dataplane: Dataplane, mappings: PortMappings, firewall: Firewall
) -> Iterator[ShadowDoubt]:
    """Frontends that chains of one priority handle, and tables that were not read."""
    for each in dataplane.of(Kind.ORDER_UNKNOWN):
        yield ShadowDoubt(each.ref, each.expected, each.found, each.evidence, SAME_PRIORITY)
    for mapping in mappings.in_nftables:
        yield from _of_mapping(seen, mapping)
    for table in firewall.unread_tables:
        if not mappings.has_read(table):
            part = seen.part(f"nftables table {table}")
            nothing = "no rule that handles connections to Services"
            yield ShadowDoubt(part, nothing, "rules that were not read", (), UNREAD)


def _of_mapping(seen: NodeSeen, mapping: PortMapping) -> Iterator[ShadowDoubt]:
    """The node ports with the number of a host port in another nftables table.

    portmap and CRI-O hook their chains with the priority of DNAT, as kube-proxy does.
    """
    for (namespace, name), service in seen.cluster.services.items():
        for port in service.spec.ports:
            if (port.protocol.lower(), port.node_port) == (mapping.protocol, mapping.port):
                part = f"{port.name} node port {port.node_port}/{mapping.protocol}".strip()
                ref = Ref("Service", name, namespace, part=part, uid=service.metadata.uid)
                found = f"a host port of {mapping.chain}, forwarded to {mapping.target}"
                expected = "the endpoints of the Service"
                yield ShadowDoubt(ref, expected, found, (mapping.rule,), SAME_PRIORITY)

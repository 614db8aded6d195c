"""The access method of each node: from the inventory, else as a container of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wirecheck.collect.transport.ansible import ansible_access, hosts_of
from wirecheck.collect.transport.containers import container_access
from wirecheck.inventory.file import AccessMethod, Inventory, UnusableAccess, access_methods
from wirecheck.snapshot.objects.node import NodeObject


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """The access methods, by the nodes' names."""

    usable: Mapping[str, AccessMethod]
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Why the configured access method of a node cannot be used: a sentence with the next step."""

    def missing(self, nodes: Sequence[NodeObject]) -> list[str]:
        """The names of the nodes for which no access method is configured, sorted."""
        names = {node.metadata.name for node in nodes}
        return sorted(names - self.usable.keys() - self.unusable.keys())


def access_to(inventory: Inventory, nodes: Sequence[NodeObject]) -> NodeAccess:
    """The access methods of `nodes`: those of the inventory, else as a container.

    A configured method that cannot be used is not replaced by another one. Raises InventoryError
    for an Ansible inventory that cannot be read.
    """
    listed = access_methods(inventory, nodes)
    named = {name: method for name, method in listed.items() if method is not None}
    if inventory.ansible:
        others = [node for node in nodes if node.metadata.name not in named]
        named |= ansible_access(hosts_of(inventory.ansible), others)
    rest = [node for node in nodes if node.metadata.name not in named]
    usable = {name: method for name, method in named.items() if isinstance(method, AccessMethod)}
    unusable = {
        name: method.why for name, method in named.items() if isinstance(method, UnusableAccess)
    }
    return NodeAccess(usable | container_access(rest), unusable)

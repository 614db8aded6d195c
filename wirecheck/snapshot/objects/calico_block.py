"""The fields of Calico's address blocks that may enter a snapshot: not which address is whose."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class IpamBlockSpec(ApiStruct, frozen=True):
    cidr: str = ""
    affinity: str = ""
    """`host:NODE`: the node that assigns its addresses, and to which other nodes route it."""
    deleted: bool = False


class IpamBlockObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: IpamBlockSpec = IpamBlockSpec()


class BlockAffinitySpec(ApiStruct, frozen=True):
    cidr: str = ""
    node: str = ""
    state: str = ""
    """`confirmed`, or `pending` while the node claims the block."""


class BlockAffinityObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: BlockAffinitySpec = BlockAffinitySpec()

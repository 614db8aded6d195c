"""The fields of an IPPool of Calico that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class IpPoolSpec(ApiStruct, frozen=True):
    cidr: str = ""
    nat_outgoing: bool = False
    """Whether what its pods send outside of all pools is masqueraded."""
    disabled: bool = False
    """Whether pods get no further addresses from it. Those that they have are masqueraded."""


class IpPoolObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: IpPoolSpec = IpPoolSpec()

"""The fields of an IPPool of Calico that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class IpPoolSpec(ApiStruct, frozen=True):
    cidr: str = ""
    nat_outgoing: bool = False
    """Whether traffic of its pods to addresses outside all pools is masqueraded."""
    disabled: bool = False
    """Whether no further addresses are assigned from it. Assigned ones are still masqueraded."""
    allowed_uses: list[str] = []
    """`Workload`, `Tunnel` or `LoadBalancer`; none for the first two."""


class IpPoolObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: IpPoolSpec = IpPoolSpec()

"""The fields of a CiliumEndpoint that may enter a snapshot: addresses and identity."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class CiliumIdentity(ApiStruct, frozen=True):
    id: int = 0
    """The number by which policies know the pod. Its labels are left out."""


class CiliumAddress(ApiStruct, frozen=True):
    ipv4: str = ""
    ipv6: str = ""


class CiliumNetworking(ApiStruct, frozen=True):
    addressing: list[CiliumAddress] = []


class CiliumEndpointStatus(ApiStruct, frozen=True):
    identity: CiliumIdentity = CiliumIdentity()
    networking: CiliumNetworking = CiliumNetworking()


class CiliumEndpointObject(ApiStruct, frozen=True):
    """It has the name of its pod."""

    metadata: Metadata
    status: CiliumEndpointStatus = CiliumEndpointStatus()

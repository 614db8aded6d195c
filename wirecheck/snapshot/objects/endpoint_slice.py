"""The fields of an EndpointSlice that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class EndpointConditions(ApiStruct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(ApiStruct, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class HintZone(ApiStruct, frozen=True):
    name: str


class EndpointHints(ApiStruct, frozen=True):
    for_zones: list[HintZone] | None = None
    for_nodes: list[HintZone] | None = None


class Endpoint(ApiStruct, frozen=True):
    addresses: list[str] = []
    conditions: EndpointConditions = EndpointConditions()
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    target_ref: TargetRef | None = None
    hints: EndpointHints | None = None


class EndpointPort(ApiStruct, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str = "TCP"


class EndpointSliceObject(ApiStruct, frozen=True):
    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None

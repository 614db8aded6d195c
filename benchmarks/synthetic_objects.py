"""What the API lists of a synthetic cluster: nodes and pods like recorded ones, and Services."""

from __future__ import annotations

import msgspec
from msgspec import structs

from benchmarks import service_objects, system_services
from benchmarks.recorded_worker import Recorded
from benchmarks.service_objects import node_address, node_name, pod_address, pod_uid
from benchmarks.system_services import REPLICAS
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

PODS, ENDPOINTS = 30, 3


def api_objects(of: Recorded, nodes: int, services: int) -> ApiObjects:
    """What the API lists of such a cluster."""
    listed = service_objects.services(services)
    slices = service_objects.endpoint_slices(services, ENDPOINTS, nodes)
    return structs.replace(
        of.api,
        nodes=[_node(of.node, number) for number in range(nodes)],
        pods=[_pod(of, number, place) for number in range(nodes) for place in range(PODS)],
        services=[*msgspec.convert(listed, list[ServiceObject]), *of.system.services],
        endpoint_slices=[
            *msgspec.convert(slices, list[EndpointSliceObject]),
            *of.system.slices,
        ],
        network_policies=[],
    )


def _node(like: NodeObject, number: int) -> NodeObject:
    """`like` under another name."""
    name, address = node_name(number), node_address(number)
    annotations = {
        key: f'{{"VNI":1,"VtepMAC":"{mac(1, number)}"}}'
        if key.endswith("/backend-data")
        else address
        if key.endswith("/public-ip")
        else value
        for key, value in like.metadata.annotations.items()
    }
    labels = {**like.metadata.labels, "kubernetes.io/hostname": name}
    (made,) = msgspec.convert(service_objects.nodes(1, number), list[NodeObject])
    return structs.replace(
        like,
        metadata=structs.replace(
            like.metadata, name=name, uid=name, annotations=annotations, labels=labels
        ),
        spec=made.spec,
        status=structs.replace(
            like.status,
            addresses=made.status.addresses,
            node_info=structs.replace(like.status.node_info, machine_id=machine_id(number)),
        ),
    )


def is_replica(number: int, place: int) -> bool:
    """Whether that pod is one of DNS."""
    return number < REPLICAS and place == 0


def _pod(of: Recorded, number: int, place: int) -> PodObject:
    serves_dns = is_replica(number, place)
    name = system_services.replica_name(number) if serves_dns else f"pod-{number}-{place}"
    like = of.system.replica if serves_dns else of.pod
    address = pod_address(number, place)
    ips = [structs.replace(each, ip=address) for each in like.status.pod_ips]
    return structs.replace(
        like,
        metadata=structs.replace(like.metadata, name=name, uid=pod_uid(number, place)),
        spec=structs.replace(like.spec, node_name=node_name(number)),
        status=structs.replace(
            like.status, pod_ip=address, pod_ips=ips, host_ip=node_address(number)
        ),
    )


def machine_id(number: int) -> str:
    """Of that node."""
    return f"{number:032x}"


def mac(kind: int, number: int, place: int = 0) -> str:
    """Of a device of that node; `kind`: 1 its tunnel, 2 its bridge, 3 and 4 the ends of a pair."""
    return f"02:{kind:02x}:{number >> 8:02x}:{number & 255:02x}:{place >> 8:02x}:{place & 255:02x}"

"""Snapshots of clusters of any size, grown from a recorded one.

Every node is like the recorded worker (flannel with VXLAN: a route, a neighbour and an entry
of the forwarding database for each of the other nodes), with pods like its pods, each in a
netns of its own, and with the Service rules that a real kube-proxy wrote for such a cluster
(`service_rules`). Names, addresses, uids and hardware addresses are each node's own. What was
asked of DNS and which connections were made is in `conversations`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import structs

from benchmarks import conversations, service_objects, spliced, system_services, variations
from benchmarks.sent import as_sent
from benchmarks.service_objects import node_address, node_name, pod_address, pod_range, pod_uid
from benchmarks.system_services import REPLICAS, SystemServices
from wirecheck import __version__
from wirecheck.demo import recorded
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.cni_files import CniFiles
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import FORMAT, LookRecord, SnapshotIndex, VisitRecord
from wirecheck.snapshot.netns import Address, Fdb, Link, Namespace, Neighbour, Route
from wirecheck.snapshot.node_document import NodeDocument, PodFile, PodProcesses
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

WORKER, TUNNEL, BRIDGE, DEVICE = "wc-w1", "flannel.1", "cni0", "eth0"
PODS, ENDPOINTS = 30, 3
DUMPED_NODES = 1_000
"""The endpoints of kept rules are spread over so many nodes."""
ORDERS = 10
"""In which rules are written; nodes beyond have the same ones again."""


@dataclass(frozen=True)
class Recorded:
    """What nodes are made of."""

    api: ApiObjects
    document: NodeDocument
    rules: NodeDocument
    system: SystemServices

    @classmethod
    def with_rules(cls, rules: NodeDocument) -> Recorded:
        """The recorded healthy cluster, with other rules."""
        snapshot = Snapshot.open(recorded("healthy"))
        api, document = snapshot.api(), snapshot.document(WORKER)
        return cls(api, document, rules, SystemServices.recorded(api, document))

    @property
    def node(self) -> NodeObject:
        return next(each for each in self.api.nodes if each.metadata.name == WORKER)

    @property
    def tunnel(self) -> int:
        """The index of the VXLAN device."""
        links = self.document.namespaces[0].links
        return next(each.index for each in links if each.name == TUNNEL)

    @property
    def pod(self) -> PodObject:
        """One of the worker's pods with an address of its own that ask the cluster's DNS."""
        return next(
            each
            for each in self.api.pods
            if each.spec.node_name == WORKER
            and each.spec.dns_policy == "ClusterFirst"
            and each.metadata.namespace == "shop"
            and not each.spec.host_network
        )

    def resolv_conf(self, uid: str) -> PodFile:
        """What that pod's resolv.conf is in the synthetic cluster."""
        file = next(each.resolv_conf for each in self.document.pods if each.uid == uid)
        (server,) = (
            each.spec.cluster_ip for each in self.api.services if each.metadata.name == "kube-dns"
        )
        return structs.replace(file, text=file.text.replace(server, system_services.DNS))

    @property
    def netns(self) -> Namespace:
        """The netns of that pod."""
        return next(
            each
            for each in self.document.namespaces[1:]
            if any(a.address == self.pod.status.pod_ip for a in each.addresses)
        )


def write_snapshot(
    folder: Path, of: Recorded, nodes: int, services: int, *, in_blocks: bool = True
) -> None:
    """A snapshot of one look at that many nodes, all of them healthy."""
    started, finished = of.rules.started, of.rules.finished
    queries = conversations.queries(services)
    writer = SnapshotWriter(folder, SnapshotIndex(FORMAT, __version__, started, queries=queries))
    writer.write_api(1, api_objects(of, nodes, services))
    files = folder / "look-1" / "nodes"
    files.mkdir(parents=True, exist_ok=True)
    respread = of.system.added_to(_respread(of.rules, nodes))
    orders = []
    for number in range(min(ORDERS, nodes)):
        rules = variations.reordered(respread, random.Random(number))
        raw = as_sent(rules, writer) if in_blocks else msgspec.json.encode(rules)
        # Stores the blocks; the rest is written anew below.
        writer.write_document(1, node_name(number), raw)
        orders.append(_shared_commands(raw))
    peers = [_peer(number, of.tunnel) for number in range(nodes)]
    places = [(node_address(number), pod_address(number, 1)) for number in range(nodes)]
    for number in range(nodes):
        made = _document(of, number, peers, _Asked(services, places))
        before = msgspec.json.encode(made).removesuffix(b"}")
        packed = spliced.gzipped(before, orders[number % ORDERS], b"}")
        (files / f"{node_name(number)}.json.gz").write_bytes(packed)
    visits = {
        node_name(number): VisitRecord("seen", proxy_mode="iptables") for number in range(nodes)
    }
    writer.finish_look(LookRecord(started, finished, visits))


def _shared_commands(raw: bytes) -> spliced.Shared:
    """The part of a document that nodes with the same rules share."""
    commands = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["commands"]
    return spliced.Shared.of(b',"commands":' + bytes(commands))


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
        key: f'{{"VNI":1,"VtepMAC":"{_mac(1, number)}"}}'
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
            node_info=structs.replace(like.status.node_info, machine_id=_machine(number)),
        ),
    )


def _is_replica(number: int, place: int) -> bool:
    return number < REPLICAS and place == 0


def _pod(of: Recorded, number: int, place: int) -> PodObject:
    is_replica = _is_replica(number, place)
    name = system_services.replica_name(number) if is_replica else f"pod-{number}-{place}"
    like = of.system.replica if is_replica else of.pod
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


def _machine(number: int) -> str:
    return f"{number:032x}"


def _mac(kind: int, number: int, place: int = 0) -> str:
    return f"02:{kind:02x}:{number >> 8:02x}:{number & 255:02x}:{place >> 8:02x}:{place & 255:02x}"


Peer = tuple[Route, Neighbour, Fdb]


def _peer(number: int, tunnel: int) -> Peer:
    """What flannel enters on all other nodes, whose device has this index, for this one."""
    gateway = pod_range(number).removesuffix("/24")
    return (
        Route(4, pod_range(number), gateway=gateway, index=tunnel, protocol=3, onlink=True),
        Neighbour(tunnel, gateway, _mac(1, number), "PERMANENT"),
        Fdb(tunnel, _mac(1, number), node_address(number), state="permanent", flags=["self"]),
    )


@dataclass(frozen=True)
class _Asked:
    """Whom nodes asked and connected to."""

    services: int
    places: list[tuple[str, str]]
    """Addresses of each node, and of the pod there that others connect to."""


def _document(of: Recorded, number: int, peers: list[Peer], asked: _Asked) -> NodeDocument:
    """What the node program would have returned from the node, but for its rules."""
    name, rules = node_name(number), of.rules
    host = of.document.namespaces[0].inode
    replicas = [pod_address(each, 0) for each in range(min(REPLICAS, len(peers)))]
    inodes = [_inode(place) for place in range(PODS)]
    ends = [(_inode(e), pod_uid(number, e), pod_address(number, e)) for e in range(PODS)]
    http = {
        key: structs.replace(each, body=each.body.replace(node_name(0), name))
        for key, each in rules.http.items()
    }
    subnet = f"FLANNEL_NETWORK={service_objects.CLUSTER_RANGE}\nFLANNEL_SUBNET="
    subnet += pod_range(number).replace(".0/", ".1/") + "\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true"
    files = {**of.document.files, "/run/flannel/subnet.env": subnet}
    return structs.replace(
        of.document,
        started=rules.started,
        finished=rules.finished,
        host=structs.replace(of.document.host, hostname=name, machine_id=_machine(number)),
        namespaces=[_host(of, number, peers), *_pod_namespaces(of, number)],
        pods=[_processes(of, number, place) for place in range(PODS)],
        files=files,
        commands={},
        http=http,
        probes=list(conversations.probes(number, host, inodes, replicas, asked.services)),
        contacts=list(conversations.contacts(number, host, ends, asked.places, replicas)),
        cni=_own_reservations(of.document.cni, number),
        conntrack=rules.conntrack,
    )


def _processes(of: Recorded, number: int, place: int) -> PodProcesses:
    like = of.system.replica if _is_replica(number, place) else of.pod
    return structs.replace(
        of.document.pods[0],
        uid=pod_uid(number, place),
        inode=_inode(place),
        resolv_conf=of.resolv_conf(like.metadata.uid),
    )


def _own_reservations(like: CniFiles | None, number: int) -> CniFiles | None:
    """What the CNI plugins keep: an address for each pod."""
    if like is None or not like.reservations:
        return like
    first = like.reservations[0]
    kept = [structs.replace(first, address=pod_address(number, each)) for each in range(PODS)]
    return structs.replace(like, reservations=kept)


def _inode(place: int) -> int:
    return 4_026_540_000 + place


def _host(of: Recorded, number: int, peers: list[Peer]) -> Namespace:
    """The host's netns with an end of each pod's veth pair."""
    like = of.document.namespaces[0]
    plain = {each.name: each for each in like.links if not each.master}
    veth = next(each for each in like.links if each.master)
    tunnel = structs.replace(plain[TUNNEL], mac=_mac(1, number), vxlan_local=node_address(number))
    bridge = structs.replace(plain[BRIDGE], mac=_mac(2, number))
    device = plain[DEVICE]
    pairs = [_veth(veth, number, place) for place in range(PODS)]
    base = pod_range(number).removesuffix("0/24")
    addresses = [
        *(each for each in like.addresses if each.index == plain["lo"].index),
        Address(tunnel.index, f"{base}0", 32, flags=["permanent"]),
        Address(bridge.index, f"{base}1", 24, flags=["permanent"]),
        Address(device.index, node_address(number), 16, flags=["permanent"]),
    ]
    own = [
        Route(4, "default", gateway="172.20.255.254", index=device.index, protocol=3),
        Route(4, f"{base}0/24", index=bridge.index, source=f"{base}1", scope="link", protocol=2),
        Route(
            4,
            "172.20.0.0/16",
            index=device.index,
            source=node_address(number),
            scope="link",
            protocol=2,
        ),
    ]
    others = peers[:number] + peers[number + 1 :]
    return structs.replace(
        like,
        links=[plain["lo"], tunnel, bridge, *pairs, device],
        addresses=addresses,
        routes=[*own, *(route for route, _, _ in others)],
        neighbours=[
            *(neighbour for _, neighbour, _ in others),
            *(
                Neighbour(bridge.index, pod_address(number, place), _mac(4, number, place), "STALE")
                for place in range(PODS)
            ),
        ],
        fdb=[
            *(entry for _, _, entry in others),
            *(
                Fdb(pairs[place].index, _mac(4, number, place), master=bridge.index)
                for place in range(PODS)
            ),
        ],
    )


def _veth(like: Link, number: int, place: int) -> Link:
    return structs.replace(
        like,
        index=1_000 + place,
        name=f"veth{place:08x}",
        mac=_mac(3, number, place),
        peer_index=2,
        peer_nsid=place + 1,
    )


def _pod_namespaces(of: Recorded, number: int) -> Iterator[Namespace]:
    like = of.netns
    was = of.pod.status.pod_ip
    base = pod_range(number).removesuffix("0/24")
    for place in range(PODS):
        address = pod_address(number, place)
        lo, device = like.links
        yield structs.replace(
            like,
            inode=_inode(place),
            nsid=place + 1,
            mounted=f"/run/netns/cni-{place:08x}",
            links=[
                lo,
                structs.replace(device, mac=_mac(4, number, place), peer_index=1_000 + place),
            ],
            addresses=[
                structs.replace(each, address=address) if each.address == was else each
                for each in like.addresses
            ],
            routes=[
                Route(4, "default", gateway=f"{base}1", index=2, protocol=3),
                Route(4, service_objects.CLUSTER_RANGE, gateway=f"{base}1", index=2, protocol=3),
                Route(4, f"{base}0/24", index=2, source=address, scope="link", protocol=2),
            ],
            neighbours=[Neighbour(2, f"{base}1", _mac(2, number), "REACHABLE")],
        )


_ENDPOINT = re.compile(r"\b10\.(1[2-9]\d|2\d\d)\.(\d+)\.(\d+)(?=[:/]\d)")


def _respread(rules: NodeDocument, nodes: int) -> NodeDocument:
    """The same rules with the endpoints spread over another number of nodes."""

    def moved(found: re.Match[str]) -> str:
        block, low, last = map(int, found.groups())
        if last < 2:
            return found[0]
        number = ((block - 128) * 256 + low) + (last - 2) * DUMPED_NODES
        return pod_address(number % nodes, number // nodes)

    commands = {
        name: structs.replace(each, output=_ENDPOINT.sub(moved, each.output))
        if each.output
        else each
        for name, each in rules.commands.items()
    }
    return structs.replace(rules, commands=commands)

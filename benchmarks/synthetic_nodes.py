"""What the node program would have returned from the nodes of a synthetic cluster.

Every node is like the recorded worker (flannel with VXLAN: a route, a neighbour and an entry
of the forwarding database for each of the other nodes), with pods like its pods, each in a
netns of its own. What was asked of DNS and which connections were made is in `conversations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import structs

from benchmarks import conversations, service_objects
from benchmarks.recorded_worker import BRIDGE, DEVICE, TUNNEL, Recorded
from benchmarks.service_objects import node_address, node_name, pod_address, pod_range, pod_uid
from benchmarks.synthetic_objects import PODS, is_replica, mac, machine_id
from benchmarks.system_services import REPLICAS
from wirecheck.snapshot.cni_files import CniFiles
from wirecheck.snapshot.netns import Address, Fdb, Link, Namespace, Neighbour, Route
from wirecheck.snapshot.node_document import NodeDocument, PodProcesses

Peer = tuple[Route, Neighbour, Fdb]


def peer_of(number: int, tunnel: int) -> Peer:
    """What flannel enters on all other nodes, whose device has this index, for this one."""
    gateway = pod_range(number).removesuffix("/24")
    return (
        Route(4, pod_range(number), gateway=gateway, index=tunnel, protocol=3, onlink=True),
        Neighbour(tunnel, gateway, mac(1, number), "PERMANENT"),
        Fdb(tunnel, mac(1, number), node_address(number), state="permanent", flags=["self"]),
    )


@dataclass(frozen=True)
class Asked:
    """Whom nodes asked and connected to."""

    services: int
    places: list[tuple[str, str]]
    """Addresses of each node, and of the pod there that others connect to."""


def document_of(of: Recorded, number: int, peers: list[Peer], asked: Asked) -> NodeDocument:
    """What the node program would have returned from the node, without its rules."""
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
    subnet += pod_range(number).replace(".0/", ".1/") + "\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false"
    files = {**of.document.files, "/run/flannel/subnet.env": subnet}
    return structs.replace(
        of.document,
        started=rules.started,
        finished=rules.finished,
        host=structs.replace(of.document.host, hostname=name, machine_id=machine_id(number)),
        namespaces=[_host(of, number, peers), *_pod_namespaces(of, number)],
        pods=[_processes(of, number, place) for place in range(PODS)],
        files=files,
        kubelet=of.kubelet,
        commands={},
        http=http,
        probes=list(conversations.probes(number, host, inodes, replicas, asked.services)),
        contacts=list(conversations.contacts(number, host, ends, asked.places, replicas)),
        cni=_own_reservations(of.document.cni, number),
        conntrack=rules.conntrack,
    )


def _processes(of: Recorded, number: int, place: int) -> PodProcesses:
    like = of.system.replica if is_replica(number, place) else of.pod
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
    tunnel = structs.replace(plain[TUNNEL], mac=mac(1, number), vxlan_local=node_address(number))
    bridge = structs.replace(plain[BRIDGE], mac=mac(2, number))
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
                Neighbour(bridge.index, pod_address(number, place), mac(4, number, place), "STALE")
                for place in range(PODS)
            ),
        ],
        fdb=[
            *(entry for _, _, entry in others),
            *(
                Fdb(pairs[place].index, mac(4, number, place), master=bridge.index)
                for place in range(PODS)
            ),
        ],
    )


def _veth(like: Link, number: int, place: int) -> Link:
    return structs.replace(
        like,
        index=1_000 + place,
        name=f"veth{place:08x}",
        mac=mac(3, number, place),
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
                structs.replace(device, mac=mac(4, number, place), peer_index=1_000 + place),
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
            neighbours=[Neighbour(2, f"{base}1", mac(2, number), "REACHABLE")],
        )

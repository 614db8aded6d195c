"""The maps of real nodes against the API objects of the same moment."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.dataplane.ebpf.recorded_maps import NODES, differences, maps_of, tables_of
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Flags, Place, cilium_maps
from wirecheck.dataplane.table import Client, Frontend, Verdict

WEB = Place(4, "10.96.107.131", "tcp", 80)
STICKY = Place(4, "10.96.154.197", "tcp", 80)
NODE_PORT = Place(4, "172.29.0.11", "tcp", 30080)
ANY_NODE = Place(4, "0.0.0.0", "tcp", 30080)
LIMITED = Place(4, "172.29.0.200", "tcp", 80)
LOCAL = Place(4, "172.29.0.202", "tcp", 80)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("recording", ["healthy", "dual-stack", "beside-kube-proxy"])
def test_healthy_nodes_do_what_the_api_asks(recording: str, node: str) -> None:
    assert differences(recording, node) == ()


def test_both_families_are_compared() -> None:
    wanted, _ = tables_of("dual-stack", "td-w1")
    assert {each.family for each in wanted.entries} == {4, 6}


def test_every_kind_of_client_is_compared() -> None:
    wanted, _ = tables_of("healthy", "td-w1")
    node_port = wanted.entries[Frontend(4, "", "tcp", 30080)]
    assert set(node_port.handlings) == {Client.POD, Client.NODE, Client.OUTSIDE}


def test_beside_kube_proxy_only_what_pods_send_is_compared() -> None:
    wanted, _ = tables_of("beside-kube-proxy", "td-w1")
    assert {client for each in wanted.entries.values() for client in each.handlings} == {Client.POD}
    assert not any(each.is_node_port for each in wanted.entries)


def test_a_deleted_entry_is_missing_for_the_node_and_its_pods() -> None:
    (found,) = differences("entry-deleted", "td-w1")
    assert (found.kind, found.frontend) == (Kind.FRONTEND_MISSING, Frontend(4, *WEB[1:4]))
    assert found.owner is not None
    assert found.owner.service == "web"
    assert found.clients == (Client.POD, Client.NODE)
    assert differences("entry-deleted", "td-w2") == ()


def test_a_deleted_entry_beside_kube_proxy_is_missing_for_pods() -> None:
    (found,) = differences("beside-kube-proxy-entry-deleted", "td-w1")
    assert (found.kind, found.clients) == (Kind.FRONTEND_MISSING, (Client.POD,))


def test_a_stopped_agent_leaves_stale_backends() -> None:
    found = differences("agent-stopped", "td-w1")
    assert {each.kind for each in found} == {Kind.BACKEND_MISSING, Kind.BACKEND_STALE}
    stale = {each.backend for each in found if each.kind is Kind.BACKEND_STALE}
    assert stale == {Backend("10.244.2.41", 8080), Backend("10.244.2.52", 8080)}
    assert differences("agent-stopped", "td-w2") == ()


def test_the_evidence_is_the_entry_and_the_slot() -> None:
    stale = next(
        each for each in differences("agent-stopped", "td-w1") if each.kind is Kind.BACKEND_STALE
    )
    assert stale.evidence == (
        "cilium_lb4_services: 10.96.107.131:80/tcp, 4 backends",
        "cilium_lb4_services: 10.96.107.131:80/tcp slot 3: backend 30, 10.244.2.41:8080/tcp, "
        "active",
    )


class Fault(NamedTuple):
    """A change of the maps of td-w1, and what it is reported as."""

    change: Callable[[CiliumMaps], object]
    kind: Kind
    at: Place
    clients: tuple[Client, ...] = (Client.POD, Client.NODE)
    found: str = ""


def _set(place: Place, **changes: object) -> Callable[[CiliumMaps], object]:
    def change(maps: CiliumMaps) -> None:
        maps.frontends[place] = maps.frontends[place]._replace(**changes)

    return change


def _toggle(place: Place, flag: Flags) -> Callable[[CiliumMaps], object]:
    def change(maps: CiliumMaps) -> None:
        entry = maps.frontends[place]
        maps.frontends[place] = entry._replace(flags=entry.flags ^ flag)

    return change


def _add_stale_frontend(maps: CiliumMaps) -> None:
    place = Place(4, "10.96.9.9", "udp", 53)
    maps.frontends[place] = maps.frontends[WEB]
    maps.slots[place] = maps.slots[WEB]
    maps.reverse_nat[4, maps.frontends[WEB].reverse_nat] = place.address, place.port


EVERYONE = (Client.POD, Client.NODE, Client.OUTSIDE)
FAULTS = {
    "slot deleted": Fault(lambda m: m.slots[WEB].pop(2), Kind.BACKEND_MISSING, WEB),
    "count too low": Fault(_set(WEB, active=3), Kind.BACKEND_MISSING, WEB),
    "count too high": Fault(_set(WEB, active=5), Kind.WEIGHTS, WEB, found="20.00% to each of 4"),
    "count of nothing": Fault(_set(WEB, active=0), Kind.VERDICT, WEB, found="rejected"),
    "no slot left": Fault(
        lambda m: m.slots.pop(WEB),
        Kind.VERDICT,
        WEB,
        found="rejected: 4 slots, and none has a backend",
    ),
    "backend deleted": Fault(
        lambda m: m.backends.pop((4, m.slots[WEB][2])), Kind.BACKEND_MISSING, WEB
    ),
    "backend of another Service": Fault(
        lambda m: m.slots[WEB].update({2: 29}), Kind.BACKEND_STALE, WEB
    ),
    "one backend twice": Fault(
        lambda m: m.slots[WEB].update({2: m.slots[WEB][1]}), Kind.BACKEND_MISSING, WEB
    ),
    "foreign reverse NAT": Fault(
        _set(WEB, reverse_nat=2),
        Kind.VERDICT,
        WEB,
        found="dropped: reverse NAT entry 2 is 10.96.0.10:53, so replies have another source than "
        "10.96.107.131:80",
    ),
    "no reverse NAT": Fault(lambda m: m.reverse_nat.pop((4, 8)), Kind.VERDICT, WEB),
    "affinity shortened": Fault(_set(STICKY, affinity=60), Kind.AFFINITY, STICKY),
    "affinity switched off": Fault(_toggle(STICKY, Flags.AFFINITY), Kind.AFFINITY, STICKY),
    "affinity of one backend lost": Fault(
        lambda m: m.affinity.remove((26, m.frontends[STICKY].reverse_nat)),
        Kind.AFFINITY,
        STICKY,
        found="no affinity or affinity of 3600 s",
    ),
    "source range deleted": Fault(
        lambda m: m.source_ranges[4, m.frontends[LIMITED].reverse_nat].pop(),
        Kind.SOURCES,
        LIMITED,
        (Client.OUTSIDE,),
    ),
    "source ranges not checked": Fault(
        _toggle(LIMITED, Flags.SOURCE_RANGES), Kind.SOURCES, LIMITED, (Client.OUTSIDE,)
    ),
    "source ranges refused": Fault(
        _toggle(LIMITED, Flags.DENIES_RANGES), Kind.SOURCES, LIMITED, (Client.OUTSIDE,)
    ),
    "node port closed to others": Fault(
        _toggle(NODE_PORT, Flags.ROUTABLE),
        Kind.VERDICT,
        NODE_PORT._replace(address=""),
        (Client.OUTSIDE,),
        "dropped",
    ),
    "node port missing at the node's address": Fault(
        lambda m: m.frontends.pop(NODE_PORT),
        Kind.FRONTEND_MISSING,
        NODE_PORT._replace(address=""),
        (Client.OUTSIDE,),
    ),
    "node port missing for other nodes": Fault(
        lambda m: m.frontends.pop(ANY_NODE), Kind.FRONTEND_MISSING, ANY_NODE
    ),
    "scope missing": Fault(
        lambda m: m.frontends.pop(LOCAL._replace(scope=1)), Kind.FRONTEND_MISSING, LOCAL
    ),
    "scopes mixed up": Fault(_toggle(LOCAL, Flags.TWO_SCOPES), Kind.BACKEND_MISSING, LOCAL),
    "stale frontend": Fault(
        _add_stale_frontend, Kind.FRONTEND_STALE, Place(4, "10.96.9.9", "udp", 53), EVERYONE
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_maps_is_reported(fault: Fault) -> None:
    maps = copy.deepcopy(cilium_maps(maps_of("healthy", "td-w1")))
    fault.change(maps)
    found = differences("healthy", "td-w1", maps)
    wanted = (fault.kind, Frontend(*fault.at[:4]), fault.clients)
    matching = [each for each in found if (each.kind, each.frontend, each.clients) == wanted]
    assert matching, [(each.kind, each.frontend, each.clients, each.found) for each in found]
    assert fault.found in matching[0].found


HARMLESS: dict[str, Callable[[CiliumMaps], object]] = {
    "other ports are not dropped": lambda m: m.frontends.pop(Place(4, "10.96.0.10", "any", 0)),
    "a backend that nothing uses": lambda m: m.backends.update({(4, 999): m.backends[4, 1]}),
    "slots behind the count": lambda m: m.slots[WEB].update({9: 1}),
    "a source range that nothing checks": lambda m: m.source_ranges.update({(4, 999): []}),
    "backends left out": _set(WEB, left_out=3),
    "affinity of no seconds": _toggle(WEB, Flags.AFFINITY),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_no_connection_is_not_reported(change: Callable[[CiliumMaps], object]) -> None:
    maps = copy.deepcopy(cilium_maps(maps_of("healthy", "td-w1")))
    change(maps)
    assert differences("healthy", "td-w1", maps) == ()


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        (Flags.LOCAL_REDIRECT, "CiliumLocalRedirectPolicy"),
        (Flags.L7, "proxy"),
        (Flags.NAT_46X64, "IP family"),
    ],
)
def test_features_that_are_not_compared_make_a_frontend_inconclusive(
    flag: Flags, reason: str
) -> None:
    maps = copy.deepcopy(cilium_maps(maps_of("healthy", "td-w1")))
    _toggle(WEB, flag)(maps)
    (found,) = differences("healthy", "td-w1", maps)
    assert found.kind is Kind.UNDECIDED
    assert reason in found.found


def test_entries_of_local_redirect_policies_are_not_stale() -> None:
    maps = copy.deepcopy(cilium_maps(maps_of("healthy", "td-w1")))
    place = Place(4, "169.254.20.10", "udp", 53)
    maps.frontends[place] = maps.frontends[WEB]._replace(flags=Flags.LOCAL_REDIRECT)
    assert differences("healthy", "td-w1", maps) == ()


def test_host_ports_are_not_stale() -> None:
    """Pods with a host port have entries, too, and no Service."""
    maps = cilium_maps(maps_of("healthy", "td-w1"))
    host_ports = [each for each, of in maps.frontends.items() if of.flags & Flags.HOST_PORT]
    assert {each.port for each in host_ports} == {8088}


def test_a_service_without_endpoints_is_rejected() -> None:
    _, found = tables_of("healthy", "td-w1")
    empty = found.entries[Frontend(4, "10.96.32.159", "tcp", 80)]
    assert {each.verdict for each in empty.handlings.values()} == {Verdict.REJECT, Verdict.DROP}
    assert empty.handlings[Client.POD].verdict is Verdict.REJECT

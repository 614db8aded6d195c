"""What Cilium must do with Services: policies by client, readiness, topology, source ranges."""

import pytest
from msgspec.structs import replace

from tests.dataplane import small
from tests.dataplane.small import NODE, endpoint, service, slice_of
from wirecheck.api_index.backend import Backend
from wirecheck.api_index.cilium_services import DENY, NOT_COMPARED, WEIGHT, cilium_ports
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.dataplane.ebpf.node_view import CiliumNode
from wirecheck.dataplane.expected.cilium import expected_for_cilium
from wirecheck.dataplane.table import Client, Entry, Frontend, Handling, Verdict
from wirecheck.snapshot.objects.endpoint_slice import EndpointHints, EndpointSliceObject, HintZone
from wirecheck.snapshot.objects.metadata import ALLOWED_ANNOTATIONS, Metadata
from wirecheck.snapshot.objects.service import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    ServiceObject,
    ServicePortSpec,
    ServiceSpec,
    ServiceStatus,
)

HERE, THERE, GONE = (
    Backend("10.244.1.2", 8080),
    Backend("10.244.2.3", 8080),
    Backend("10.244.2.4", 8080),
)
WEB = small.WEB
NODE_PORT = Frontend(4, "", "tcp", 30080)
ANY_NODE = Frontend(4, "0.0.0.0", "tcp", 30080)
VIP = Frontend(4, "203.0.113.7", "tcp", 80)
BOTH = (endpoint(HERE.address, "here"), endpoint(THERE.address, "there"))


def node(**changes: object) -> CiliumNode:
    own = frozenset({"172.31.0.10"})
    known = {"name": "here", "addresses": {4: "172.31.0.10"}, "local_addresses": own, "zone": "a"}
    known |= {"node_port_addresses": {4: own}, "families": frozenset({4})}
    return CiliumNode(**{**known, "follows_topology": False, **changes})  # type: ignore[arg-type]


def entries(
    of: ServiceObject, *slices: EndpointSliceObject, on: CiliumNode | None = None
) -> dict[Frontend, Entry]:
    problems: list[str] = []
    ports = cilium_ports([of], slices_by_service(slices), problems)
    assert problems == []
    return dict(expected_for_cilium(ports, on or node()).entries)


def at_web(
    *slices: EndpointSliceObject, on: CiliumNode | None = None, **changes: object
) -> Handling:
    return entries(service(**changes), *slices, on=on)[WEB].handlings[Client.POD]


def load_balancer(*addresses: str, **changes: object) -> ServiceObject:
    ports = [ServicePortSpec(port=80, name="http", target_port="web", node_port=30080)]
    given = service(type="LoadBalancer", ports=ports, **changes)
    ingress = [LoadBalancerIngress(ip=each) for each in addresses or (VIP.address,)]
    return ServiceObject(given.metadata, given.spec, ServiceStatus(LoadBalancerStatus(ingress)))


def backends(entry: Entry) -> dict[Client, tuple[Backend, ...]]:
    return {client: each.backends for client, each in entry.handlings.items()}


def test_ready_endpoints_share_evenly() -> None:
    found = at_web(slice_of(*BOTH))
    assert (found.backends, found.shares) == ((HERE, THERE), (0.5, 0.5))


def test_endpoints_that_are_not_ready_are_left_out() -> None:
    waiting = endpoint(GONE.address, ready=False)
    assert at_web(slice_of(*BOTH, waiting)).backends == (HERE, THERE)


def test_terminating_endpoints_serve_where_no_other_is_ready() -> None:
    leaving = endpoint(GONE.address, ready=False, serving=True, terminating=True)
    silent = endpoint(THERE.address, ready=False, serving=False, terminating=True)
    assert at_web(slice_of(BOTH[0], leaving)).backends == (HERE,)
    assert at_web(slice_of(leaving, silent)).backends == (GONE,)
    assert at_web(slice_of(silent)).verdict is Verdict.REJECT


def test_clients_return_to_active_backends_only() -> None:
    leaving = endpoint(GONE.address, ready=False, serving=True, terminating=True)
    sticky = {"session_affinity": "ClientIP"}
    assert at_web(slice_of(*BOTH), **sticky).affinity == (10800,)
    assert at_web(slice_of(leaving), **sticky).affinity == (0,)


def test_without_endpoints_everybody_is_rejected() -> None:
    found = entries(load_balancer(external_traffic_policy="Local"), slice_of(BOTH[1]))
    assert found[VIP].handlings[Client.OUTSIDE].verdict is Verdict.REJECT
    assert found[NODE_PORT].handlings[Client.OUTSIDE].verdict is Verdict.REJECT
    assert found[NODE_PORT].handlings[Client.POD].backends == (THERE,)


@pytest.mark.parametrize(
    ("internal", "external", "from_here", "outside"),
    [
        ("Cluster", "Cluster", (HERE, THERE), (HERE, THERE)),
        ("Cluster", "Local", (HERE, THERE), (HERE,)),
        ("Local", "Cluster", (HERE,), (HERE, THERE)),
        ("Local", "Local", (HERE,), (HERE,)),
    ],
)
def test_each_side_follows_its_own_traffic_policy(
    internal: str,
    external: str,
    from_here: tuple[Backend, ...],
    outside: tuple[Backend, ...],
) -> None:
    given = load_balancer(internal_traffic_policy=internal, external_traffic_policy=external)
    found = entries(given, slice_of(*BOTH))
    everyone = {Client.POD: from_here, Client.NODE: from_here, Client.OUTSIDE: outside}
    assert backends(found[VIP]) == backends(found[NODE_PORT]) == everyone
    inside = {Client.POD: from_here, Client.NODE: from_here}
    assert backends(found[WEB]) == backends(found[ANY_NODE]) == inside


def test_an_endpoint_without_a_node_is_local_everywhere() -> None:
    nowhere = endpoint(GONE.address, "")
    assert at_web(slice_of(*BOTH, nowhere), internal_traffic_policy="Local").backends == (
        HERE,
        GONE,
    )


def test_external_ips_with_policies_that_differ_are_not_compared_for_pods() -> None:
    """They have one entry, and the look-up of pods asks for a second one."""
    external = {"external_ips": [VIP.address]}
    alike = entries(service(**external), slice_of(*BOTH))[VIP]
    other = entries(
        service(type="NodePort", external_traffic_policy="Local", **external), slice_of(*BOTH)
    )[VIP]
    assert set(alike.handlings) == {Client.POD, Client.OUTSIDE}
    assert set(other.handlings) == {Client.OUTSIDE}


def test_beside_kube_proxy_only_pods_are_clients() -> None:
    found = entries(load_balancer(), slice_of(*BOTH), on=node(replaces_kube_proxy=False))
    assert set(found) == {WEB}
    assert set(found[WEB].handlings) == {Client.POD}


def test_a_family_without_maps_is_left_out() -> None:
    both = {"cluster_ips": ["10.96.0.20", "fd00::20"], "ip_families": ["IPv4", "IPv6"]}
    assert set(entries(service(**both), slice_of(*BOTH))) == {WEB}
    dual = node(families=frozenset({4, 6}))
    assert set(entries(service(**both), slice_of(*BOTH), on=dual)) == {
        WEB,
        Frontend(6, "fd00::20", "tcp", 80),
    }


def test_source_ranges_are_for_clients_outside() -> None:
    found = entries(
        load_balancer(load_balancer_source_ranges=["198.51.100.0/24"]), slice_of(*BOTH)
    )[VIP]
    assert found.handlings[Client.OUTSIDE].allowed == ("198.51.100.0/24",)
    assert found.handlings[Client.POD].allowed is None


def test_ranges_of_the_other_family_leave_nobody() -> None:
    found = entries(load_balancer(load_balancer_source_ranges=["2001:db8::/32"]), slice_of(*BOTH))
    assert found[VIP].handlings[Client.OUTSIDE].verdict is Verdict.DROP


def test_a_range_of_everything_restricts_nothing() -> None:
    ranges = ["0.0.0.0/0", "198.51.100.0/24"]
    found = entries(load_balancer(load_balancer_source_ranges=ranges), slice_of(*BOTH))
    assert found[VIP].handlings[Client.OUTSIDE].allowed is None


def annotated(given: ServiceObject, **annotations: str) -> ServiceObject:
    metadata = Metadata(
        name="web",
        namespace="shop",
        annotations={
            f"service.cilium.io/{key.replace('_', '-')}": v for key, v in annotations.items()
        },
    )
    return ServiceObject(metadata, given.spec, given.status)


def test_ranges_can_be_refused_instead() -> None:
    given = load_balancer(load_balancer_source_ranges=["0.0.0.0/1"])
    found = entries(annotated(given, src_ranges_policy="deny"), slice_of(*BOTH))
    assert found[VIP].handlings[Client.OUTSIDE].allowed == ("128.0.0.0/1",)


@pytest.mark.parametrize("name", ["global", "node", "node_selector", "type", "proxy_delegation"])
def test_services_with_other_features_are_inconclusive(name: str) -> None:
    found = entries(annotated(service(), **{name: "true"}), slice_of(*BOTH))[WEB]
    handling = found.handlings[Client.POD]
    assert handling.verdict is Verdict.UNDECIDED
    assert handling.reason


@pytest.mark.parametrize("where", ["service", "slice"])
def test_what_another_proxy_serves_is_left_out(where: str) -> None:
    label = {"service.kubernetes.io/service-proxy-name": "other"}
    given = service()
    if where == "service":
        meta = Metadata(name="web", namespace="shop", labels=label)
        assert entries(ServiceObject(meta, given.spec), slice_of(*BOTH)) == {}
    else:
        assert at_web(slice_of(*BOTH, labels=label)).verdict is Verdict.REJECT


def test_endpoints_of_an_unnamed_port_serve_every_port() -> None:
    assert at_web(slice_of(*BOTH, name="")).backends == (HERE, THERE)
    assert at_web(slice_of(*BOTH, name="other")).verdict is Verdict.REJECT
    unnamed = {"ports": [ServicePortSpec(port=80, target_port="web")]}
    assert at_web(slice_of(*BOTH, name="other"), **unnamed).backends == (HERE, THERE)


def test_slices_that_contradict_each_other_leave_two_ways() -> None:
    ready, not_ready = slice_of(BOTH[0]), slice_of(endpoint(HERE.address, ready=False))
    ports = cilium_ports([service()], slices_by_service([ready, not_ready]), [])
    ways = expected_for_cilium(ports, node()).ambiguous[WEB]
    verdicts = {each.handlings[Client.POD].verdict for each in ways}
    assert verdicts == {Verdict.FORWARD, Verdict.REJECT}


def test_one_address_of_two_ports_belongs_to_either() -> None:
    """Cilium keeps the names that one slice gives to an address, port number and protocol."""
    other = slice_of(BOTH[0], name="other")
    ports = cilium_ports([service()], slices_by_service([slice_of(*BOTH), other]), [])
    ways = expected_for_cilium(ports, node()).ambiguous[WEB]
    assert {each.handlings[Client.POD].backends for each in ways} == {(HERE, THERE), (THERE,)}
    assert all(each.known == {HERE, THERE} for each in ways)


def hinted(address: str, on: str, *zones: str) -> object:
    hints = EndpointHints(for_zones=[HintZone(each) for each in zones])
    return endpoint(address, on, hints=hints, zone=zones[0])


def test_topology_counts_where_cilium_is_configured_so() -> None:
    slices = slice_of(hinted(HERE.address, "x", "a"), hinted(THERE.address, "y", "b"))  # type: ignore[arg-type]
    close = {"traffic_distribution": "PreferClose"}
    assert at_web(slices, **close).backends == (HERE, THERE)
    assert at_web(slices, on=node(follows_topology=True), **close).backends == (HERE,)
    assert at_web(slices, on=node(follows_topology=True)).backends == (HERE, THERE)
    unknown = at_web(slices, on=node(follows_topology=None), **close)
    assert unknown.verdict is Verdict.UNDECIDED
    assert "enable-service-topology" in unknown.reason


def test_a_zone_without_endpoints_uses_all() -> None:
    slices = slice_of(hinted(HERE.address, "x", "c"), hinted(THERE.address, "y", "b"))  # type: ignore[arg-type]
    found = at_web(slices, on=node(follows_topology=True), traffic_distribution="PreferClose")
    assert found.backends == (HERE, THERE)


def test_the_same_node_is_preferred_while_it_has_an_endpoint() -> None:
    same = {"on": node(follows_topology=True), "traffic_distribution": "PreferSameNode"}
    assert at_web(slice_of(*BOTH), **same).backends == (HERE,)  # type: ignore[arg-type]
    assert at_web(slice_of(BOTH[1]), **same).backends == (THERE,)  # type: ignore[arg-type]


def test_a_headless_label_leaves_the_service_out() -> None:
    meta = Metadata(name="web", namespace="shop", labels={"service.kubernetes.io/headless": ""})
    assert entries(ServiceObject(meta, ServiceSpec(cluster_ip="10.96.0.20")), slice_of(*BOTH)) == {}


def test_the_node_of_the_tests_has_its_address() -> None:
    assert NODE.status.addresses[0].address == node().addresses[4]


def test_annotations_that_change_what_cilium_does_are_read_from_the_api() -> None:
    assert {*NOT_COMPARED, DENY, WEIGHT} <= ALLOWED_ANNOTATIONS


def weighing(weight: str, given: EndpointSliceObject) -> EndpointSliceObject:
    annotations = {"service.cilium.io/weight": weight}
    return replace(given, metadata=replace(given.metadata, annotations=annotations))


@pytest.mark.parametrize("weight", ["0", "00"])
def test_a_slice_of_no_weight_is_in_maintenance(weight: str) -> None:
    found = entries(service(), weighing(weight, slice_of(*BOTH)))[WEB]
    assert found.handlings[Client.POD].verdict is Verdict.REJECT


@pytest.mark.parametrize("weight", ["70", "-0", "none", "", "0x0", "1" + "0" * 40])
def test_other_weights_do_not_change_the_slots(weight: str) -> None:
    found = entries(service(), weighing(weight, slice_of(*BOTH)))[WEB]
    assert found.handlings == entries(service(), slice_of(*BOTH))[WEB].handlings


def test_endpoints_of_other_slices_stay_in_use() -> None:
    first, second = BOTH
    slices = weighing("0", slice_of(first)), slice_of(second)
    found = entries(service(), *slices)[WEB].handlings[Client.POD]
    assert found == entries(service(), slice_of(second))[WEB].handlings[Client.POD]

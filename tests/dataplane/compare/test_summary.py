"""Many differences with one cause are reported as one; all others stay separate."""

from msgspec import structs

from tests.dataplane import small
from tests.dataplane.small import NAT, WEB, endpoint, facts, index_of, service, slice_of
from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.clients import clients_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.compare.summary import Summary, summarised
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import (
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    ServiceTable,
    Verdict,
)
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.service import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    ServiceObject,
    ServicePortSpec,
    ServiceStatus,
)

BACKEND = Backend("10.244.1.2", 8080)
FIRST, SECOND = "172.31.0.10", "172.31.0.11"
NODE_PORT = Frontend(4, "", "tcp", 30080)
AT_SECOND = Frontend(4, SECOND, "tcp", 30080)
BALANCED = Frontend(4, "192.0.2.200", "tcp", 80)
OTHER = Frontend(4, "10.96.0.30", "tcp", 30080)
NODE_PORTS = """
    -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
    {refusal}
    -A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-WEB
    -A KUBE-EXT-WEB -j KUBE-MARK-MASQ
    -A KUBE-EXT-WEB -j KUBE-SVC-WEB
"""


def with_node_port() -> ServiceObject:
    ports = [ServicePortSpec(port=80, name="http", target_port="web", node_port=30080)]
    return service(type="NodePort", ports=ports)


def other_service() -> ServiceObject:
    """Its cluster address has the port that is a node port of `web`."""
    ports = [ServicePortSpec(port=30080, name="http")]
    spec = service(cluster_ip=OTHER.address, cluster_ips=[OTHER.address], ports=ports).spec
    return ServiceObject(Metadata(name="other", namespace="shop"), spec)


def summary(nat: str, *services: ServiceObject) -> Summary:
    """What is reported about a node with two addresses and these rules."""
    slices = [
        slice_of(endpoint("10.244.1.2", "here"), endpoint("10.244.2.3")),
        slice_of(endpoint("10.244.2.4"), labels={"kubernetes.io/service-name": "other"}),
    ]
    index = index_of(ApiObjects(services=list(services), endpoint_slices=slices))
    used = facts()
    clients = clients_of(small.NODE, used, [FIRST, SECOND], [FIRST, SECOND])
    wanted = expected_table(index, small.NODE, used, clients)
    found = read_iptables({4: small.save({"nat": nat})}, clients, wanted.entries)
    return summarised(wanted, compare(wanted, found))


def single(reported: Summary) -> set[tuple[Frontend, Kind]]:
    return {(each.frontend, each.kind) for each in reported.single}


def refusing(rule: str) -> str:
    return NAT + NODE_PORTS.format(refusal=f"-A KUBE-NODEPORTS {rule}")


NFQUEUE = "-A PREROUTING -j NFQUEUE --queue-num 0\n"


def test_frontends_of_which_nothing_is_known_are_not_decided() -> None:
    """A program gets all packets, or only those that arrive from elsewhere."""
    healthy = summary(NAT, service(), other_service())
    queued = summary(NFQUEUE + NAT, service(), other_service())
    also_sent = summary(NFQUEUE + NFQUEUE.replace("PREROUTING", "OUTPUT") + NAT, service())

    assert (healthy.compared, healthy.decided) == (2, 2)
    assert (queued.compared, queued.decided) == (2, 2)
    assert (also_sent.compared, also_sent.decided) == (1, 0)


def test_one_service_alone_is_reported_by_its_name() -> None:
    reported = summary("", with_node_port())
    assert not reported.common
    assert single(reported) == {
        (WEB, Kind.FRONTEND_MISSING),
        (NODE_PORT, Kind.FRONTEND_MISSING),
    }


def test_all_of_two_services_are_reported_as_one() -> None:
    reported = summary("", with_node_port(), other_service())
    assert not reported.single
    assert {each.kind for each in reported.common} == {Kind.FRONTEND_MISSING}
    assert {each.services for each in reported.common} == {2}
    assert {client for each in reported.common for client in each.clients} == {*Client}


def test_a_healthy_node_port_has_no_difference() -> None:
    reported = summary(NAT + NODE_PORTS.format(refusal=""), with_node_port())
    assert not reported.single
    assert not reported.common


def limited(*ranges: str) -> ServiceObject:
    """The Service at a load balancer's address, for clients in these ranges."""
    ingress = [LoadBalancerIngress(ip=BALANCED.address)]
    made = service(type="LoadBalancer", load_balancer_source_ranges=list(ranges))
    return structs.replace(made, status=ServiceStatus(LoadBalancerStatus(ingress)))


RANGES = """
    -A KUBE-SERVICES -d 192.0.2.200/32 -p tcp -m tcp --dport 80 -j KUBE-FW-WEB
    -A KUBE-FW-WEB -s 172.31.0.0/24 -j KUBE-EXT-WEB
    -A KUBE-EXT-WEB -j KUBE-MARK-MASQ
    -A KUBE-EXT-WEB -j KUBE-SVC-WEB
"""


def test_pods_outside_of_source_ranges_that_are_not_enforced_are_no_missing_frontend() -> None:
    """As when kube-proxy's jumps to KUBE-PROXY-FIREWALL are gone."""
    reported = summary(NAT + RANGES, limited("172.31.0.0/24"))

    assert {kind for frontend, kind in single(reported) if frontend == BALANCED} == {Kind.SOURCES}


def test_a_balanced_address_without_any_rule_is_a_missing_frontend() -> None:
    reported = summary(NAT, limited("172.31.0.0/24"))

    assert (BALANCED, Kind.FRONTEND_MISSING) in single(reported)


def test_what_differs_alike_at_all_addresses_of_the_node_is_reported_once() -> None:
    reported = summary(refusing("-p tcp -m tcp --dport 30080 -j DROP"), with_node_port())
    assert single(reported) == {(NODE_PORT, Kind.VERDICT)}


def test_what_differs_at_a_further_address_alone_is_reported() -> None:
    rule = f"-d {SECOND}/32 -p tcp -m tcp --dport 30080 -j DROP"
    reported = summary(refusing(rule), with_node_port())
    assert single(reported) == {(AT_SECOND, Kind.VERDICT)}


def test_what_differs_at_a_further_address_for_more_clients_is_reported() -> None:
    at_second = f"-d {SECOND}/32 -p tcp -m tcp --dport 30080 -j DROP"
    for_pods = "-A KUBE-NODEPORTS -s 10.244.1.0/24 -p tcp -m tcp --dport 30080 -j DROP"
    reported = summary(refusing(f"{at_second}\n    {for_pods}"), with_node_port())
    assert single(reported) == {(NODE_PORT, Kind.VERDICT), (AT_SECOND, Kind.VERDICT)}


def test_another_services_port_of_the_same_number_is_no_repetition() -> None:
    reported = summary(NAT, with_node_port(), other_service())
    assert single(reported) == {
        (NODE_PORT, Kind.FRONTEND_MISSING),
        (OTHER, Kind.FRONTEND_MISSING),
    }


def forwarding(masquerade: Masquerade) -> Handling:
    return Handling(Verdict.FORWARD, (BACKEND,), (1.0,), masquerade=masquerade)


def masquerading(**wanted: tuple[Client, Handling]) -> Summary:
    """What is reported if no connection to these Services is masqueraded."""
    expected, found = {}, {}
    for number, (name, (client, handling)) in enumerate(wanted.items()):
        frontend = Frontend(4, f"10.96.0.{number}", "tcp", 80)
        owner = ServicePort("shop", name, "http", "tcp")
        expected[frontend] = Entry(frontend, {client: handling}, owner, frozenset({BACKEND}))
        never = handling
        if handling.verdict is Verdict.FORWARD:
            never = structs.replace(handling, masquerade=Masquerade.NEVER)
        found[frontend] = Entry(frontend, {client: never}, programmed_by="KUBE-SERVICES")
    wanted_table, actual = ServiceTable(entries=expected), ServiceTable(entries=found)
    return summarised(wanted_table, compare(wanted_table, actual))


def test_missing_masquerading_is_one_finding_whoever_is_never_masqueraded() -> None:
    always = (Client.OUTSIDE, forwarding(Masquerade.ALWAYS))
    never = (Client.OUTSIDE, forwarding(Masquerade.NEVER))
    refused = (Client.OUTSIDE, Handling(Verdict.REJECT))

    reported = masquerading(a=always, b=always, c=never, d=refused)

    assert [(each.kind, each.services) for each in reported.common] == [(Kind.MASQUERADE, 2)]
    assert not reported.single


def test_missing_masquerading_of_some_services_is_theirs() -> None:
    always = (Client.OUTSIDE, forwarding(Masquerade.ALWAYS))
    lost = masquerading(a=always)

    assert not lost.common
    assert [each.kind for each in lost.single] == [Kind.MASQUERADE]


def test_the_masquerading_of_refused_connections_does_not_matter() -> None:
    """In IPVS mode a Service without endpoints is refused, and would be masqueraded otherwise."""
    always = (Client.OUTSIDE, forwarding(Masquerade.ALWAYS))
    refused = (Client.OUTSIDE, Handling(Verdict.REJECT, masquerade=Masquerade.ALWAYS))

    (common,) = masquerading(a=always, b=always, c=refused).common

    assert (common.kind, common.services, common.wanted) == (Kind.MASQUERADE, 2, Verdict.FORWARD)


def test_services_that_should_be_refused_and_are_forwarded_are_no_common_fault() -> None:
    """Their rules are reached, and out of date: a rollout has just taken their last endpoints."""
    expected, found = {}, {}
    for name in ("10.96.0.1", "10.96.0.2"):
        frontend = Frontend(4, name, "tcp", 80)
        refused = {Client.POD: Handling(Verdict.REJECT)}
        owner = ServicePort("shop", name, "http", "tcp")
        expected[frontend] = Entry(frontend, refused, owner, frozenset())
        found[frontend] = Entry(frontend, {Client.POD: forwarding(Masquerade.NEVER)})
    wanted, actual = ServiceTable(entries=expected), ServiceTable(entries=found)

    reported = summarised(wanted, compare(wanted, actual))

    assert not reported.common
    assert {each.frontend.address for each in reported.single} == {"10.96.0.1", "10.96.0.2"}


def test_a_common_difference_says_how_many_and_which_frontends() -> None:
    always = (Client.OUTSIDE, forwarding(Masquerade.ALWAYS))

    (common,) = masquerading(a=always, b=always).common

    assert (common.family, common.where) == (4, "IPv4 tcp")
    assert common.extent == "all 2 frontends of 2 Services"
    assert common.clients == (Client.OUTSIDE,)

"""The checks of ports of nodes, each on a cluster where one connection ends otherwise."""

import msgspec
import pytest

from tests.checks.small_ports import (
    ANYWHERE,
    HEALTH,
    LOCAL,
    ON_HOST,
    add_service,
    change_port,
    connect,
    with_ports,
)
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.snapshot.index import VisitRecord, VisitStatus

CHECKS = (
    "node_ports",
    "local_node_ports",
    "health_check_node_ports",
    "host_ports",
)
LOST = {"made": 0, "tries": 2, "error": "timeout"}
REFUSED = {"made": 0, "tries": 2, "error": "refused"}
OWN, OTHER, POD = "192.0.2.1", "192.0.2.2", "10.244.0.3"


@pytest.fixture
def ports():
    return with_ports()


def found(small):
    """(check, object, what was found) of all that counts."""
    return [
        (check, each.subject.part, each.found)
        for check in CHECKS
        for each in small.findings(f"reachability.{check}")
        if not each.inconclusive
    ]


def excuses(small, check):
    return [each.inconclusive for each in small.findings(f"reachability.{check}")]


def test_a_healthy_cluster_is_asked_and_has_no_findings(ports):
    assert found(ports) == []
    asked = {(each.purpose, each.address, each.port) for each in ports.document.contacts}
    assert {
        ("node port", OWN, ANYWHERE),
        ("node port", OTHER, ANYWHERE),
        ("node port", OWN, LOCAL),
        ("node port", OTHER, LOCAL),
        ("health check", OWN, HEALTH),
        ("health check", OTHER, HEALTH),
        ("host port", OWN, ON_HOST),
        ("backend", POD, 8080),
    } <= asked


@pytest.mark.parametrize("where", [OWN, OTHER])
def test_a_node_port_that_does_not_answer_is_found(ports, where):
    change_port(ports, where, ANYWHERE, **LOST)

    ((check, part, what),) = found(ports)
    assert check == "node_ports"
    node = "n1" if where == OWN else "n2"
    assert (
        part == f"from the node to node port of Service shop/web at Node {node} {where}:{ANYWHERE}"
    )
    assert what == "timeout in 2 of 2 tries"


def test_a_local_node_port_that_is_silent_beside_its_endpoint_is_found(ports):
    change_port(ports, OWN, LOCAL, **LOST)

    assert [check for check, *_ in found(ports)] == ["node_ports"]


def test_a_local_node_port_that_answers_without_an_endpoint_is_found(ports):
    change_port(ports, OTHER, LOCAL, made=1, error="")

    ((check, part, what),) = found(ports)
    assert (check, what) == ("local_node_ports", "a TCP connection")
    assert part.endswith(f"Service shop/web-local at Node n2 {OTHER}:{LOCAL}")


def test_a_refused_node_port_counts_unless_the_pod_refuses_too(ports):
    change_port(ports, OTHER, ANYWHERE, **REFUSED)
    assert [check for check, *_ in found(ports)] == ["node_ports"]

    change_port(ports, POD, 8080, **REFUSED)
    assert found(ports) == []
    assert excuses(ports, "node_ports") == ["pods that refuse connections themselves"]


def test_pods_behind_an_ingress_policy_are_not_evaluated(ports):
    metadata = {"name": "deny", "namespace": "shop"}
    spec = {"podSelector": {}, "policyTypes": ["Ingress"]}
    ports.api["networkPolicies"] = [{"metadata": metadata, "spec": spec}]
    change_port(ports, OTHER, ANYWHERE, **LOST)
    change_port(ports, OWN, ON_HOST, **LOST)

    assert excuses(ports, "node_ports") == ["NetworkPolicy shop/deny"]
    assert excuses(ports, "host_ports") == ["NetworkPolicy shop/deny"]


def configure(ports, text):
    metadata = {"name": "kube-proxy", "namespace": "kube-system"}
    ports.api["configMaps"] = [{"metadata": metadata, "data": {"config.conf": text}}]


@pytest.mark.parametrize(
    ("ranges", "excuse"),
    [
        ("[203.0.113.0/24]", "kube-proxy's nodePortAddresses"),
        ("[192.0.2.0/24]", ""),
        ("[primary]", ""),
        ("['fd00::/8']", ""),
    ],
)
def test_addresses_that_kube_proxy_leaves_out_are_not_evaluated(ports, ranges, excuse):
    configure(ports, f"nodePortAddresses: {ranges}")
    change_port(ports, OTHER, ANYWHERE, **LOST)

    assert excuses(ports, "node_ports") == [excuse]


def test_a_node_that_counts_as_a_pod_does_not_check_local_ports(ports):
    configure(ports, "clusterCIDR: 192.0.0.0/8")

    with pytest.raises(NotApplicable, match="connections as those of pods"):
        ports.findings("reachability.local_node_ports")


def test_local_ports_of_another_program_than_kube_proxy_are_not_evaluated(ports):
    metadata = {"name": "cilium-config", "namespace": "kube-system"}
    data = {"kube-proxy-replacement": "true"}
    ports.api["configMaps"] = [{"metadata": metadata, "data": data}]

    with pytest.raises(NotApplicable, match="Cilium"):
        ports.findings("reachability.local_node_ports")
    assert ports.findings("reachability.node_ports") == []


@pytest.mark.parametrize(
    ("where", "fields", "what"),
    [
        (OWN, {"status": 503, "endpoints": 0}, "HTTP 503, 0 endpoints"),
        (OTHER, {"status": 200, "endpoints": 3}, "HTTP 200, 3 endpoints"),
        (OTHER, {"status": 200, "endpoints": None}, "HTTP 200"),
        (OTHER, {**LOST, "status": None}, "timeout in 2 of 2 tries"),
        (OWN, {**LOST, "error": "no HTTP answer"}, "no HTTP answer in 2 of 2 tries"),
    ],
)
def test_a_health_check_that_lies_or_is_silent_is_found(ports, where, fields, what):
    change_port(ports, where, HEALTH, **fields)

    ((check, part, seen),) = found(ports)
    assert (check, seen) == ("health_check_node_ports", what)
    assert part.startswith("from the node to health checks of Service shop/web-local at Node")


def test_a_host_port_that_does_not_answer_is_found(ports):
    change_port(ports, OWN, ON_HOST, **LOST)

    ((check, part, _),) = found(ports)
    assert check == "host_ports"
    assert part == f"from the node to host port of Pod shop/web at Node n1 {OWN}:{ON_HOST}"


def test_a_host_port_is_not_evaluated_where_the_pod_refuses(ports):
    change_port(ports, OWN, ON_HOST, **REFUSED)
    change_port(ports, POD, 8080, **REFUSED)

    assert excuses(ports, "host_ports") == ["pods that refuse connections themselves"]


@pytest.mark.parametrize("check", CHECKS)
def test_a_cluster_without_such_ports_is_skipped(small, check):
    with pytest.raises(NotApplicable):
        small.findings(f"reachability.{check}")


def test_where_every_node_has_an_endpoint_nothing_is_to_stay_closed(ports):
    (slice_,) = [e for e in ports.api["endpointSlices"] if e["metadata"]["name"] == "web-local-1"]
    slice_["endpoints"].append({**slice_["endpoints"][0], "nodeName": "n2"})

    with pytest.raises(NotApplicable, match="every node that was checked"):
        ports.findings("reachability.local_node_ports")


@pytest.mark.parametrize("mode", ["ipvs", ""])
def test_a_node_that_may_be_in_ipvs_mode_is_not_evaluated(ports, mode):
    ports.others["n2"] = VisitRecord(VisitStatus.SEEN, proxy_mode=mode)
    change_port(ports, OTHER, LOCAL, made=1, error="")

    with pytest.raises(NotApplicable, match="IPVS mode"):
        ports.findings("reachability.local_node_ports")


def test_services_of_other_proxies_are_ignored():
    small = with_ports()
    add_service(small, "others", 30099, type="NodePort")
    small.api["services"][-1]["metadata"]["labels"] = {
        "service.kubernetes.io/service-proxy-name": "other"
    }
    connect(small)

    assert 30099 not in {each.port for each in small.document.contacts}


@pytest.mark.parametrize(
    ("fields", "is_excused"), [(REFUSED, True), (LOST, False), ({"made": 1, "error": ""}, False)]
)
def test_only_a_refusal_of_the_pods_explains_one_of_the_port(ports, fields, is_excused):
    change_port(ports, OTHER, ANYWHERE, **REFUSED)
    change_port(ports, POD, 8080, **fields)

    assert bool(found(ports)) is not is_excused


def test_what_other_pods_refuse_explains_nothing(ports):
    change_port(ports, OTHER, ANYWHERE, **REFUSED)
    change_port(ports, POD, 8080, **REFUSED)
    contacts = ports.document.contacts
    backend = next(each for each in contacts if each.purpose == "backend")
    other = msgspec.structs.replace(backend, address="10.244.1.77", made=1, tries=1, error="")
    ports.change_document(contacts=[*contacts, other])
    assert found(ports) == []

    left = [each for each in contacts if each.purpose != "backend"]
    ports.change_document(contacts=[*left, msgspec.structs.replace(other, **REFUSED)])
    assert [check for check, *_ in found(ports)] == ["node_ports"]

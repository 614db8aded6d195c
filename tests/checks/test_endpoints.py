"""The checks of endpoints, each on a cluster where one thing is broken."""

import pytest

from wirecheck.catalogue.findings import Level, NotApplicable

DNS_POD, WEB_POD = 0, 1


@pytest.fixture
def endpoint(small):
    """The endpoint of kube-dns, to be changed."""
    small.api["endpointSlices"][0]["metadata"]["labels"][
        "endpointslice.kubernetes.io/managed-by"
    ] = "endpointslice-controller.k8s.io"
    return small.api["endpointSlices"][0]["endpoints"][0]


def test_an_endpoint_whose_pod_is_gone_is_found(small, endpoint):
    endpoint["targetRef"]["name"] = "dns-of-yesterday"

    (finding,) = small.findings("endpoints.match_pods")
    assert finding.found == "the pod does not exist"
    assert str(finding.subject) == "Service kube-system/kube-dns"
    assert ("Pod", "kube-system", "dns-of-yesterday") in [c.object_key for c in finding.concerns]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"addresses": ["10.244.0.9"]}, "the pod has 10.244.0.2"),
        ({"nodeName": "n2"}, "the pod is on node n1, not on n2"),
        (
            {"targetRef": {"kind": "Pod", "name": "dns", "namespace": "kube-system", "uid": "old"}},
            "the pod was replaced by another one of the same name",
        ),
    ],
    ids=["address", "node", "uid"],
)
def test_an_endpoint_that_is_not_its_pod_is_found(small, endpoint, change, found):
    endpoint.update(change)

    assert [f.found for f in small.findings("endpoints.match_pods")] == [found]


def test_an_endpoint_that_names_no_pod_may_be_anything(small, endpoint):
    endpoint.update(targetRef=None, addresses=["192.0.2.99"])

    assert not small.findings("endpoints.match_pods")


@pytest.mark.parametrize("said", [True, None])
def test_a_ready_endpoint_of_a_pod_that_is_not_is_found(small, endpoint, said):
    endpoint["conditions"]["ready"] = said
    small.api["pods"][DNS_POD]["status"]["conditions"][0]["status"] = "False"

    (finding,) = small.findings("endpoints.readiness_matches")
    assert finding.found == "ready"


def test_an_endpoint_that_is_not_ready_of_a_pod_that_is_is_found(small, endpoint):
    endpoint["conditions"]["ready"] = False

    (finding,) = small.findings("endpoints.readiness_matches")
    assert finding.found == "not ready"


def test_a_pod_that_is_being_deleted_is_not_a_ready_endpoint(small, endpoint):
    small.api["pods"][DNS_POD]["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"

    assert [f.found for f in small.findings("endpoints.readiness_matches")] == ["ready"]


def test_a_service_may_publish_pods_that_are_not_ready(small, endpoint):
    small.api["services"][1]["spec"]["publishNotReadyAddresses"] = True
    small.api["pods"][DNS_POD]["status"]["conditions"][0]["status"] = "False"

    assert not small.findings("endpoints.readiness_matches")


def test_slices_of_others_say_themselves_what_is_ready(small, endpoint):
    small.api["endpointSlices"][0]["metadata"]["labels"][
        "endpointslice.kubernetes.io/managed-by"
    ] = "mesh.example.test"
    endpoint["conditions"]["ready"] = False

    assert not small.findings("endpoints.readiness_matches")


def test_a_ready_pod_that_no_slice_names_is_found(small, endpoint):
    small.api["services"][1]["spec"]["selector"] = {"app": "web"}
    small.api["pods"][WEB_POD]["metadata"]["namespace"] = "kube-system"

    (finding,) = small.findings("endpoints.complete")
    assert "Pod kube-system/web" in finding.expected


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"podIP": "", "podIPs": []},
        {"conditions": [{"type": "Ready", "status": "False"}]},
    ],
    ids=["finished", "failed", "no address yet", "not ready"],
)
def test_a_pod_that_cannot_serve_need_not_be_named(small, endpoint, change):
    small.api["endpointSlices"] = []
    small.api["pods"][DNS_POD]["status"].update(change)

    assert not small.findings("endpoints.complete")


def test_a_pod_that_is_being_deleted_need_not_be_named_even_where_all_are_published(small):
    small.api["endpointSlices"] = []
    small.api["services"][1]["spec"]["publishNotReadyAddresses"] = True
    assert len(small.findings("endpoints.complete")) == 1

    small.api["pods"][DNS_POD]["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert not small.findings("endpoints.complete")


def test_a_service_without_a_selector_selects_nothing(small, endpoint):
    small.api["endpointSlices"] = []
    small.api["services"][1]["spec"]["selector"] = {}

    assert not small.findings("endpoints.complete")


SELECTOR = "endpoints.selector_matches"


def service_of(small, namespace="shop", **selector):
    metadata = {"name": "web", "namespace": namespace}
    small.api["services"].append({"metadata": metadata, "spec": {"selector": selector}})


@pytest.mark.parametrize(
    ("selector", "labels", "found"),
    [
        ({"app": "frontned"}, {"app": "frontend"}, "app=frontend"),
        ({"app": "Front-End"}, {"app": "front_end"}, "app=front_end"),
        ({"app": "frontends"}, {"app": "frontend"}, "app=frontend"),
        ({"app": "shop-frontend"}, {"app": "shop-fronten"}, "app=shop-fronten"),
        ({"app": "shop"}, {"app.kubernetes.io/name": "shop"}, "app.kubernetes.io/name=shop"),
        ({"App": "shop", "tier": "x"}, {"app": "shop", "tier": "x"}, "app=shop"),
        ({"release": "shop"}, {"example.org/instance": "shop"}, "example.org/instance=shop"),
    ],
)
def test_a_mistyped_selector_is_found(small, selector, labels, found):
    small.api["pods"][WEB_POD]["metadata"]["labels"] = labels
    service_of(small, **selector)

    (finding,) = small.findings(SELECTOR)
    assert finding.level is Level.WARN
    assert finding.found == f"none, but Pod shop/web has {found}"


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ({"app": "web", "colour": "blue"}, {"app": "web", "colour": "green"}),
        ({"app": "web", "version": "v1"}, {"app": "web", "version": "v2"}),
        ({"app": "db", "role": "primary"}, {"app": "db", "role": "replica"}),
        ({"app": "db", "index": "db-1"}, {"app": "db", "index": "db-0"}),
        ({"app": "worker1"}, {"app": "worker2"}),
        ({"app": "dev"}, {"app": "dex"}),
        ({"app": "shop-a"}, {"app": "shop-b"}),
        ({"app": "web", "tier": "front"}, {"name": "web", "layer": "front"}),
        ({"enabled": "true"}, {"ready": "true"}),
        (
            {"app": "redis"},
            {"app.kubernetes.io/instance": "redis", "app.kubernetes.io/name": "redis-exporter"},
        ),
        ({"app": "kafka"}, {"strimzi.io/cluster": "kafka", "strimzi.io/kind": "Kafka"}),
        ({}, {"app": "web"}),
        ({"app": "web"}, {"app": "web"}),
    ],
    ids=str,
)
def test_a_service_at_zero_on_purpose_is_no_finding(small, selector, labels):
    small.api["pods"][WEB_POD]["metadata"]["labels"] = labels
    service_of(small, **selector)

    assert small.findings(SELECTOR) == []


def test_pods_of_other_namespaces_and_finished_pods_do_not_count(small):
    small.api["pods"][WEB_POD]["metadata"]["labels"] = {"app": "frontend"}
    service_of(small, "elsewhere", app="frontned")
    assert small.findings(SELECTOR) == []

    service_of(small, app="frontned")
    small.api["pods"][WEB_POD]["status"]["phase"] = "Succeeded"
    assert small.findings(SELECTOR) == []


def test_a_daemonset_that_selects_no_node_is_no_finding(small):
    small.api["pods"][WEB_POD]["metadata"]["labels"] = {"app": "frontend"}
    service_of(small, app="frontends")
    assert len(small.findings(SELECTOR)) == 1

    metadata = {"name": "frontends", "namespace": "shop"}
    selector = {"matchLabels": {"app": "frontends", "tier": "web"}}
    small.api["daemonSets"] = [{"metadata": metadata, "spec": {"selector": selector}}]
    assert small.findings(SELECTOR) == []


@pytest.mark.parametrize("value", ["nothing", "kube-dsn", "coredns"])
def test_the_dns_service_without_its_pods_is_a_failure(small, value):
    small.api["services"][1]["spec"]["selector"] = {"k8s-app": value}

    (finding,) = small.findings(SELECTOR)
    assert finding.level is Level.FAIL
    assert finding.found == "none, but Pod kube-system/dns has k8s-app=kube-dns"


ADDRESSES = "endpoints.addresses_exist"


@pytest.fixture
def foreign(small):
    """A slice of another manager for a Service that selects the web pod."""
    service_of(small, app="web")
    labels = {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "cloud-provider.example",
    }
    slice_ = {
        "metadata": {"name": "web-1", "namespace": "shop", "labels": labels},
        "endpoints": [{"addresses": ["10.244.0.3"], "conditions": {"ready": True}}],
    }
    small.api["endpointSlices"].append(slice_)
    return slice_


def test_the_address_of_a_pod_is_right_in_a_slice_of_another_manager(small, foreign):
    assert small.findings(ADDRESSES) == []


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("192.0.2.2", "the address of node n2"),
        ("10.244.0.77", "an address from a node's pod range that no pod has"),
        ("10.244.1.77", "an address from a node's pod range that no pod has"),
    ],
)
def test_an_address_that_is_no_endpoint_is_found(small, foreign, address, found):
    foreign["endpoints"].append({"addresses": [address]})

    (finding,) = small.findings(ADDRESSES)
    assert finding.found == found
    assert dict(finding.names) == {"slice": "web-1", "manager": "cloud-provider.example"}


@pytest.mark.parametrize(
    "endpoint",
    [
        {"addresses": ["203.0.113.9"]},
        {"addresses": ["10.244.0.77"], "conditions": {"ready": False}},
        {"addresses": ["10.244.0.77"], "targetRef": {"kind": "Pod", "name": "x"}},
        {"addresses": ["odd"]},
        {"addresses": ["10.244.1.1"]},
    ],
    ids=["outside", "not ready", "names a pod", "no address", "gateway"],
)
def test_an_address_that_can_be_anything_is_no_finding(small, foreign, endpoint):
    foreign["endpoints"].append(endpoint)

    assert small.findings(ADDRESSES) == []


def test_a_service_without_a_selector_may_mean_a_node(small, foreign):
    foreign["endpoints"].append({"addresses": ["192.0.2.2"]})
    small.api["services"][-1]["spec"]["selector"] = {}

    assert small.findings(ADDRESSES) == []


def test_a_pod_on_the_host_network_has_the_address_of_its_node(small, foreign):
    foreign["endpoints"].append({"addresses": ["192.0.2.1"]})
    small.api["services"][-1]["spec"]["selector"] = {"app": "agent"}
    agent = small.api["pods"][2]["metadata"]
    agent |= {"namespace": "shop", "labels": {"app": "agent"}}

    assert small.findings(ADDRESSES) == []


def test_only_slices_of_the_controller_leave_nothing_to_evaluate(small, endpoint):
    with pytest.raises(NotApplicable, match="kube-controller-manager"):
        small.findings(ADDRESSES)

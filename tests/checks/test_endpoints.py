"""The checks of endpoints, each on a cluster where one thing is broken."""

import pytest

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

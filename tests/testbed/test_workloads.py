from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from testbed.images import IMAGES
from testbed.layout import SUBNETS, Layout
from testbed.workloads import NEVER_READY, files, manifest

Document = dict[str, Any]

LAYOUT = Layout(SUBNETS[1])


def documents() -> list[Document]:
    return [d for file in files() for d in yaml.safe_load_all(manifest(file, LAYOUT)) if d]


def of_kind(kind: str) -> list[Document]:
    return [d for d in documents() if d["kind"] == kind]


def services() -> dict[str, Document]:
    return {d["metadata"]["name"]: d["spec"] for d in of_kind("Service")}


def pod_specs() -> Iterator[tuple[str, Document]]:
    for document in documents():
        name = document["metadata"]["name"]
        if document["kind"] == "Pod":
            yield name, document["spec"]
        elif "template" in document.get("spec", {}):
            yield name, document["spec"]["template"]["spec"]


def containers() -> Iterator[Document]:
    for _, spec in pod_specs():
        yield from spec["containers"]
        yield from spec.get("initContainers", ())


def test_every_container_runs_an_image_of_the_bed_that_nothing_pulls() -> None:
    made = {image.name for image in IMAGES}
    assert {c["image"] for c in containers()} <= made
    assert {c["imagePullPolicy"] for c in containers()} == {"Never"}


def test_every_controller_kind_runs_something() -> None:
    kinds = {d["kind"] for d in documents()}
    assert kinds >= {"Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "NetworkPolicy"}


def test_a_pod_exists_for_every_way_to_get_dns() -> None:
    policies = {spec.get("dnsPolicy") for _, spec in pod_specs()}
    assert policies >= {None, "None", "Default", "ClusterFirst", "ClusterFirstWithHostNet"}
    assert any(spec.get("hostNetwork") for _, spec in pod_specs())


def test_some_pod_holds_a_port_of_its_node() -> None:
    assert any("hostPort" in port for c in containers() for port in c.get("ports", ()))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("type", {None, "NodePort", "LoadBalancer", "ExternalName"}),
        ("externalTrafficPolicy", {"Cluster", "Local"}),
        ("internalTrafficPolicy", {"Local"}),
        ("sessionAffinity", {"ClientIP"}),
        ("trafficDistribution", {"PreferClose"}),
        ("clusterIP", {"None"}),
        ("publishNotReadyAddresses", {True}),
    ],
)
def test_services_use_every_field_that_changes_what_a_node_does(
    field: str, values: set[object]
) -> None:
    assert {spec.get(field) for spec in services().values()} >= values


def test_some_service_limits_its_clients_and_some_has_an_external_address() -> None:
    assert services()["web-public"]["loadBalancerSourceRanges"][0] == LAYOUT.subnet
    assert services()["web-external-address"]["externalIPs"] == [LAYOUT.at(201)]


def test_one_service_has_one_number_in_two_protocols() -> None:
    ports = {(p["port"], p.get("protocol", "TCP")) for p in services()["gateway"]["ports"]}
    assert {(80, "TCP"), (80, "UDP")} <= ports


def test_pods_behind_one_service_give_one_port_name_to_different_numbers() -> None:
    deployments = [d for d in of_kind("Deployment") if d["metadata"]["name"].startswith("checkout")]
    numbers = {
        port["containerPort"]
        for d in deployments
        for port in d["spec"]["template"]["spec"]["containers"][0]["ports"]
        if port["name"] == services()["checkout"]["ports"][0]["targetPort"]
    }
    assert len(numbers) == 2


def test_a_service_has_no_pods_and_another_none_that_is_ready() -> None:
    labels = [
        d["spec"]["template"]["metadata"]["labels"]
        for d in documents()
        if "template" in d.get("spec", {})
    ]
    assert not any(services()["empty"]["selector"].items() <= pod.items() for pod in labels)
    namespace, name = NEVER_READY
    (warming,) = (d for d in of_kind("Deployment") if d["metadata"]["name"] == name)
    assert warming["metadata"]["namespace"] == namespace
    probe = warming["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    assert probe["tcpSocket"] == {"port": 1}


def test_no_two_services_ask_for_the_same_node_port() -> None:
    ports = [
        p["nodePort"] for s in services().values() for p in s.get("ports", ()) if "nodePort" in p
    ]
    ports += [s["healthCheckNodePort"] for s in services().values() if "healthCheckNodePort" in s]
    assert len(ports) == len(set(ports))


def test_nothing_in_a_manifest_is_left_to_fill_in() -> None:
    for file in files():
        assert "$" not in manifest(file, LAYOUT), file.name

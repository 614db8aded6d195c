"""Random objects: the same seed gives the same, and nothing is given out twice."""

from collections import Counter
from itertools import islice, pairwise

import pytest

from testbed.referee.random_scenes import SENTINEL, random_scenes
from testbed.referee.random_slices import with_numbers
from testbed.referee.scene import steps

SCENES = list(islice(random_scenes(11, 60), 4))


def test_the_same_seed_gives_the_same_scenes():
    assert list(islice(random_scenes(11, 60), 4)) == SCENES
    assert list(islice(random_scenes(12, 60), 4)) != SCENES


@pytest.mark.parametrize("scene", SCENES)
def test_cluster_ips_and_node_ports_belong_to_one_service(scene):
    owners = Counter(
        ip for each in scene.services for ip in each["spec"].get("clusterIPs", ()) if ip != "None"
    )
    assert set(owners.values()) == {1}
    ports = Counter(
        port
        for each in scene.services
        for port in {p["nodePort"] for p in each["spec"].get("ports", ()) if "nodePort" in p}
        | {each["spec"].get("healthCheckNodePort", 0)} - {0}
    )
    assert set(ports.values()) == {1}
    assert all(30000 <= port <= 32767 for port in ports)


def test_every_form_occurs():
    services = [each for scene in SCENES for each in scene.services]
    slices = [each for scene in SCENES for each in scene.slices]
    specs = [each["spec"] for each in services]
    assert {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"} == {
        each.get("type", "ClusterIP") for each in specs
    }
    assert {1, 2} == {len(each["ipFamilies"]) for each in specs if "ipFamilies" in each}
    for field in ("externalIPs", "loadBalancerSourceRanges", "healthCheckNodePort"):
        assert any(field in each for each in specs), field
    assert {p["protocol"] for each in specs for p in each.get("ports", ())} == {
        "TCP",
        "UDP",
        "SCTP",
    }
    hints = [e.get("hints", {}) for each in slices for e in each["endpoints"]]
    assert any("forNodes" in each for each in hints)
    assert any("forZones" in each for each in hints)
    spread = {each.get("trafficDistribution", "") for each in specs}
    assert spread == {"", "PreferClose", "PreferSameZone", "PreferSameNode"}
    assert {each["addressType"] for each in slices} == {"IPv4", "IPv6", "FQDN"}
    assert any("port" not in port for each in slices for port in each["ports"])
    labels = {label for each in (*services, *slices) for label in each["metadata"]["labels"]}
    assert "service.kubernetes.io/service-proxy-name" in labels


def test_services_come_change_and_go():
    actions = Counter(
        (step.action, step.object["kind"])
        for before, after in pairwise(SCENES)
        for step in steps(before, after)
    )
    for action in ("create", "replace", "delete"):
        assert actions[action, "Service"] > 10
        assert actions[action, "EndpointSlice"] > 10


def test_what_goes_goes_before_what_comes():
    order = [step.action for step in steps(SCENES[0], SCENES[1])]
    assert order.index("create") > max(at for at, each in enumerate(order) if each == "delete")


def test_the_sentinel_is_another_one_each_time_and_the_last():
    ports = []
    for scene in SCENES:
        assert scene.services[-1]["metadata"]["name"] == SENTINEL
        ports.append(scene.services[-1]["spec"]["ports"][0]["port"])
    assert len(set(ports)) == len(ports)


def test_addresses_are_contested_only_where_that_is_asked_for():
    def shared(contested):
        (scene,) = islice(random_scenes(11, 200, contested=contested), 1)
        claims = Counter(
            address
            for each in scene.services
            for address in set(each["spec"].get("externalIPs", ()))
            | {
                ingress["ip"]
                for ingress in each.get("status", {}).get("loadBalancer", {}).get("ingress", ())
                if "ip" in ingress
            }
        )
        return [address for address, count in claims.items() if count > 1]

    assert shared(contested=True)
    assert not shared(contested=False)


def test_a_slice_without_the_ports_that_have_no_number_keeps_all_others():
    ports = [{"name": "a", "protocol": "TCP"}, {"name": "b", "port": 80, "protocol": "TCP"}]
    left = with_numbers({"kind": "EndpointSlice", "ports": ports})

    assert left == {"kind": "EndpointSlice", "ports": ports[1:]}
    drawn = [each for scene in SCENES for each in scene.slices]
    assert any(with_numbers(each) != each for each in drawn), "some have such ports"

"""cni.devices_up: the CNI plugin's own devices, and which of them are in use."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, Address, link
from wirecheck.catalogue.findings import Level, NotApplicable

CHECK = "cni.devices_up"


def add(small, device, *addresses):
    """A device that is down, with addresses."""
    host = small.document.namespaces[0]
    links = [*host.links, replace(device, flags=["BROADCAST"])]
    own = [Address(device.index, each, 24) for each in addresses]
    small.change_netns(HOST, links=links, addresses=[*host.addresses, *own])


def runs(small, daemonset):
    """The CNI plugin's agent, by its DaemonSet."""
    agent = next(pod for pod in small.api["pods"] if pod["metadata"]["name"] == "flannel")
    agent["metadata"]["ownerReferences"][0]["name"] = daemonset


def down(small):
    return [(each.subject.part, each.found) for each in small.findings(CHECK)]


@pytest.mark.parametrize("name", ["flannel.1", "cni0"])
def test_a_tunnel_or_a_bridge_that_is_down_is_found(small, name):
    small.change_link(HOST, name, flags=["BROADCAST", "MULTICAST"])

    (finding,) = small.findings(CHECK)
    assert (finding.subject.part, finding.found) == (name, f"{name} is DOWN")
    assert finding.level is Level.FAIL
    assert dict(finding.names) == {"device": name}


def test_nothing_about_pods_has_to_be_known(small):
    small.document = replace(small.document, pods=[], namespaces=small.document.namespaces[:1])
    small.change_link(HOST, "cni0", flags=[])

    assert down(small) == [("cni0", "cni0 is DOWN")]


def test_the_tunnel_of_an_earlier_configuration_does_not_count(small):
    add(small, link(7, "flannel.7", "vxlan"))
    small.api["nodes"][0]["metadata"]["annotations"] |= {
        "flannel.alpha.coreos.com/backend-type": "host-gw"
    }
    small.change_link(HOST, "flannel.1", flags=[])

    assert down(small) == []


@pytest.mark.parametrize("address", ["10.244.0.1", "172.17.0.1"])
def test_a_bridge_without_pods_or_with_another_range_does_not_count(small, address):
    add(small, link(7, "docker0", "bridge"), address)

    assert down(small) == []


def test_a_bridge_that_flannel_left_does_not_count(small):
    runs(small, "calico-node")
    add(small, link(7, "vxlan.calico", "vxlan"))
    small.change_link(HOST, "cni0", flags=[])

    assert down(small) == [("vxlan.calico", "vxlan.calico is DOWN")]


@pytest.mark.parametrize(
    ("name", "daemonset"),
    [
        ("cilium_vxlan", "cilium"),
        ("cilium_host", "anetd"),
        ("cilium_geneve", "cilium"),
        ("bpfout.cali", "calico-node"),
        ("kube-bridge", "kube-router"),
    ],
)
def test_devices_of_other_plugins_are_known_by_their_names(small, name, daemonset):
    runs(small, daemonset)
    add(small, link(7, name, "dummy"))

    assert (name, f"{name} is DOWN") in down(small)


def test_a_device_of_a_plugin_that_does_not_connect_the_pods_does_not_count(small):
    add(small, link(7, "cilium_vxlan", "vxlan"))

    assert down(small) == []


def test_without_a_known_device_it_does_not_apply(small):
    runs(small, "kindnet")

    with pytest.raises(NotApplicable, match="no device is known that kindnet needs for itself"):
        small.findings(CHECK)

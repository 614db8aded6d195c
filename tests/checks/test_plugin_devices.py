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


def announces(small, **annotations):
    """The annotations of the node, by the part behind the slash."""
    notes = small.api["nodes"][0]["metadata"]["annotations"]
    known = {"backend_type": "flannel.alpha.coreos.com/backend-type"}
    known["tunnel"] = "projectcalico.org/IPv4IPIPTunnelAddr"
    notes.update({known[key]: value for key, value in annotations.items()})


@pytest.mark.parametrize(
    ("backend", "name", "kind"),
    [
        ("wireguard", "flannel-wg", "wireguard"),
        ("wireguard", "flannel-wg-v6", "wireguard"),
        ("ipip", "flannel.ipip", "ipip"),
        ("udp", "flannel0", "tun"),
    ],
)
def test_the_tunnel_of_each_backend_of_flannel_is_known(small, backend, name, kind):
    add(small, link(7, name, kind))

    assert down(small) == []  # the node announces VXLAN
    announces(small, backend_type=backend)
    assert down(small) == [(name, f"{name} is DOWN")]
    # What an earlier backend left is not in use.
    small.change_link(HOST, name, flags=["UP"])
    small.change_link(HOST, "flannel.1", flags=[])
    assert down(small) == []


@pytest.mark.parametrize(
    ("name", "daemonset"),
    [
        ("wireguard.cali", "calico-node"),
        ("wg-v6.cali", "calico-node"),
        ("cilium_wg0", "cilium"),
        ("antrea-gw0", "antrea-agent"),
        ("antrea-wg0", "antrea-agent"),
        ("genev_sys_6081", "antrea-agent"),
        ("vxlan_sys_4789", "antrea-agent"),
        ("genev_sys_6081", "ovnkube-node"),
        ("ovn-k8s-mp0", "ovnkube-node"),
        ("genev_sys_6081", "kube-ovn-cni"),
        ("ovn0", "kube-ovn-cni"),
        ("vxlan_sys_4789", "sdn"),
    ],
)
def test_tunnels_of_other_plugins_are_known(small, name, daemonset):
    runs(small, daemonset)
    add(small, link(7, name, "geneve"))

    assert (name, f"{name} is DOWN") in down(small)
    small.change_link(HOST, name, flags=["POINTOPOINT", "NOARP", "UP", "LOWER_UP"])
    assert name not in [part for part, _ in down(small)]


@pytest.mark.parametrize(
    ("announced", "own", "counts"),
    [
        ("10.244.0.64", ["10.244.0.64"], True),
        ("10.244.0.64", [], False),
        ("", [], False),
        ("10.244.0.64", ["10.244.0.65"], False),
    ],
)
def test_the_ipip_device_counts_only_as_calicos(small, announced, own, counts):
    """The kernel creates tunl0 in every netns where the module is loaded, and leaves it down."""
    runs(small, "calico-node")
    add(small, link(7, "vxlan.calico", "vxlan"))
    small.change_link(HOST, "vxlan.calico", flags=["UP"])
    add(small, link(8, "tunl0", "ipip"), *own)
    if announced:
        announces(small, tunnel=announced)

    assert down(small) == [("tunl0", "tunl0 is DOWN")] * counts

"""Which devices of the CNI plugin a program of the system takes over."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, link
from wirecheck.node.device_managers import MacOverride, ManagedDevices
from wirecheck.snapshot.netns import Rule
from wirecheck.snapshot.node_settings import DeviceManagers, SettingsFile

LINK_FILE = "10-some.link"


def run(small: SmallCluster, program: str, **files: list[SettingsFile]) -> None:
    small.change_document(device_managers=DeviceManagers([program], **files))


def overrides(small: SmallCluster, *texts: str) -> list[str]:
    """What these .link files override; lines are separated by `|`."""
    files = [SettingsFile(f"{at}.link", text.split("|")) for at, text in enumerate(texts)]
    run(small, "systemd-udevd", links=files)
    return [each.found for each in small.node.device_managers.mac_overrides]


def give_agent(small: SmallCluster, daemonset: str, *images: str) -> None:
    agent = small.api["pods"][2]
    agent["metadata"]["ownerReferences"][0]["name"] = daemonset
    agent["spec"]["containers"] = [{"name": f"c{n}", "image": e} for n, e in enumerate(images)]


def test_findings_name_how_many_devices_are_concerned() -> None:
    assert ManagedDevices("veth", ("veth1",), 2).found == "1 of 2 are managed, such as veth1"
    devices = ("a", "b", "c")
    assert MacOverride("x", "MACAddress=1", devices).found == "MACAddress=1 for a, b, c"
    assert MacOverride("x", "M", (*devices, "d")).found == "M for a, b, c and 1 more"


def test_other_devices_of_the_node_are_not_the_plugins(small: SmallCluster) -> None:
    assert small.document
    switch = [link(80, "br-other", "bridge"), link(81, "veth-other"), link(82, "gre1", "gre")]
    small.change_netns(HOST, links=[*small.document.namespaces[0].links, *switch])
    run(small, "NetworkManager")
    found = {each.name for each in small.node.device_managers.devices_of_cni}

    assert found == {"flannel.1", "cni0", "veth11", "veth12", "gre1"}


def test_the_kernels_datapath_of_open_vswitch_is_left_alone(small: SmallCluster) -> None:
    small.change_link(HOST, "cni0", kind="openvswitch")
    run(small, "NetworkManager")

    names = [each.name for each in small.node.device_managers.devices_of_cni]
    assert names == ["flannel.1", "veth11", "veth12"]


FLANNEL = "ghcr.io/flannel-io/flannel"
PERSISTENT = "[Match]|OriginalName=flannel*|[Link]|MACAddressPolicy=persistent"


@pytest.mark.parametrize(
    ("images", "is_harmed"),
    [
        ([f"{FLANNEL}:v0.15.0"], True),
        ([f"{FLANNEL}:v0.15.1"], False),
        ([f"{FLANNEL}:v0.9.9"], True),
        ([f"{FLANNEL}:v1.0.0"], False),
        (["registry.test/proxy:v9.9.9", f"{FLANNEL}:v0.14.0-amd64"], True),
        ([f"{FLANNEL}"], False),
        (["registry.test/0.1.2/flannel:latest"], False),
        ([], False),
    ],
)
def test_a_policy_harms_versions_that_use_the_kernels_mac(
    small: SmallCluster, images: list[str], is_harmed: bool
) -> None:
    give_agent(small, "kube-flannel-ds", *images)

    assert bool(overrides(small, PERSISTENT)) is is_harmed


def test_images_of_other_pods_do_not_count(small: SmallCluster) -> None:
    small.api["pods"][1]["spec"]["containers"] = [{"name": "c", "image": f"{FLANNEL}:v0.14.0"}]
    give_agent(small, "kube-flannel-ds", f"{FLANNEL}:v0.28.0")

    assert overrides(small, PERSISTENT) == []


def test_a_policy_harms_no_plugin_that_sets_the_mac_itself(small: SmallCluster) -> None:
    give_agent(small, "calico-node", f"{FLANNEL}:v0.14.0")

    assert overrides(small, "[Match]|OriginalName=*|[Link]|MACAddressPolicy=persistent") == []


OLD = f"{FLANNEL}:v0.14.0"
FIXED = "MACAddress=02:00:00:00:00:01"


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ("MACAddressPolicy=random", "MACAddressPolicy=random"),
        ("MACAddressPolicy=none", ""),
        ("MACAddressPolicy=none|MACAddressPolicy=persistent", "MACAddressPolicy=persistent"),
        ("MACAddressPolicy=random|MACAddressPolicy=persistent", "MACAddressPolicy=persistent"),
        ("MACAddressPolicy=persistent|MACAddressPolicy=none", ""),
        (FIXED, FIXED),
        (f"MACAddressPolicy=none|{FIXED}", FIXED),
        (f"{FIXED}|[Link]|MTUBytes=1400", ""),
        (f"{FIXED}|[Link]", FIXED),
        ("MTUBytes=1400|[SR-IOV]|MACAddress=02:00:00:00:00:09", ""),
        ("MTUBytes=1400", ""),
    ],
)
def test_the_last_policy_and_a_fixed_mac_of_the_section_link_count(
    small: SmallCluster, settings: str, found: str
) -> None:
    give_agent(small, "kube-flannel-ds", OLD)
    expected = [f"{found} for flannel.1"] if found else []

    assert overrides(small, f"[Match]|OriginalName=flannel*|[Link]|{settings}") == expected


def test_each_device_follows_the_first_file_that_matches_it(small: SmallCluster) -> None:
    first = f"[Match]|OriginalName=veth11|[Link]|{FIXED}"
    second = "[Match]|Kind=veth|[Link]|MACAddress=02:00:00:00:00:02"

    assert overrides(small, first, second) == [
        f"{FIXED} for veth11",
        "MACAddress=02:00:00:00:00:02 for veth12",
    ]


@pytest.mark.parametrize(
    ("match", "devices"),
    [
        ("[Match]", "flannel.1, cni0, veth11 and 1 more"),
        ("[Match]|OriginalName=", "flannel.1, cni0, veth11 and 1 more"),
        ("[Match]|OriginalName=ens*|OriginalName=|OriginalName=cni0", "cni0"),
        ("[Match]|Type=ether", "flannel.1, veth11, veth12"),
        ("[Match]|OriginalName=!veth*", "flannel.1, cni0"),
        ("[Match]|OriginalName=!ens* cni0", "flannel.1, veth11, veth12"),
        ("[Match]|Kind=veth|OriginalName=*12", "veth12"),
        ("[Match]|OriginalName=VETH11", ""),
    ],
)
def test_every_condition_of_a_match_has_to_hold(
    small: SmallCluster, match: str, devices: str
) -> None:
    expected = [f"{FIXED} for {devices}"] if devices else []

    assert overrides(small, f"{match}|[Link]|{FIXED}") == expected


def unmanaged(small: SmallCluster, *texts: str) -> dict[str, int]:
    """How many devices of each kind NetworkManager manages with these files."""
    files = [SettingsFile(f"{at}.conf", text.split("|")) for at, text in enumerate(texts)]
    run(small, "NetworkManager", network_manager=files)
    found = small.node.device_managers.managed_by_networkmanager
    return {each.kind: len(each.devices) for each in found}


ALL = {"bridge": 1, "veth": 2, "vxlan": 1}


@pytest.mark.parametrize(
    ("texts", "managed"),
    [
        (["[keyfile]|unmanaged-devices=interface-name:=veth1*"], ALL),
        (["[keyfile]|unmanaged-devices==veth11"], ALL | {"veth": 1}),
        (["[keyfile]|unmanaged-devices=VETH*"], ALL),
        (["[keyfile]|unmanaged-devices=mac:0A:00:00:00:00:01"], {"bridge": 1, "veth": 2}),
        (["[keyfile]|unmanaged-devices=other:veth11"], ALL),
        (["[keyfile]|unmanaged-devices=type:bridge , driver:veth;"], {"vxlan": 1}),
        (["[keyfile]|unmanaged-devices=except:veth11"], ALL),
        (["[keyfile]|unmanaged-devices=*,except:veth11"], {"veth": 1}),
        (["[keyfile]|unmanaged-devices=veth*|unmanaged-devices+=cni0"], {"vxlan": 1}),
        (["[keyfile]|unmanaged-devices=veth*|unmanaged-devices=cni0"], {"veth": 2, "vxlan": 1}),
        (["[keyfile]|path=x"], ALL),
        (["[device]|match-device=*|managed=0"], {}),
        (["[device]|match-device=*|managed=False"], {}),
        (["[device-a]|match-device=veth*|managed=0", "[device-b]|match-device=cni0|managed=no"],
         {"vxlan": 1}),
        (["[device-a]|match-device=*|managed=0", "[device-a]|match-device=*|managed=1"], ALL),
        (["[connection]|match-device=*|managed=0"], ALL),
    ],
)  # fmt: skip
def test_networkmanager_ignores_what_its_files_list(
    small: SmallCluster, texts: list[str], managed: dict[str, int]
) -> None:
    assert unmanaged(small, *texts) == managed


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([], 1),
        (["ManageForeignRoutingPolicyRules=Off"], 0),
        (["ManageForeignRoutingPolicyRules=no", "ManageForeignRoutingPolicyRules=yes"], 1),
        (["ManageForeignRoutingPolicyRules=yes", "ManageForeignRoutingPolicyRules=no"], 0),
        (["ManageForeignRoutes=no"], 1),
    ],
)
def test_networkd_removes_rules_of_others_unless_its_last_setting_forbids_it(
    small: SmallCluster, lines: list[str], number: int
) -> None:
    assert small.document
    usual = small.document.namespaces[0].rules
    third_party = Rule(4, 512, 254, destination="10.244.0.3/32", protocol=3)
    small.change_netns(HOST, rules=[*usual, third_party])
    run(small, "systemd-networkd", networkd=[SettingsFile("a.conf", ["[Network]", *lines])])

    assert len(small.node.device_managers.rules_networkd_removes) == number

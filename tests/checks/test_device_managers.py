"""Programs that take hold of the CNI plugin's devices, on nodes whose files say this and that."""

from copy import deepcopy

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, link, pod_netns
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.snapshot.netns import Rule
from wirecheck.snapshot.node_document import PodProcesses
from wirecheck.snapshot.node_settings import DeviceManagers, SettingsFile
from wirecheck.text import listed

ALONE, MACS = "links.unmanaged_by_networkmanager", "links.mac_policy"
RULES = "routes.rules_safe_from_networkd"
CHECKS = {ALONE: "NetworkManager", MACS: "systemd-udevd", RULES: "systemd-networkd"}
DEFAULT = SettingsFile(
    "/usr/lib/systemd/network/99-default.link",
    ["[Match]", "OriginalName=*", "[Link]", "MACAddressPolicy=persistent"],
)


def manage(small: SmallCluster, *, running: str, **files: list[SettingsFile]) -> None:
    small.change_document(device_managers=DeviceManagers([running], **files))


def manager(*texts: str) -> list[SettingsFile]:
    """Files of NetworkManager, one after the other."""
    return [SettingsFile(f"{n}.conf", text.split("|")) for n, text in enumerate(texts)]


def found(small: SmallCluster, check: str) -> list[tuple[str, str]]:
    return [(each.subject.part, each.found) for each in small.findings(check)]


@pytest.mark.parametrize(("check", "program"), CHECKS.items())
def test_a_program_that_does_not_run_harms_nothing(small, check, program):
    manage(small, running="systemd-homed")
    with pytest.raises(NotApplicable, match=f"{program} does not run"):
        small.findings(check)


@pytest.mark.parametrize("check", CHECKS)
def test_a_node_visited_by_an_older_version_is_skipped(small, check):
    with pytest.raises(NotApplicable, match="older version"):
        small.findings(check)

    small.change_document(problems=["Device managers: OSError: no."])
    with pytest.raises(FactMissingError, match="OSError"):
        small.findings(check)


def test_networkmanager_without_a_word_about_devices_is_found(small):
    manage(small, running="NetworkManager")

    assert found(small, ALONE) == [
        ("bridge devices", "1 of 1 are managed, such as cni0"),
        ("veth devices", "2 of 2 are managed, such as veth11"),
        ("vxlan devices", "1 of 1 are managed, such as flannel.1"),
    ]


@pytest.mark.parametrize(
    ("files", "managed"),
    [
        (["[keyfile]|unmanaged-devices=interface-name:veth*;flannel.1,interface-name:=cni0"], []),
        (["[keyfile]|unmanaged-devices=*"], []),
        (["[keyfile]|unmanaged-devices=*,except:interface-name:cni0"], ["bridge devices"]),
        (["[keyfile]|unmanaged-devices=driver:veth;type:vxlan"], ["bridge devices"]),
        (
            ["[keyfile]|unmanaged-devices=*", "[keyfile]|unmanaged-devices=driver:veth"],
            ["bridge devices", "vxlan devices"],
        ),
        (["[keyfile]|unmanaged-devices=veth*;cni0", "[keyfile]|unmanaged-devices+=flannel*"], []),
        (["[device-cni]|match-device=veth*;cni0;flannel*|managed=0"], []),
        (
            ["[device-cni]|match-device=*|managed=1"],
            ["bridge devices", "veth devices", "vxlan devices"],
        ),
        (
            ["[keyfile]|unmanaged-devices=mac:0a:00:00:00:00:01;veth*"],
            ["bridge devices"],
        ),
        (["[main]|unmanaged-devices=*"], ["bridge devices", "veth devices", "vxlan devices"]),
    ],
)
def test_devices_that_are_left_out_are_ignored(small, files, managed):
    manage(small, running="NetworkManager", network_manager=manager(*files))

    assert [part for part, _ in found(small, ALONE)] == managed


def test_a_file_that_is_not_understood_is_an_error(small):
    manage(small, running="NetworkManager", network_manager=manager("no section"))

    with pytest.raises(FactMissingError, match=r"0\.conf on n1"):
        small.findings(ALONE)


def link_file(name: str, match: str, setting: str) -> SettingsFile:
    return SettingsFile(name, ["[Match]", *match.split("|"), "[Link]", setting])


def give_flannel(small: SmallCluster, version: str) -> None:
    image = f"ghcr.io/flannel-io/flannel:{version}"
    small.api["pods"][2]["spec"]["containers"] = [{"name": "kube-flannel", "image": image}]


@pytest.mark.parametrize(
    ("version", "renumbered"),
    [("v0.14.0", ["flannel.1"]), ("v0.15.1", []), ("v0.28.10", []), ("latest", [])],
)
def test_systemds_default_harms_a_flannel_that_goes_by_the_kernels_mac(small, version, renumbered):
    give_flannel(small, version)
    manage(small, running="systemd-udevd", links=[DEFAULT])

    text = "MACAddressPolicy=persistent for flannel.1"
    assert found(small, MACS) == [(DEFAULT.file, text) for _ in renumbered]


def test_systemds_default_harms_the_pairs_of_the_aws_plugin(small):
    owner = {"kind": "DaemonSet", "name": "aws-node", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]
    manage(small, running="systemd-udevd", links=[DEFAULT])

    text = "MACAddressPolicy=persistent for veth11, veth12"
    assert found(small, MACS) == [(DEFAULT.file, text)]


def test_sixty_devices_of_one_file_are_one_warning(small):
    owner = {"kind": "DaemonSet", "name": "aws-node", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]
    links, namespaces, pods = [], [], []
    for number in range(60):
        pod = deepcopy(small.api["pods"][1])
        pod["metadata"] |= {"name": f"web-{number}", "uid": f"uid-{number}"}
        small.api["pods"].append(pod)
        netns = pod_netns(200 + number, 10 + number, "10.244.0.3", 100 + number)
        links.append(link(100 + number, f"eni{number}", peer_index=2, peer_nsid=10 + number))
        namespaces.append(netns)
        pods.append(PodProcesses(f"uid-{number}", 200 + number))
    small.change_netns(HOST, links=[*small.document.namespaces[0].links, *links])
    small.change_document(
        namespaces=[*small.document.namespaces, *namespaces], pods=[*small.document.pods, *pods]
    )
    manage(small, running="systemd-udevd", links=[DEFAULT])

    text = "MACAddressPolicy=persistent for veth11, veth12, eni0 and 59 more"
    assert found(small, MACS) == [(DEFAULT.file, text)]


@pytest.mark.parametrize(
    ("match", "devices"),
    [
        ("OriginalName=*", ["flannel.1", "cni0", "veth11", "veth12"]),
        ("OriginalName=cali* flannel*", ["flannel.1"]),
        ("OriginalName=!veth* flannel*", ["cni0"]),
        ("Kind=veth", ["veth11", "veth12"]),
        ("Driver=vxlan|OriginalName=f*", ["flannel.1"]),
        ("Type=bridge", ["cni0"]),
        ("MACAddress=0A:00:00:00:00:01", ["flannel.1"]),
        ("Path=pci-0000:00:03.0", []),
        ("OriginalName=ens*", []),
    ],
)
def test_a_fixed_mac_is_found_at_the_devices_that_its_file_matches(small, match, devices):
    file = link_file("10-mac.link", match, "MACAddress=02:00:00:00:00:01")
    manage(small, running="systemd-udevd", links=[file])

    text = f"MACAddress=02:00:00:00:00:01 for {listed(devices, 3)}"
    assert found(small, MACS) == ([("10-mac.link", text)] if devices else [])


def test_the_first_file_that_matches_is_the_only_one(small):
    give_flannel(small, "v0.14.0")
    before = link_file("10-cni.link", "OriginalName=flannel*", "MACAddressPolicy=none")
    manage(small, running="systemd-udevd", links=[before, DEFAULT])

    assert found(small, MACS) == []


def test_the_last_of_several_policies_counts(small):
    give_flannel(small, "v0.14.0")
    file = SettingsFile(DEFAULT.file, [*DEFAULT.lines, "[Link]", "MACAddressPolicy=none"])
    manage(small, running="systemd-udevd", links=[file])

    assert found(small, MACS) == []


def give_rules(small: SmallCluster, *more: Rule) -> None:
    usual = small.document.namespaces[0].rules
    small.change_netns(HOST, rules=[*usual, *more])


FOREIGN = Rule(4, 512, 254, destination="10.244.0.3/32", protocol=3)


def test_rules_of_others_are_at_stake(small):
    give_rules(small, FOREIGN)
    manage(small, running="systemd-networkd")

    (finding,) = small.findings(RULES)
    assert finding.found == "a restart of systemd-networkd removes 1 rule"
    assert finding.evidence == ("512: from all to 10.244.0.3/32 lookup main",)


def test_the_rules_of_sixty_pods_are_one_warning(small):
    give_rules(
        small, *(Rule(4, 512, 254, destination=f"10.1.0.{n}/32", protocol=3) for n in range(60))
    )
    manage(small, running="systemd-networkd")

    assert found(small, RULES) == [
        ("routing rules", "a restart of systemd-networkd removes 60 rules")
    ]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(4, 512, 254, destination="10.244.0.3/32", protocol=2),
        Rule(4, 512, 254, destination="10.244.0.3/32", protocol=4),
        Rule(4, 512, 254, destination="10.244.0.3/32"),
        Rule(6, 32766, 254, protocol=3),
    ],
    ids=["kernel's", "networkd's", "not set", "usual"],
)
def test_rules_that_networkd_leaves_alone_are_not(small, rule):
    give_rules(small, rule)
    manage(small, running="systemd-networkd")

    assert found(small, RULES) == []


@pytest.mark.parametrize(("value", "findings"), [("no", 0), ("false", 0), ("yes", 1)])
def test_networkd_may_be_configured_to_leave_them_alone(small, value, findings):
    give_rules(small, FOREIGN)
    lines = ["[Network]", f"ManageForeignRoutingPolicyRules={value}"]
    manage(small, running="systemd-networkd", networkd=[SettingsFile("a.conf", lines)])

    assert len(found(small, RULES)) == findings

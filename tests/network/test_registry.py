"""The registry finds every record, and picks the plugin of a cluster as documented."""

import ast
import re
from pathlib import Path

import pytest

from tests.network.all_clusters import CLUSTERS
from wirecheck.collect.on_node.kernel import FILES, WRITTEN_BY_PODS
from wirecheck.network.plugin import UNKNOWN, AddressSource, Attachment
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.network.plugins.ovn_kubernetes import PLUGIN as OVN_KUBERNETES
from wirecheck.network.registry import (
    CONFIG_MAP_KEYS,
    NODE_FILES,
    PLUGINS,
    forwards_by_device,
    plugin_of,
    plugin_on,
    plugins_of,
    records_in,
    replaces_kube_proxy,
)

ROOT = Path(__file__).parents[2]
RECOGNISED = [each for each in PLUGINS if each.recognised_by.daemonsets]

RECORD = """
from wirecheck.collect.on_node.kernel import FILES
from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin, Recognition

PLUGIN = CniPlugin(
    name="Newcomer",
    recognised_by=Recognition(daemonsets=("newcomer-agent",)),
    addresses=AddressSource.NODE_RANGE,
    attachment=Attachment.BRIDGE,
)
"""


def rows() -> dict[str, list[str]]:
    """The table of docs/plugins.md: cells by plugin, of the first row for each."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "docs/plugins.md").read_text().splitlines():
        cells = [each.strip() for each in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) > 3:
            found.setdefault(re.sub(r" \(.*", "", cells[0]), cells)
    return found


def test_every_module_has_a_record():
    modules = {each.stem for each in (ROOT / "wirecheck/network/plugins").glob("[a-z]*.py")}

    assert len(PLUGINS) == len(modules) >= 10
    assert len({each.name for each in PLUGINS}) == len(PLUGINS)


def test_no_other_module_names_a_plugin():
    names = {each.name for each in PLUGINS}
    names |= {name for each in PLUGINS for name in each.recognised_by.daemonsets}
    naming = {
        (str(file.relative_to(ROOT)), node.value)
        for folder in ("wirecheck", "checks")
        for file in (ROOT / folder).rglob("*.py")
        if "wirecheck/network/" not in str(file)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    }

    assert naming == set()


def test_a_new_module_is_found_without_any_other_change(tmp_path: Path, monkeypatch):
    (tmp_path / "newcomers").mkdir()
    (tmp_path / "newcomers/newcomer.py").write_text(RECORD)
    monkeypatch.syspath_prepend(tmp_path)

    found = records_in([str(tmp_path / "newcomers")], "newcomers")

    assert plugin_of({"newcomer-agent", "kube-proxy"}, found).name == "Newcomer"
    assert plugin_of({"newcomer-agent"}) is UNKNOWN


def test_a_module_without_a_record_is_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "empty_ones").mkdir()
    (tmp_path / "empty_ones/empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(TypeError, match=r"empty_ones\.empty must define PLUGIN"):
        records_in([str(tmp_path / "empty_ones")], "empty_ones")


@pytest.mark.parametrize("plugin", RECOGNISED, ids=str)
def test_a_plugin_is_recognised_by_its_daemonset(plugin):
    for name in plugin.recognised_by.daemonsets:
        assert plugin_of({"kube-proxy", name}) is plugin


@pytest.mark.parametrize(
    ("daemonsets", "name"),
    [
        ({"calico-node", "kube-flannel-ds"}, "Calico"),
        ({"aws-node", "calico-node"}, "AWS VPC CNI"),
        ({"aws-node", "cilium"}, "Cilium"),
        ({"kube-router", "kube-flannel-ds"}, "flannel"),
        ({"kindnet", "calico-node"}, "Calico"),
        ({"kube-proxy"}, UNKNOWN.name),
        ({"calico-node-windows"}, UNKNOWN.name),
    ],
)
def test_of_two_plugins_the_one_that_enforces_counts(daemonsets, name):
    assert plugin_of(daemonsets).name == name


def test_the_precedence_is_unique():
    numbers = [each.precedence for each in RECOGNISED]

    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("plugin", RECOGNISED, ids=str)
def test_every_plugin_has_a_test_cluster(plugin):
    of_tests = {name.partition(",")[0] for name in CLUSTERS} | {FLANNEL.name}

    assert plugin.name in of_tests


@pytest.mark.parametrize("plugin", [*RECOGNISED, UNKNOWN], ids=str)
def test_every_plugin_has_its_row_in_the_documentation(plugin):
    _, _, source, attachment, *_ = rows()[plugin.name]

    assert AddressSource(source) is plugin.addresses
    assert Attachment(attachment) is plugin.attachment


def test_files_of_plugins_are_read_from_nodes():
    assert frozenset((*FILES, *WRITTEN_BY_PODS)) >= NODE_FILES


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ([("kube-proxy-replacement", "true")], "Cilium"),
        ([("config.conf", "mode: ipvs"), ("kube-proxy-replacement", "strict")], "Cilium"),
        ([("kube-proxy-replacement", "false")], ""),
        ([("kube-proxy-replacement", "partial")], ""),
        ([("another-key", "true")], ""),
        ([], ""),
    ],
)
def test_services_are_forwarded_by_a_plugin_whose_setting_is_on(settings, name):
    assert replaces_kube_proxy(UNKNOWN, settings) == name
    assert CONFIG_MAP_KEYS == {"cilium-config": "kube-proxy-replacement"}


@pytest.mark.parametrize(
    ("devices", "name"),
    [
        ({"eth0", "cilium_host"}, "Cilium"),
        ({"eth0", "bpfout.cali"}, "Calico (eBPF)"),
        ({"kube-dummy-if"}, "kube-router"),
        ({"ovn-k8s-mp0"}, "OVN-Kubernetes"),
        ({"antrea-gw0"}, "Antrea"),
        ({"eth0", "cni0", "flannel.1"}, ""),
    ],
)
def test_services_may_be_forwarded_by_a_plugin_whose_device_exists(devices, name):
    assert forwards_by_device(devices) == name


def test_ovn_kubernetes_always_forwards_services():
    assert replaces_kube_proxy(OVN_KUBERNETES, []) == "OVN-Kubernetes"
    assert replaces_kube_proxy(FLANNEL, []) == ""


@pytest.mark.parametrize(
    ("daemonset", "name"),
    [
        ("canal", "Canal"),
        ("rke2-canal", "Canal"),
        ("kube-flannel", "flannel"),
        ("kube-flannel-ds-arm64", "flannel"),
        ("weave-net", "Weave Net"),
        ("kube-ovn-cni", "Kube-OVN"),
        ("anetd", "Cilium"),
        ("sdn", "OpenShift SDN"),
        ("ovnkube-node", "OVN-Kubernetes"),
        ("azure-cni-networkmonitor", "Azure CNI"),
        ("kube-multus-ds", UNKNOWN.name),
        ("cilium-envoy", UNKNOWN.name),
    ],
)
def test_distributions_call_the_daemonset_otherwise(daemonset, name):
    assert plugin_of({daemonset, "kube-proxy"}).name == name


@pytest.mark.parametrize(
    ("daemonsets", "types", "devices", "annotations", "name"),
    [
        ({"aws-node", "calico-node"}, ["aws-cni", "egress-cni"], [], [], "AWS VPC CNI"),
        ({"aws-node", "calico-node"}, ["calico", "portmap"], [], [], "Calico"),
        ({"aws-node", "calico-node"}, [], [], [], "AWS VPC CNI"),
        ({"aws-node", "cilium"}, ["aws-cni", "cilium-cni"], [], [], "Cilium"),
        ({"rke2-canal"}, ["calico", "portmap"], ["flannel.1"], [], "Canal"),
        ({"weave-net"}, [], ["cilium_host"], [], "Weave Net"),
        (set(), ["flannel", "portmap"], [], [], "flannel"),
        (set(), [], ["eth0", "ovn0"], [], "Kube-OVN"),
        (set(), [], ["antrea-gw0"], [], "Antrea"),
        (set(), [], ["flannel.1"], [], UNKNOWN.name),
        (set(), [], ["flannel.1"], ["flannel.alpha.coreos.com/backend-type"], "flannel"),
        (set(), ["ptp", "portmap"], ["cni0"], ["other"], UNKNOWN.name),
    ],
)
def test_the_node_decides_where_daemonsets_do_not(daemonsets, types, devices, annotations, name):
    assert plugin_on(types, devices, annotations, plugins_of(daemonsets)).name == name

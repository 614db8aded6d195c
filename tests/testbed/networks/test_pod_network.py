"""The pod networks as data: each can be read, and its manifests are complete."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import cluster
from testbed.commands import TestbedError
from testbed.images import IMAGES
from testbed.layout import SUBNETS, Layout
from testbed.networks.pod_network import (
    DEFAULT,
    PodNetwork,
    images_archive,
    manifest_paths,
    names,
    network_named,
)
from testbed.state import SOURCE, State
from wirecheck.catalogue.registry import load

NETWORKS = [network_named(name) for name in names()]
LAYOUTS = [Layout(SUBNETS[0]), Layout(SUBNETS[0], dual_stack=True)]


def documents(network: PodNetwork, layout: Layout) -> list[dict[str, Any]]:
    files = manifest_paths([*network.manifests, *network.after_workloads])
    texts = [cluster.manifest(file, layout, network) for file in files]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def test_the_default_network_comes_first():
    assert names()[0] == DEFAULT
    assert network_named(DEFAULT).virtual_machine


def test_a_network_that_does_not_exist_is_an_error_that_names_the_others():
    with pytest.raises(TestbedError, match="no pod network 'calico': choose one of flannel, "):
        network_named("calico")


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
class TestEveryNetwork:
    def test_its_manifests_are_complete(self, network: PodNetwork):
        for layout in LAYOUTS:
            kinds = {document["kind"] for document in documents(network, layout)}
            assert "DaemonSet" in kinds

    def test_its_pods_run_images_that_are_made_and_pull_nothing(self, network: PodNetwork):
        made = {image.name for image in IMAGES} | {each.image().name for each in network.images}
        pods = [
            document["spec"]["template"]["spec"]
            for document in documents(network, LAYOUTS[0])
            if document["kind"] == "DaemonSet"
        ]
        containers = [
            container
            for pod in pods
            for container in [*pod["containers"], *pod.get("initContainers", [])]
        ]

        assert {container["image"] for container in containers} <= made
        assert {container["imagePullPolicy"] for container in containers} == {"Never"}

    def test_its_pods_ask_the_api_server_itself(self, network: PodNetwork):
        """Its Service address works only once kube-proxy has programmed the node."""
        hosts = [
            {each["name"]: each.get("value") for each in container.get("env", [])}
            for document in documents(network, LAYOUTS[0])
            if document["kind"] == "DaemonSet"
            for container in document["spec"]["template"]["spec"]["containers"][:1]
        ]

        address = LAYOUTS[0].control_plane.address
        assert {each["KUBERNETES_SERVICE_HOST"] for each in hosts} == {address}

    def test_its_programs_are_built_from_a_module_of_the_test_bed(self, network: PodNetwork):
        built = {component.name for component in network.components}
        for component in network.components:
            assert (SOURCE / "components" / component.module / "go.mod").exists()
        assert {image.program for image in network.images} <= built

    def test_what_a_healthy_cluster_shows_is_in_the_catalogue(self, network: PodNetwork):
        assert {check for check, _, _ in network.reds()} <= {check.id for check in load()}


def test_flannels_configuration_is_what_each_value_says():
    settings = {}
    for name in ("flannel", "flannel-host-gw", "flannel-nftables", "kube-router"):
        found = [d for d in documents(network_named(name), LAYOUTS[0]) if d["kind"] == "ConfigMap"]
        written = yaml.safe_load(found[0]["data"]["net-conf.json"])
        settings[name] = (written["Backend"]["Type"], written["EnableNFTables"])

    assert settings == {
        "flannel": ("vxlan", False),
        "flannel-host-gw": ("host-gw", False),
        "flannel-nftables": ("vxlan", True),
        "kube-router": ("vxlan", False),
    }


def test_kube_router_waits_for_the_jumps_of_kube_proxy(tmp_path: Path):
    """It puts the filter table back as it read it, without what was added in between."""
    (daemons,) = [
        document
        for document in documents(network_named("kube-router"), LAYOUTS[0])
        if document["kind"] == "DaemonSet" and document["metadata"]["name"] == "kube-router"
    ]
    (waits,) = daemons["spec"]["template"]["spec"]["initContainers"]
    asked = tmp_path / "asked"
    for name, body in {
        "iptables": f'echo "$*" >>{asked}; [ "$(wc -l <{asked})" -gt 2 ]',
        "nft": "exit 1",
        "sleep": "exit 0",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(waits["command"], env={"PATH": path}, timeout=60, check=True)

    jump = "-m comment --comment kubernetes load balancer firewall -j KUBE-PROXY-FIREWALL"
    lines = asked.read_text().splitlines()
    assert lines == [f"-w -C FORWARD -m conntrack --ctstate NEW {jump}"] * 3


def test_networks_without_encapsulation_say_so():
    assert {n.name for n in NETWORKS if not n.encapsulates} == {"flannel-host-gw", "kind"}


def test_only_a_network_with_images_of_its_own_has_an_archive(tmp_path: Path):
    here = State(tmp_path)
    archives = {network.name: images_archive(here, network) for network in NETWORKS}

    assert {name: archive for name, archive in archives.items() if archive} == {
        "cilium": tmp_path / "images" / "network-cilium.tar",
        # The same image, with other settings.
        "cilium-kube-proxy": tmp_path / "images" / "network-cilium.tar",
        "kube-router": tmp_path / "images" / "network-kube-router.tar",
    }


def test_a_network_has_what_it_is_based_on_but_for_what_its_own_file_says():
    alone, beside = network_named("cilium"), network_named("cilium-kube-proxy")

    assert (alone.kube_proxy, beside.kube_proxy) == (False, True)
    assert (beside.components, beside.beside) == (alone.components, alone.beside)
    assert (beside.mounts, beside.manifests) == (alone.mounts, alone.manifests)
    assert beside.what != alone.what


def test_what_is_put_into_images_comes_from_what_is_built_or_unpacked():
    network = network_named("cilium")
    built = {f"bin/{component.name}" for component in network.components}
    programs = {path for path in network.beside.values() if path.startswith("bin/")}

    assert programs < built
    others = {path.split("/")[0] for path in network.beside.values()} - {"bin"}
    assert others == {"build", "debian"}
    assert {folder.split("/")[0] for folder in network.definitions} == {"build"}


def test_cilium_is_told_whether_it_takes_the_place_of_kube_proxy():
    settings = {}
    for name in ("cilium", "cilium-kube-proxy"):
        (found,) = [
            document["data"]
            for document in documents(network_named(name), LAYOUTS[0])
            if document["kind"] == "ConfigMap"
        ]
        settings[name] = (found["kube-proxy-replacement"], found["cni-chaining-mode"])

    assert settings == {"cilium": ("true", "none"), "cilium-kube-proxy": ("false", "portmap")}


def test_cilium_is_given_what_process_1_of_a_node_has_mounted():
    """Each mount of bpf is an instance of its own, which the agent must share with the node."""
    network = network_named("cilium")
    (daemons,) = [d for d in documents(network, LAYOUTS[0]) if d["kind"] == "DaemonSet"]
    pod = daemons["spec"]["template"]["spec"]
    paths = {volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}

    assert {mount.at for mount in network.mounts} <= paths


def test_cilium_writes_no_setting_of_the_whole_machine():
    (daemons,) = [
        document
        for document in documents(network_named("cilium"), LAYOUTS[0])
        if document["kind"] == "DaemonSet"
    ]
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}

    assert mounts["/host/proc/sys/kernel"]["readOnly"]
    assert "privileged" not in container["securityContext"]
    assert "SYS_RESOURCE" not in container["securityContext"]["capabilities"]["add"]


def test_both_families_reach_the_manifests():
    (kube_router,) = [
        document
        for document in documents(network_named("kube-router"), LAYOUTS[1])
        if document["kind"] == "DaemonSet" and document["metadata"]["name"] == "kube-router"
    ]
    command = kube_router["spec"]["template"]["spec"]["containers"][0]["command"]

    assert "--enable-ipv6=true" in command
    assert "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112" in command

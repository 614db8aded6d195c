"""The layout of k3s on a node: where process 1 puts files and programs, and what is asked for."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from testbed import bring_up, cli, cluster, nodes
from testbed.bring_up import Shape
from testbed.commands import Ended, TestbedError
from testbed.components import component_key
from testbed.file_layout import (
    CREDENTIALS,
    FILE_LAYOUTS,
    K3S,
    KUBEADM,
    FileLayout,
    file_layout_named,
    kube_proxy_arguments,
)
from testbed.kubeadm import init_configuration, join_configuration
from testbed.layout import SUBNETS, Layout
from testbed.networks.pod_network import manifest_paths, names, network_named
from testbed.state import SOURCE, Record, State

LAYOUT = Layout(SUBNETS[0])
DATA = "var/lib/rancher/k3s/data"

CONTAINERD = """\
version = 2

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
"""
KUBELET = """\
kind: KubeletConfiguration
clusterDNS:
- 10.96.0.10
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
  verbosity: 0
memorySwap: {}
oomScoreAdj: 0
"""
FLAGS = (
    'KUBELET_KUBEADM_ARGS="--node-ip=172.31.250.11 --node-labels=topology.kubernetes.io/zone=a"\n'
)


class Node:
    """A folder that stands for the root of a node, with the files that Debian and kubeadm have."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "usr/lib/cni", "var/lib/kubelet"):
            (root / folder).mkdir(parents=True)
        for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
            self.write(f"usr/bin/{name}")
        for name in ("runc", "conntrack", "ipset", "nft", "xtables-nft-multi"):
            self.write(f"usr/sbin/{name}")
        self.write("usr/sbin/xtables-legacy-multi")
        for plugin in ("bandwidth", "bridge", "firewall", "host-local", "loopback", "portmap"):
            self.write(f"usr/lib/cni/{plugin}")
        for tool in ("iptables", "ip6tables"):
            for suffix in ("", "-save", "-restore"):
                link = root / "usr/sbin" / f"{tool}{suffix}"
                link.symlink_to(f"/etc/alternatives/{tool}{suffix}")
                for variant in ("nft", "legacy"):
                    link = root / "usr/sbin" / f"{tool}-{variant}{suffix}"
                    link.symlink_to(f"xtables-{variant}-multi")
        for name in ("kubelet", "kube-proxy"):
            (root / "usr/local/bin" / name).symlink_to("kubernetes")
        self.write("etc/containerd/config.toml", CONTAINERD)
        self.write("etc/wirecheck-testbed/k3s", kube_proxy_arguments("nftables"))
        self.write("var/lib/kubelet/config.yaml", KUBELET)
        self.write("var/lib/kubelet/kubeadm-flags.env", FLAGS)
        self.write(f"{DATA}/testbed/bin/k3s")

    def write(self, path: str, text: str = "\x7fELF") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, call: str) -> str:
        text = (SOURCE / "node" / "k3s").read_text()
        for folder in ("/var/lib/", "/usr/", "/etc/", "/run/"):
            # What is written into a configuration stays as it is on a node.
            text = text.replace(f" {folder}", f" {self.root}{folder}")
            text = text.replace(f'"{folder}', f'"{self.root}{folder}')
            text = text.replace(f"<{folder}", f"<{self.root}{folder}")
            text = text.replace(f">{folder}", f">{self.root}{folder}")
            text = text.replace(f"={folder}var", f"={self.root}{folder}var")
        text = text.replace("rancher=/var", f"rancher={self.root}/var")
        ended = subprocess.run(
            ["sh", "-euc", f"{text}\n{call}"],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not ended.stderr
        assert ended.returncode == 0
        return ended.stdout


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_tools_of_a_node_are_in_the_folder_of_k3s_alone(node: Node) -> None:
    node.run("k3s_files")
    aux = node.root / DATA / "current/bin/aux"

    assert {"conntrack", "ipset", "iptables-nft-save", "ip6tables-legacy-save"} <= {
        each.name for each in aux.iterdir()
    }
    assert (aux / "iptables-nft-save").resolve() == (aux / "xtables-nft-multi").resolve()
    assert (aux / "iptables-save").read_text().startswith("#!/bin/sh\nexec ")
    assert [each.name for each in (node.root / "usr/sbin").iterdir()] == ["nft"]


def test_programs_and_plugins_are_where_containerd_is_told(node: Node) -> None:
    node.run("k3s_files")
    programs = {each.name for each in (node.root / DATA / "current/bin").iterdir()}
    plugins = node.root / DATA / "cni"
    written = (node.root / "var/lib/rancher/k3s/agent/etc/containerd/config.toml").read_text()

    assert {"k3s", "k3s-agent", "containerd", "runc", "ctr", "bridge"} <= programs
    assert all(plugin.resolve().exists() for plugin in plugins.iterdir())
    assert f'bin_dir = "{plugins}"' in written
    assert f'conf_dir = "{node.root}{K3S.cni_folder}"' in written
    assert K3S.socket in written
    assert written.count("version = 2") == 1
    assert not (node.root / "etc/containerd/config.toml").exists()
    assert not (node.root / "usr/local/bin/kubelet").is_symlink()


def test_a_node_that_starts_again_is_left_as_it_is(node: Node) -> None:
    node.run("k3s_files")
    node.run("k3s_files")

    assert (node.root / DATA / "current").is_symlink()


def test_both_parts_get_their_options_from_one_file(node: Node) -> None:
    node.run("k3s_files")
    options = yaml.safe_load(node.run("k3s_arguments"))
    folder = node.root / "var/lib/rancher/k3s/agent/etc/kubelet.conf.d"

    assert f"config-dir={folder}" in options["kubelet-arg"]
    assert "node-ip=172.31.250.11" in options["kubelet-arg"]
    assert "proxy-mode=nftables" in options["kube-proxy-arg"]
    # Logging is set up once in a process, and kube-proxy is given no settings of it.
    (file,) = folder.iterdir()
    assert yaml.safe_load(file.read_text()) == {
        key: value for key, value in yaml.safe_load(KUBELET).items() if key != "logging"
    }


def test_process_1_arranges_the_files_before_containerd_starts() -> None:
    calls = (SOURCE / "node" / "init").read_text().partition("\nmount --make-rshared /\n")[2]

    assert calls.index("k3s_files") < calls.index("containerd_forever &")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(nodes, "run_here", lambda argv, **_: calls.append(argv))
    monkeypatch.setattr(nodes, "node_image", lambda _: "wc-node:0")
    return calls


@pytest.mark.parametrize(("layout", "has_it"), [(KUBEADM, False), (K3S, True)])
def test_a_node_is_given_the_program_of_its_layout(
    layout: FileLayout, has_it: bool, started: list[list[str]], tmp_path: Path
) -> None:
    here = State(tmp_path)
    settings = nodes.write_node_settings(here, LAYOUT, proxy_mode="iptables")
    nodes.start(here, LAYOUT.workers[0], settings, None, layout)
    words = started[-1]

    program = f"{tmp_path}/bin/k3s:/var/lib/rancher/k3s/data/testbed/bin/k3s:ro"
    options = f"{settings}/k3s:/etc/wirecheck-testbed/k3s:ro"
    assert (program in words, options in words) == (has_it, has_it)
    assert f"PATH={layout.path}" in words


def test_kubeadm_is_told_the_socket_of_the_layout() -> None:
    for layout in FILE_LAYOUTS:
        init, *_ = yaml.safe_load_all(init_configuration(LAYOUT, "a.b", "iptables", layout))
        join = yaml.safe_load(join_configuration(LAYOUT, LAYOUT.workers[0], "a.b", layout))
        sockets = {each["nodeRegistration"]["criSocket"] for each in (init, join)}
        assert sockets == {f"unix://{layout.socket}"}


@pytest.mark.parametrize("name", [name for name in names() if network_named(name).k3s])
def test_a_network_writes_its_configuration_where_the_layout_has_it(name: str) -> None:
    network = network_named(name)
    for layout in FILE_LAYOUTS:
        paths = {
            volume["hostPath"]["path"]
            for file in manifest_paths(network.manifests)
            for document in yaml.safe_load_all(cluster.manifest(file, LAYOUT, network, layout))
            if document["kind"] == "DaemonSet"
            for volume in document["spec"]["template"]["spec"]["volumes"]
            if "hostPath" in volume
        }
        others = {each.cni_folder for each in FILE_LAYOUTS if each is not layout}
        assert layout.cni_folder in paths
        assert not others & paths


def test_every_node_gets_the_credentials_of_kube_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def run(node: str, argv: list[str], **options: Any) -> Ended:
        if argv[0] == "kubeadm":
            assert argv[:5] == [
                "kubeadm",
                "kubeconfig",
                "user",
                "--client-name",
                "system:kube-proxy",
            ]
            return Ended(0, "kind: Config\n", "")
        assert CREDENTIALS in argv[-1]
        given[node] = options["stdin"]
        return Ended(0, "", "")

    monkeypatch.setattr(nodes, "run", run)
    cluster.admit_kube_proxies(["wc-cp", "wc-w1"])

    assert given == {"wc-cp": "kind: Config\n", "wc-w1": "kind: Config\n"}


def test_a_cluster_of_another_layout_is_another_one() -> None:
    record = Record("iptables", "172.31.250.0/24", vm=False, layout="k3s")
    same = [
        Shape("iptables", dual_stack=False, network=network_named("flannel"), files=files)
        for files in FILE_LAYOUTS
    ]

    assert [shape.is_that_of(record) for shape in same] == [False, True]


def test_a_layout_that_does_not_exist_is_an_error_that_names_the_others() -> None:
    with pytest.raises(TestbedError, match="'rke2' of a node's files: choose one of kubeadm, k3s"):
        file_layout_named("rke2")


@pytest.mark.parametrize("words", [["--network", "kind"], ["--vm"], ["--dual-stack"]])
def test_the_layout_is_refused_where_it_was_never_tried(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bring_up, "up", lambda *_: pytest.fail("a cluster was started"))
    result = CliRunner().invoke(cli.main, ["up", "--layout", "k3s", *words])

    assert result.exit_code == 2
    assert "a network out of flannel, flannel-host-gw, kube-router" in result.output


def test_the_program_is_built_anew_when_the_versions_of_kubernetes_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (agent,) = K3S.components
    for name in ("k3s", "kubernetes"):
        folder = tmp_path / "components" / name
        folder.mkdir(parents=True)
        (folder / "main.go").write_text("package main\n")
    versions = tmp_path / "components" / "kubernetes" / "go.mod"
    monkeypatch.setattr("testbed.components.SOURCE", tmp_path)
    monkeypatch.setattr("testbed.components._go_version", lambda: "go1.26")
    keys = []
    for text in ("v1", "v2"):
        versions.write_text(text)
        keys.append(component_key(agent))

    assert keys[0] != keys[1]

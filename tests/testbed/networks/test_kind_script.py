"""The script that stands in for kind's daemon, with programs that note how they are called."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import cluster
from testbed.layout import SUBNETS, Layout
from testbed.networks.pod_network import manifest_paths, network_named

NODES = """\
wc-cp|10.244.0.0/24 fd00:244::/64|172.31.250.10 fd00:250::a
wc-w1|10.244.1.0/24 fd00:244:0:1::/64|172.31.250.11 fd00:250::b
wc-w2||172.31.250.12 fd00:250::c
"""
"""What kubectl prints for three nodes, of which the last has joined but has no range yet."""


def script(layout: Layout) -> str:
    network = network_named("kind")
    (file,) = manifest_paths(network.manifests)
    documents = yaml.safe_load_all(cluster.manifest(file, layout, network))
    (configuration,) = [each for each in documents if each["kind"] == "ConfigMap"]
    return str(configuration["data"]["network"])


class Bed:
    """A folder with the programs that the script calls, and what a round of it did."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls = folder / "calls"
        self.conflist = folder / "net.d" / "10-kindnet.conflist"
        self.conflist.parent.mkdir()
        (folder / "mtu").write_text("1500\n")
        (folder / "bin").mkdir()
        self.program("kubectl", f"cat {folder}/nodes")
        self.program("sleep", "kill $PPID")
        self.program("ip", f'echo "ip $*" >>{self._calls}')
        for name in ("iptables", "ip6tables"):
            self.program(name, f'echo "{name} $*" >>{self._calls}\n[ "$4" != -C ]')

    def program(self, name: str, body: str) -> None:
        file = self._folder / "bin" / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def run(self, node: str, nodes: str, pod_ranges: str) -> list[str]:
        (self._folder / "nodes").write_text(nodes)
        self._calls.write_text("")
        text = script(Layout(SUBNETS[0]))
        text = text.replace("/etc/cni/net.d", str(self.conflist.parent))
        text = text.replace("/sys/class/net/eth0/mtu", f"{self._folder}/mtu")
        text = text.replace("/watched-nodes", f"{self._folder}/watched-nodes")
        subprocess.run(
            ["sh", "-c", text],
            env={
                "PATH": f"{self._folder}/bin:{os.environ['PATH']}",
                "NODE_NAME": node,
                "POD_RANGES": pod_ranges,
            },
            timeout=60,
            check=False,
        )
        return self._calls.read_text().splitlines()

    def plugins(self) -> list[dict[str, Any]]:
        plugins: list[dict[str, Any]] = json.loads(self.conflist.read_text())["plugins"]
        return plugins


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def test_other_nodes_are_reached_by_their_address_of_the_same_family(bed: Bed):
    calls = bed.run("wc-cp", NODES, "10.244.0.0/16,fd00:244::/56")

    assert [call for call in calls if call.startswith("ip route")] == [
        "ip route replace 10.244.1.0/24 via 172.31.250.11",
        "ip route replace fd00:244:0:1::/64 via fd00:250::b",
    ]


def test_the_nodes_own_ranges_are_written_as_a_routed_network(bed: Bed):
    bed.run("wc-w1", NODES, "10.244.0.0/16")
    ptp, portmap = bed.plugins()

    assert (ptp["type"], ptp["ipMasq"], ptp["mtu"]) == ("ptp", False, 1500)
    assert ptp["ipam"] == {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:244:0:1::/64"}]],
    }
    assert portmap == {"type": "portmap", "capabilities": {"portMappings": True}}


def test_a_node_without_a_range_gets_no_configuration(bed: Bed):
    bed.run("wc-w2", NODES, "10.244.0.0/16")

    assert not bed.conflist.exists()


def test_a_configuration_that_is_right_is_not_written_again(bed: Bed):
    bed.run("wc-cp", NODES, "10.244.0.0/16")
    before = bed.conflist.stat()
    bed.run("wc-cp", NODES, "10.244.0.0/16")

    assert bed.conflist.stat().st_ino == before.st_ino


def test_an_api_server_that_does_not_answer_changes_nothing(bed: Bed):
    bed.run("wc-cp", NODES, "10.244.0.0/16")
    before = bed.conflist.read_text()
    bed.program("kubectl", "exit 1")
    calls = bed.run("wc-cp", NODES, "10.244.0.0/16")

    assert bed.conflist.read_text() == before
    assert not [call for call in calls if call.startswith("ip ")]


def test_each_family_is_masqueraded_by_its_own_program(bed: Bed):
    calls = bed.run("wc-cp", NODES, "10.244.0.0/16,fd00:244::/56")
    returned = [call for call in calls if call.endswith("-j RETURN")]

    assert len(returned) == 2
    assert returned[0].startswith("iptables -w -t nat -A KIND-MASQ-AGENT -d 10.244.0.0/16 ")
    assert returned[1].startswith("ip6tables -w -t nat -A KIND-MASQ-AGENT -d fd00:244::/56 ")


def test_a_chain_that_is_there_is_not_filled_twice(bed: Bed):
    bed.program("iptables", f'echo "iptables $*" >>{bed._calls}\n[ "$4" != -N ]')
    calls = bed.run("wc-cp", NODES, "10.244.0.0/16")

    assert not [call for call in calls if " -A " in call]

import stat
from pathlib import Path

import pytest

from testbed.access import client_key, host_key, write_ssh_config
from testbed.inventory import remove_inventories, write_inventories
from testbed.layout import SUBNETS, Layout
from testbed.state import State, write_atomically
from wirecheck.inventory.file import AccessMethod, access_methods, read_inventory
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

LAYOUT = Layout(SUBNETS[0])


def node_objects() -> list[NodeObject]:
    return [
        NodeObject(
            metadata=Metadata(name=node.name),
            status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=node.address)]),
        )
        for node in LAYOUT.nodes(vm=True)
    ]


def methods(path: Path) -> dict[str, tuple[str, bool]]:
    found = access_methods(read_inventory(path), node_objects())
    return {
        name: (access.uri, access.sudo)
        for name, access in found.items()
        if isinstance(access, AccessMethod)
    }


def test_wirecheck_finds_a_way_into_every_node(tmp_path: Path) -> None:
    write_inventories(State(tmp_path), vm=True)
    assert methods(tmp_path / "inventory.yaml") == {
        "wc-cp": ("docker://wc-cp", False),
        "wc-w1": ("docker://wc-w1", False),
        "wc-w2": ("docker://wc-w2", False),
        "wc-vm": ("ssh://root@172.31.250.20", False),
    }


def test_all_nodes_can_also_be_reached_over_ssh_with_and_without_sudo(tmp_path: Path) -> None:
    write_inventories(State(tmp_path), vm=False)
    assert methods(tmp_path / "inventory-ssh.yaml")["wc-w1"] == ("ssh://root@172.31.250.11", False)
    assert methods(tmp_path / "inventory-sudo.yaml")["wc-w1"] == ("ssh://ops@172.31.250.11", True)


def test_removing_leaves_no_inventory(tmp_path: Path) -> None:
    write_inventories(State(tmp_path), vm=True)
    remove_inventories(State(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_credentials_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "kubeconfig", "secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["kubeconfig"]


@pytest.fixture
def here(tmp_path: Path) -> State:
    here = State(tmp_path)
    here.ssh.mkdir()
    for node in LAYOUT.nodes(vm=True):
        public = host_key(here, node.name).with_suffix(".pub")
        public.write_text(f"ssh-ed25519 KEY-OF-{node.name} {node.name}\n")
    write_ssh_config(here, LAYOUT.nodes(vm=True))
    return here


def test_each_node_is_known_by_name_and_address_with_its_own_key(here: State) -> None:
    assert (here.ssh / "known_hosts").read_text().splitlines() == [
        "wc-cp,172.31.250.10 ssh-ed25519 KEY-OF-wc-cp",
        "wc-w1,172.31.250.11 ssh-ed25519 KEY-OF-wc-w1",
        "wc-w2,172.31.250.12 ssh-ed25519 KEY-OF-wc-w2",
        "wc-vm,172.31.250.20 ssh-ed25519 KEY-OF-wc-vm",
    ]


def test_ssh_asks_nothing_and_trusts_no_other_key(here: State) -> None:
    config = here.ssh_config.read_text()
    assert "Host wc-vm\n  HostName 172.31.250.20\n" in config
    assert "StrictHostKeyChecking yes" in config
    assert "BatchMode yes" in config
    assert f"IdentityFile {client_key(here)}" in config

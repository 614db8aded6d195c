"""Inventories of each kind, read by the real Ansible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.needs import lacking
from wirecheck.collect.transport.ansible import ansible_access, hosts_of, program, unmapped
from wirecheck.inventory.file import AccessMethod, InventoryError, UnusableAccess
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

INI = """\
[k8s]
n1 ansible_host=192.0.2.1
second ansible_host=192.0.2.2 ansible_port=2222
[k8s:vars]
ansible_user=ops
ansible_become=true
[others]
bastion
"""
YAML = """\
all:
  children:
    k8s:
      vars: {ansible_user: ops, ansible_become: true}
      hosts:
        n1: {ansible_host: 192.0.2.1}
        second: {ansible_host: 192.0.2.2, ansible_port: 2222}
    others: {hosts: {bastion: }}
"""
LISTED = {
    "k8s": {"hosts": ["n1", "second"], "vars": {"ansible_user": "ops", "ansible_become": True}},
    "others": {"hosts": ["bastion"]},
    "_meta": {
        "hostvars": {
            "n1": {"ansible_host": "192.0.2.1"},
            "second": {"ansible_host": "192.0.2.2", "ansible_port": 2222},
        }
    },
}


def node(name: str, address: str) -> NodeObject:
    status = NodeStatus(addresses=[NodeAddress("InternalIP", address)])
    return NodeObject(Metadata(name=name), status=status)


NODES = [node("n1", "192.0.2.1"), node("n2", "192.0.2.2"), node("n3", "192.0.2.3")]


def ini(folder: Path) -> Path:
    file = folder / "hosts.ini"
    file.write_text(INI)
    return file


def in_yaml(folder: Path) -> Path:
    file = folder / "hosts.yaml"
    file.write_text(YAML)
    return file


def script(folder: Path) -> Path:
    file = folder / "cloud"
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(LISTED)}\nEND\n")
    file.chmod(0o755)
    return file


def directory(folder: Path) -> Path:
    inventory = folder / "inventory"
    for name, content in {
        "hosts": "[k8s]\nn1\n",
        "more.yaml": "k8s: {hosts: {second: }}\nothers: {hosts: {bastion: }}\n",
        "group_vars/k8s.yaml": "ansible_user: ops\nansible_become: true\n",
        "host_vars/n1.yaml": "ansible_host: 192.0.2.1\n",
        "host_vars/second/way.yaml": "ansible_host: 192.0.2.2\nansible_port: 2222\n",
    }.items():
        file = inventory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return inventory


@pytest.fixture(autouse=True)
def _needs_ansible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not program():
        lacking("ansible-inventory", "which is not installed")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)


@pytest.mark.parametrize("kind", [ini, in_yaml, script, directory])
def test_each_kind_of_inventory_gives_the_same_ways(
    tmp_path: Path, kind: Callable[[Path], Path]
) -> None:
    hosts = hosts_of(str(kind(tmp_path)))
    methods = ansible_access(hosts, NODES)

    found = {name: (w.uri, w.sudo) for name, w in methods.items() if isinstance(w, AccessMethod)}
    assert found == {
        "n1": ("ssh://ops@192.0.2.1", True),
        "n2": ("ssh://ops@192.0.2.2:2222", True),
    }
    assert unmapped(hosts, NODES) == ["bastion"]


def test_a_template_costs_its_node_alone(tmp_path: Path) -> None:
    file = tmp_path / "hosts.ini"
    file.write_text("n1 ansible_host='{{ somewhere }}'\nn2\n")

    methods = ansible_access(hosts_of(str(file)), NODES)

    assert isinstance(methods["n1"], UnusableAccess)
    assert isinstance(methods["n2"], AccessMethod)


def test_an_encrypted_password_is_neither_needed_nor_shown(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(
        "all: {hosts: {n1: {ansible_become_password: !vault '$ANSIBLE_VAULT;1.1;AES256 00'}}}\n"
    )

    (host,) = hosts_of(str(file))

    assert isinstance(ansible_access([host], NODES)["n1"], AccessMethod)


def test_what_ansible_cannot_read_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "hosts.ini"
    file.write_text("[k8s\nn1\n")

    with pytest.raises(InventoryError, match=r"cannot be used: .*Try: .*ansible-inventory"):
        hosts_of(str(file))


def test_an_inventory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="cannot be used"):
        hosts_of(str(tmp_path / "none"))

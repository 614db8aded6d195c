"""Access methods from Ansible inventories, read by a stand-in with recorded output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from wirecheck.collect.transport.ansible import AnsibleHost, ansible_access, hosts_of, unmapped
from wirecheck.inventory.file import AccessMethod, InventoryError, UnusableAccess
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

# By ansible-core 2.19, of an INI file with `wc-w1 ansible_host=10.0.0.1`,
# `wc-w2 ansible_host=10.0.0.2 ansible_user=x`, `bare`, and group variables in a folder.
LISTED = {
    "_meta": {
        "hostvars": {
            "wc-w1": {"ansible_host": "10.0.0.1", "ansible_user": "ops", "ansible_become": True},
            "wc-w2": {"ansible_host": "10.0.0.2", "ansible_user": "x", "ansible_become": True},
        },
        "profile": "inventory_legacy",
    },
    "all": {"children": ["ungrouped", "k8s"]},
    "k8s": {"hosts": ["wc-w1", "wc-w2"]},
    "ungrouped": {"hosts": ["bare"]},
}


def node(name: str, address: str = "192.0.2.1") -> NodeObject:
    status = NodeStatus(addresses=[NodeAddress("InternalIP", address)])
    return NodeObject(Metadata(name=name), status=status)


def access(**variables: Any) -> AccessMethod:
    found = ansible_access([AnsibleHost("n1", variables)], [node("n1")])["n1"]
    assert isinstance(found, AccessMethod)
    return found


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in prints; it writes its arguments to `argv`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "ansible-inventory"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/argv\ncat {tmp_path}/said\n')
    program.chmod(0o755)
    hosts_of.cache_clear()
    return tmp_path / "said"


def test_hosts_are_those_of_all_groups_with_their_variables(said: Path) -> None:
    said.write_text(json.dumps(LISTED))

    hosts = hosts_of("/etc/my hosts")

    assert [host.name for host in hosts] == ["bare", "wc-w1", "wc-w2"]
    assert (said.parent / "argv").read_text() == "--inventory /etc/my hosts --list\n"
    methods = ansible_access(hosts, [node("wc-w1"), node("by-address", "10.0.0.2"), node("none")])
    usable = {name: each for name, each in methods.items() if isinstance(each, AccessMethod)}
    assert usable.keys() == methods.keys()
    assert {name: each.uri for name, each in usable.items()} == {
        "wc-w1": "ssh://ops@10.0.0.1",
        "by-address": "ssh://x@10.0.0.2",
    }
    assert all(each.sudo for each in usable.values())
    assert unmapped(hosts, [node("wc-w1"), node("by-address", "10.0.0.2")]) == ["bare"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
def test_an_inventory_that_cannot_be_read_is_an_error(said: Path, text: str) -> None:
    said.write_text(text)

    with pytest.raises(InventoryError, match="cannot be used"):
        hosts_of("/etc/hosts.ini")


def test_ansible_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.executable", "/nowhere/python3")
    hosts_of.cache_clear()

    with pytest.raises(InventoryError, match=r"wirecheck\[ansible\]"):
        hosts_of("/etc/hosts.ini")


def test_what_leads_into_a_host_is_taken() -> None:
    found = access(
        ansible_host="fd00::1",
        ansible_port=2222,
        ansible_user="ops",
        ansible_ssh_private_key_file="/keys/one",
        ansible_ssh_common_args="-o ProxyJump='jump $(id)'",
    )

    assert found.uri == "ssh://ops@[fd00::1]:2222"
    assert found.identity_file == "/keys/one"
    assert found.ssh_arguments == ("-o", "ProxyJump=jump $(id)")
    assert not found.sudo


def test_containers_and_this_machine() -> None:
    assert access(ansible_connection="local").uri == "local://"
    assert access(ansible_connection="community.docker.docker").uri == "docker://n1"
    assert access(ansible_connection="containers.podman.podman").uri == "podman://n1"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ansible_connection": "winrm"}, "uses the connection winrm"),
        ({"ansible_become": True, "ansible_become_user": "ops"}, "becomes ops by sudo"),
        ({"ansible_host": "{{ address }}"}, "has a template in ansible_host"),
        ({"ansible_host": "-oProxyCommand=x"}, "invalid user, host or port"),
        ({"ansible_user": "a;b"}, "invalid user, host or port"),
        ({"ansible_ssh_common_args": "-o 'x"}, "unclosed quote"),
    ],
)
def test_what_cannot_be_used_is_named_and_costs_its_node_alone(
    variables: dict[str, Any], sentence: str
) -> None:
    hosts = [AnsibleHost("n1", variables), AnsibleHost("n2", {})]

    methods = ansible_access(hosts, [node("n1"), node("n2")])

    assert isinstance(methods["n1"], UnusableAccess)
    assert "The host n1" in methods["n1"].why
    assert sentence in methods["n1"].why
    assert isinstance(methods["n2"], AccessMethod)


def test_a_host_whose_address_is_a_template_is_known_by_its_name_alone() -> None:
    host = AnsibleHost("elsewhere", {"ansible_host": "{{ address }}"})

    assert ansible_access([host], [node("n1")]) == {}
    assert unmapped([host], [node("n1")]) == ["elsewhere (its address is a template)"]

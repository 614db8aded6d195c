"""A testinfra suite about a node's network, as such suites are written: one command a fact.

It knows far less than wirecheck's visit of the same node does: no pod's netns, no Service, no
other node. Given to pytest by `many_hosts`; each command is counted in the file that LOG names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

LOG = "WIRECHECK_BENCHMARK_COMMANDS"
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.ip_local_port_range",
    "net.ipv6.conf.all.disable_ipv6",
    "net.core.somaxconn",
)
TOOLS = ("ip", "iptables", "nft", "conntrack", "ipset")
LISTS = (
    "ip -j address",
    "ip -j route show table all",
    "ip -j rule",
    "ip -j neighbour",
    "bridge -j fdb",
    "iptables-save",
    "nft list tables",
)


@pytest.fixture(autouse=True)
def counted(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count what is run on the host."""
    run = type(host.backend).run

    def counting(backend: Any, command: str, *arguments: str, **options: Any) -> Any:
        with Path(os.environ[LOG]).open("a") as log:
            log.write(".\n")
        return run(backend, command, *arguments, **options)

    monkeypatch.setattr(type(host.backend), "run", counting)


@pytest.mark.parametrize("name", SYSCTLS)
def test_sysctls(host: Any, name: str) -> None:
    """As asked for by the distribution's checklist."""
    assert host.sysctl(name) is not None


@pytest.mark.parametrize("tool", TOOLS)
def test_tools(host: Any, tool: str) -> None:
    """Installed."""
    assert host.exists(tool)


@pytest.mark.parametrize("command", LISTS)
def test_lists(host: Any, command: str) -> None:
    """Can be listed."""
    assert host.run(command).succeeded


def test_the_resolver_is_set(host: Any) -> None:
    """In /etc/resolv.conf."""
    assert host.file("/etc/resolv.conf").exists


def test_the_interface_is_there(host: Any) -> None:
    """With an address."""
    assert host.interface("lo").exists
    assert host.interface("lo").addresses


def test_sshd_runs_and_listens(host: Any) -> None:
    """As every daemon of a node would be asked for."""
    assert host.process.filter(comm="sshd")
    assert host.socket("tcp://0.0.0.0:22").is_listening


def test_the_user_is_there(host: Any) -> None:
    """And may do all."""
    assert host.user("root").uid == 0

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.checks import small_cluster
from wirecheck.collect.transport.containers import container_access
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject


def node(name: str, address: str = "") -> NodeObject:
    found, *_ = msgspec.convert(small_cluster.api(), ApiObjects).nodes
    status = msgspec.structs.replace(
        found.status, addresses=[NodeAddress("InternalIP", address)] if address else []
    )
    metadata = msgspec.structs.replace(found.metadata, name=name)
    return msgspec.structs.replace(found, metadata=metadata, status=status)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "docker"
    script.write_text(
        "#!/bin/sh\n"
        'case "$1" in ps) echo 1a; echo 2b; echo 3c;; inspect) '
        'case "$*" in *Config.Env*|*"{{json"*) exit 1;; esac\n'
        "echo '/wc-w1 wc-w1 172.31.250.11 '\n"
        "echo '/renamed 0a1b2c 172.31.250.12 fd00::12'\n"
        "echo '/db 3c 172.17.0.2 '\n"
        ";; esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("docker")
def test_finds_nodes_by_their_address() -> None:
    nodes = [node("wc-w1", "172.31.250.11"), node("w2", "172.31.250.12"), node("w3", "fd00::12")]

    methods = container_access([*nodes, node("vm", "172.31.250.20")])

    assert {name: access.uri for name, access in methods.items()} == {
        "wc-w1": "docker://wc-w1",
        "w2": "docker://renamed",
        "w3": "docker://renamed",
    }
    assert methods["wc-w1"].address == "172.31.250.11"


@pytest.mark.usefixtures("docker")
def test_a_name_alone_does_not_outweigh_another_address() -> None:
    assert container_access([node("wc-w1", "10.0.0.1")]) == {}
    assert container_access([node("wc-w1")])["wc-w1"].uri == "docker://wc-w1"


def test_without_docker_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert container_access([node("wc-w1", "172.31.250.11")]) == {}

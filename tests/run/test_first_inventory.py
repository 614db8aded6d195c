"""`wirecheck init`: an inventory with the access methods that reached nodes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.served_cluster import SEEN, ServedCluster, node
from tests.snapshots import healthy
from wirecheck.inventory.file import AccessMethod, NodeEntry, read_inventory
from wirecheck.snapshot.index import VisitRecord, VisitStatus


class Machines(ServedCluster):
    """Nodes that answer one access method each."""

    def __init__(self, server) -> None:
        super().__init__(server)
        self.access_methods = set()
        self.answers: dict[str, str] = {}
        """By node: how the URI of its access method begins, with ` sudo` if it takes that."""
        self.tried: list[str] = []

    def visit_all(self, methods: Mapping[str, AccessMethod], _nodes, _plans, _options, progress):
        for name, method in sorted(methods.items()):
            used = method.uri + " sudo" * method.sudo
            self.tried.append(f"{name} {used}")
            reached = self.answers.get(name, "") == used
            record = SEEN if reached else VisitRecord(VisitStatus.UNREACHABLE, reason=f"{name}: no")
            progress(name, record)
            yield name, record, msgspec.json.encode(healthy().document) if reached else None


@pytest.fixture
def machines(server, monkeypatch, tmp_path):
    machines = Machines(server)
    small = healthy()
    small.api["nodes"] += [node(name) for name in ("n2", "n3", "n4", "n5")]
    machines.serve(small)
    monkeypatch.setattr("wirecheck.run.round.visit_all", machines.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", machines.container_access)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return machines


@pytest.fixture
def init(kubeconfig, call):
    return partial(call, "init", "--kubeconfig", kubeconfig)


def uri(name: str, user: str = "") -> str:
    return f"ssh://{user}192.0.2.{'1' if name == 'n1' else '9'}"


def test_one_access_method_for_all_is_tried_on_three(init, machines, tmp_path, kubeconfig):
    machines.answers = {f"n{number}": uri(f"n{number}", "root@") for number in range(1, 6)}

    status, out, _ = init()

    inventory = read_inventory(tmp_path / "inventory.yaml")
    assert status == 0
    assert inventory.nodes == [NodeEntry("*", "ssh://root@{address}")]
    assert (inventory.kubeconfig, bool(inventory.context)) == (str(kubeconfig), True)
    assert "`wirecheck doctor --inventory inventory.yaml` visits them all" in out
    assert {each.split()[0] for each in machines.tried} == {"n1", "n3", "n5"}


def test_containers_come_first_and_sudo_is_noted(init, machines, tmp_path):
    machines.access_methods = {"n2"}
    machines.answers = {name: f"{uri(name)} sudo" for name in ("n1", "n3", "n4", "n5")}

    status, *_ = init("mine.yaml")

    assert status == 0
    assert read_inventory(tmp_path / "mine.yaml").nodes == [
        NodeEntry("n2", "docker://n2"),
        NodeEntry("*", "ssh://{address}", sudo=True),
    ]


def test_containers_alone_need_one_entry(init, machines, tmp_path):
    machines.access_methods = {"n1", "n2", "n3", "n4", "n5"}

    assert init()[0] == 0
    assert read_inventory(tmp_path / "inventory.yaml").nodes == [NodeEntry("*", "docker://{name}")]
    assert machines.tried == []


def test_only_a_node_that_was_reached_gets_what_does_not_reach_all(init, machines, tmp_path):
    machines.answers = {"n3": uri("n3", "root@"), "n1": f"{uri('n1')} sudo"}

    status, out, err = init()

    text = (tmp_path / "inventory.yaml").read_text()
    assert status == 2
    assert read_inventory(tmp_path / "inventory.yaml").nodes[:2] == [
        NodeEntry("n3", "ssh://root@{address}"),
        NodeEntry("n1", "ssh://{address}", sudo=True),
    ]
    assert "# No access yet to 3 nodes." in text
    assert "# ssh://root@{address}: n5: no" in text
    assert "not reached by ssh://root@{address}: n5: no" in err
    assert "no access yet to 3 nodes" in out


def test_an_inventory_is_not_replaced_unless_it_was_asked_to(init, machines, tmp_path):
    file = tmp_path / "inventory.yaml"
    file.write_text("mine")
    machines.answers = {f"n{number}": uri(f"n{number}", "root@") for number in range(1, 6)}

    assert init()[0] == 4
    assert (file.read_text(), machines.tried) == ("mine", [])
    assert init("--force")[0] == 0
    assert read_inventory(file).nodes


@pytest.mark.parametrize("place", ["no/such/inventory.yaml", "."])
def test_a_place_that_cannot_be_written_is_refused_first(init, machines, place):
    status, _, err = init(place)

    assert (status, machines.tried) == (4, [])
    assert "cannot be written" in err
    assert not Path("inventory.yaml").exists()


def test_hostile_names_stay_text(init, machines, tmp_path):
    small = healthy()
    small.api["nodes"] = [node('"; evil: {x: "')]
    machines.serve(small)

    init()

    inventory = read_inventory(tmp_path / "inventory.yaml")
    assert [each.access for each in inventory.nodes] == ["ssh://root@{address}"]

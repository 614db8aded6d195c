"""Nodes of a whole cluster: flannel, port mappings and leftovers of others beside kube-proxy."""

import gzip
import json
import re
from pathlib import Path

import msgspec
import pytest

from tests.dataplane.small import index_of
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Clients, clients_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Differences, Kind
from wirecheck.dataplane.compare.tolerance import is_foreign
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.ipvs.reader import IpvsTexts, read_ipvs
from wirecheck.dataplane.proxy import Mode, ProxyFacts, proxy_facts
from wirecheck.dataplane.table import ServiceTable
from wirecheck.snapshot.api_objects import ApiObjects

FOLDER = Path(__file__).parents[1] / "recorded" / "nodes"


class RecordedNode:
    """A node with all that was read on it, and the API at that time."""

    def __init__(self, name: str) -> None:
        self.texts = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
        self.api = msgspec.convert(self.texts["api"], ApiObjects)
        self.facts: ProxyFacts = proxy_facts(self.texts["configz"], self.texts["version"])
        (self.object,) = self.api.nodes
        self.clients: Clients = clients_of(self.object, self.facts, self.texts["addresses"])
        index = index_of(self.api)
        self.wanted: ServiceTable = expected_table(index, self.object, self.facts, self.clients)

    def read(self, cache: ReaderCache | None = None) -> ServiceTable:
        iptables = {4: self.texts["iptables"], 6: self.texts["ip6tables"]}
        if self.facts.mode is Mode.IPVS:
            texts = IpvsTexts(self.texts["ip_vs"], self.texts["ipset"], iptables)
            return read_ipvs(texts, self.clients, self.wanted, cache=cache)
        return read_iptables(iptables, self.clients, self.wanted.entries, cache=cache)

    def differences(self) -> Differences:
        return compare(self.wanted, self.read())


@pytest.mark.parametrize("name", ["iptables", "ipvs"])
def test_a_healthy_node_has_no_difference(name: str) -> None:
    node = RecordedNode(name)
    assert str(node.facts.mode) == name
    found = node.differences()
    assert not found.items
    assert found.compared > 30


def test_what_others_programmed_is_told_apart() -> None:
    node = RecordedNode("iptables")
    foreign = [each for each in node.read().entries.values() if is_foreign(each)]
    named = {str(each.frontend) for each in foreign if each.frontend not in node.wanted.entries}
    assert "node port 8088/tcp" in named


def test_every_backend_of_ipvs_is_accounted_for() -> None:
    healthy = RecordedNode("ipvs").texts["ip_vs"]
    backends = set(re.findall(r"-> ([0-9A-F]{8}:[0-9A-F]{4}) ", healthy))
    assert len(backends) > 10
    for backend in backends:
        node = RecordedNode("ipvs")
        node.texts["ip_vs"] = healthy.replace(f"-> {backend} ", "-> 01020304:0001 ")
        found = node.differences()
        assert {each.kind for each in found} == {Kind.BACKEND_STALE, Kind.BACKEND_MISSING}
        assert str(Backend("1.2.3.4", 1)) in {str(each.backend) for each in found}

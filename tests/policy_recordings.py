"""Recorded clusters that enforce NetworkPolicies, in memory, as they are and with one change.

The programs of that time read neither the rules of policies nor ipsets. Both were kept beside the
recordings, or are those of the manifests that the cluster was made from.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wirecheck.catalogue.findings import Finding
from wirecheck.catalogue.registry import load
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import SnapshotIndex
from wirecheck.snapshot.node_document import NodeDocument

RECORDED = Path(__file__).parent / "recorded"
ROUTER, CALICO = "networks/kube-router-healthy", "calico/healthy-iptables"
CALICO_NFT = "calico/healthy-nftables"
CILIUM = "networks/cilium-"
"""The beginning of the recordings of Cilium, which have eBPF maps of the same moment."""
CHECKS = ("policy.denied_traffic", "policy.allowed_traffic")
OPEN, CLOSED = CHECKS
W1_AGENT = "agent-rhkrx"
"""A pod of namespace ops from which the visit to td-w1 connected to others."""
TABLE = "nft-table ip calico"

Json = dict[str, Any]
Change = Callable[[Json], None]
MANIFESTS: Json = {
    "db-from-web": [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 5432}]}
    ],
    "gateway-from-range": [
        {
            "from": [{"ipBlock": {"cidr": "172.29.0.0/16", "except": ["172.29.200.0/24"]}}],
            "ports": [{"port": 9090}],
        },
        {
            "from": [{"podSelector": {}}],
            "ports": [{"port": 8080}, {"protocol": "UDP", "port": 8081}],
        },
    ],
    "checkout-named-port": [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "api"}]}
    ],
}
"""The rules for ingress of the policies in the clusters with kube-router and Cilium, by name."""


class Found(NamedTuple):
    """One finding."""

    check: str
    pod: str
    key: str
    finding: Finding

    @property
    def what(self) -> tuple[str, str, str]:
        return self.check, self.pod, self.key


class Recorded(NamedTuple):
    """The parts of one recording."""

    index: SnapshotIndex
    api: Json
    documents: dict[str, Json]


@cache
def recorded(name: str) -> Recorded:
    """The recording with the rules of its policies and the sets of its nodes."""
    folder = RECORDED / name
    api = json.loads(unpacked(folder / "look-1" / "api.json.gz"))
    api["policyRulesRead"] = True
    if name == ROUTER or name.startswith(CILIUM):
        for each in api["networkPolicies"]:
            if rules := MANIFESTS.get(each["metadata"]["name"]):
                each["spec"]["ingress"] = rules
    else:
        items = json.loads(unpacked(RECORDED / CALICO / "beside" / "network-policies.json.gz"))
        api["networkPolicies"] = items["items"]
        api["policyKinds"] = {"Calico NetworkPolicy": "read"}
    maps = RECORDED / "cilium-maps" / name.removeprefix(CILIUM)
    if name.startswith(CILIUM):
        api["policyKinds"] = {"CiliumNetworkPolicy": "read"}
        api["ciliumEndpoints"] = json.loads(unpacked(maps / "endpoints.json.gz"))
    documents = {}
    for file in (folder / "look-1" / "nodes").iterdir():
        node = file.name.removesuffix(".json.gz")
        documents[node] = json.loads(unpacked(file))
        if name.startswith(CILIUM):
            documents[node]["ebpf"] = json.loads(unpacked(maps / f"{node}.json.gz"))
        for id_, words, beside in (
            ("ipset-save", ["ipset", "save"], f"{node}.ipset-save.txt.gz"),
            (TABLE, ["nft", "-j", "list", "table"], f"{node}.nft-table-ip-calico.json.gz"),
        ):
            if (folder / "beside" / beside).exists():
                output = unpacked(folder / "beside" / beside)
                record = {"argv": words, "status": 0, "output": output}
                documents[node]["commands"][id_] = record
    return Recorded(Snapshot.open(folder).index, api, documents)


def unpacked(file: Path) -> str:
    """The text in a compressed file."""
    return gzip.decompress(file.read_bytes()).decode()


def findings(
    name: str, node: str, change: Change | None = None, change_api: Change | None = None
) -> list[Found]:
    """What the checks of policies find on one node, also where they are inconclusive."""
    model = node_of(name, node, change, change_api)
    chosen = [each for each in load() if each.id in CHECKS]
    return [
        Found(check.id, f"{each.subject.namespace}/{each.subject.name}", each.key, each)
        for check in chosen
        for each in check.findings(model)
    ]


def node_of(
    name: str, node: str, change: Change | None = None, change_api: Change | None = None
) -> Node:
    """A node of a recording with a change to its document, and one to the API's objects."""
    document = recorded(name).documents[node]
    if change is not None:
        commands = {key: dict(value) for key, value in document["commands"].items()}
        new = {**document, "commands": commands}
        change(new)
        assert new != document
        document = new
    cluster = cluster_of(name) if change_api is None else _cluster(name, change_api)
    visit = cluster.visit_to(node)
    assert visit is not None
    return Node(cluster, cluster.nodes[node], visit, msgspec.convert(document, NodeDocument))


@cache
def cluster_of(name: str) -> Cluster:
    """The cluster of a recording."""
    return _cluster(name, lambda _: None)


def _cluster(name: str, change: Change) -> Cluster:
    of = recorded(name)
    api = copy.deepcopy(of.api)
    change(api)
    return Cluster(msgspec.convert(api, ApiObjects), of.index, of.index.looks[0])

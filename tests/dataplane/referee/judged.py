"""Compares what a run of kube-proxy left behind with what its objects ask for."""

import msgspec

from tests.dataplane.small import index_of
from wirecheck.dataplane.clients import clients_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Differences
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.proxy import Mode, proxy_facts
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.service import ServiceObject


def judged(objects: dict, config: dict, version: str, dumps: dict[str, str]) -> Differences:
    """The differences, which are to be none."""
    api = ApiObjects(
        services=msgspec.convert(objects["services"], list[ServiceObject]),
        endpoint_slices=msgspec.convert(objects["endpointslices"], list[EndpointSliceObject]),
    )
    node = msgspec.convert(objects["nodes"][0], NodeObject)
    facts = proxy_facts(config, version)
    clients = clients_of(node, facts)
    wanted = expected_table(index_of(api), node, facts, clients)
    if facts.mode is Mode.NFTABLES:
        texts = {4: dumps["nft"], 6: dumps["nft6"]}
        return compare(wanted, read_nftables(texts, clients, also=wanted.entries))
    texts = {4: dumps["iptables"], 6: dumps["ip6tables"]}
    return compare(wanted, read_iptables(texts, clients, also=wanted.entries))

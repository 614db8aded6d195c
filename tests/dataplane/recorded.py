"""The recorded kube-proxies: the same API objects, programmed by eight versions in two modes."""

import gzip
import json
from functools import cache
from pathlib import Path

import msgspec

from tests.dataplane.small import index_of
from wirecheck.api_index.services import ServiceIndex
from wirecheck.dataplane.clients import Clients, clients_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.proxy import ProxyFacts, proxy_facts
from wirecheck.dataplane.table import ServiceTable
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.service import ServiceObject

FOLDER = Path(__file__).parents[1] / "recorded" / "kube-proxy"
VERSIONS = ("1.29.6", "1.30.14", "1.31.0", "1.32.2", "1.33.13", "1.35.4", "1.36.3", "1.37.2")


@cache
def text(name: str) -> str:
    """A recorded file."""
    return gzip.decompress((FOLDER / f"{name}.gz").read_bytes()).decode()


@cache
def api() -> ApiObjects:
    """The Services and EndpointSlices that were programmed."""
    services = json.loads(text("services.json"))["items"]
    slices = json.loads(text("endpointslices.json"))["items"]
    return ApiObjects(
        services=msgspec.convert(services, list[ServiceObject]),
        endpoint_slices=msgspec.convert(slices, list[EndpointSliceObject]),
    )


@cache
def index() -> ServiceIndex:
    return index_of(api())


@cache
def node() -> NodeObject:
    return msgspec.json.decode(text("node.json"), type=NodeObject)


def facts(version: str, mode: str = "iptables") -> ProxyFacts:
    return proxy_facts({"clusterCIDR": "10.244.0.0/16"}, version, mode)


def clients(version: str, mode: str = "iptables") -> Clients:
    return clients_of(node(), facts(version, mode))


def expected(version: str, mode: str = "iptables") -> ServiceTable:
    return expected_table(index(), node(), facts(version, mode), clients(version, mode))


def iptables(version: str) -> str:
    return text(f"{version}.iptables-save.txt")


def iptables_differences(changed: str, version: str = "1.35.4") -> tuple[Difference, ...]:
    """What is found on a node whose rules are `changed`."""
    wanted = expected(version)
    read = read_iptables({4: changed}, clients(version), also=wanted.entries)
    return compare(wanted, read).items


def nft(version: str) -> str:
    return text(f"{version}.nft.json")

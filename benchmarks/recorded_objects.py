"""A cluster of any size as its API server would list it, made of what a real one listed.

Each object is a recorded one, with all fields that nobody asks for, under another name: the
cost of a list is mostly that of what is thrown away. Names and addresses are those of
`service_objects`: pod number n is endpoint number n of all Services.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks import service_objects

Object = dict[str, Any]

RECORDED = Path(__file__).parents[1] / "tests/recorded/api/pages.json.gz"
NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


@cache
def _pages() -> dict[str, Any]:
    pages: dict[str, Any] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return pages


def nodes(count: int) -> Iterator[Object]:
    """Nodes, like the recorded workers."""
    *_, template = _pages()[NODES]["items"]
    for made in service_objects.nodes(count):
        name = made["metadata"]["name"]
        node = _renamed(template, "v1", "Node", name, "")
        node["metadata"]["labels"]["kubernetes.io/hostname"] = name
        node["spec"].update(made["spec"])
        node["status"]["addresses"] = [
            *made["status"]["addresses"],
            {"type": "Hostname", "address": name},
        ]
        yield node


def pods(services: int, endpoints: int, of_nodes: int) -> Iterator[Object]:
    """A pod for each endpoint of each Service."""
    templates = [
        each
        for each in _pages()[PODS]["items"]
        if not each["spec"].get("hostNetwork") and each["status"].get("podIP")
    ]
    numbered = (
        (number, of)
        for number in range(services)
        for of in service_objects.endpoints_of(number, endpoints, of_nodes)
    )
    for place, ((number, of), template) in enumerate(zip(numbered, cycle(templates))):
        namespace = service_objects.namespace(number)
        pod = _renamed(template, "v1", "Pod", f"service-{number}-{place}", namespace)
        (address,), node = of["addresses"], of["nodeName"]
        host = service_objects.node_address(int(node.removeprefix("node-")))
        pod["spec"]["nodeName"] = node
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
        pod["status"] |= {"hostIP": host, "hostIPs": [{"ip": host}]}
        yield pod


def services(count: int) -> Iterator[Object]:
    """Services, with the metadata of recorded ones."""
    (template, *_) = [s for s in _pages()[SERVICES]["items"] if "selector" in s["spec"]]
    yield from _merged(template, "v1", "Service", service_objects.services(count))


def slices(count: int, endpoints: int, of_nodes: int) -> Iterator[Object]:
    """Their EndpointSlices."""
    (template, *_) = _pages()[SLICES]["items"]
    made = service_objects.endpoint_slices(count, endpoints, of_nodes)
    yield from _merged(template, "discovery.k8s.io/v1", "EndpointSlice", made)


def _merged(template: Object, version: str, kind: str, made: Iterable[Object]) -> Iterator[Object]:
    for each in made:
        metadata = each["metadata"]
        found = _renamed(template, version, kind, metadata["name"], metadata["namespace"])
        found["metadata"]["labels"] = metadata.get("labels", {})
        yield found | {name: part for name, part in each.items() if name != "metadata"}


def _renamed(template: Object, version: str, kind: str, name: str, namespace: str) -> Object:
    """A copy under another name, and with the name as its uid."""
    made = {"apiVersion": version, "kind": kind, **deepcopy(template)}
    own = {"name": name, "uid": f"{kind}-{namespace}-{name}"}
    made["metadata"] |= own | ({"namespace": namespace} if namespace else {})
    made["metadata"].pop("resourceVersion", None)
    return made

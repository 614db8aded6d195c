"""The two Services that every cluster has, in a synthetic one: the API server's and DNS.

They are the recorded ones, with the rules that a real kube-proxy wrote for them, at addresses
that no other Service of `service_objects` has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import structs

from benchmarks import service_objects
from benchmarks.service_objects import node_name, pod_address, pod_uid
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.node_document import Command, NodeDocument
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

KUBERNETES, DNS = "10.95.0.1", "10.95.0.10"
API_SERVER = "172.20.255.250"
REPLICAS = 2
"""Of DNS: the first pod of as many nodes."""

_CHAIN = re.compile(r"\bKUBE-S(?:VC|EP)-[A-Z0-9]{16}\b")
_NAMES = {("default", "kubernetes"): KUBERNETES, ("kube-system", "kube-dns"): DNS}


@dataclass(frozen=True)
class SystemServices:
    """What was recorded of them, and at which addresses they are now."""

    services: tuple[ServiceObject, ...]
    slices: tuple[EndpointSliceObject, ...]
    replica: PodObject
    lines: tuple[str, ...]
    """Of iptables-save."""
    entries: Mapping[str, Command]
    """What conntrack told about DNS."""

    @classmethod
    def recorded(cls, api: ApiObjects, node: NodeDocument) -> SystemServices:
        """Those of a recorded cluster; replica n of DNS is the first pod of node n."""
        services = [each for each in api.services if _key(each) in _NAMES]
        slices = [each for each in api.endpoint_slices if _service_of(each) in _NAMES]
        moved = _moves(services, slices)
        replica = next(e for e in api.pods if _is_dns_of(e, node))
        return cls(
            tuple(_moved_service(each) for each in services),
            tuple(_moved_slice(each, moved) for each in slices),
            replica,
            tuple(_moved_lines(node.commands["iptables-nft-save"].output, moved)),
            {name: e for name, e in node.commands.items() if name.startswith("conntrack-dns")},
        )

    def added_to(self, rules: NodeDocument) -> NodeDocument:
        """The rules of other Services, with those of these two."""
        saved = rules.commands["iptables-nft-save"]
        own = sorted({name for line in self.lines for name in _CHAIN.findall(line)})
        chains = "".join(f":{name} - [0:0]\n" for name in own)
        at = saved.output.index(":KUBE-MARK-MASQ ")
        text = saved.output[:at] + chains + saved.output[at:]
        at = text.index("-A KUBE-SERVICES -d ")
        # Before kube-proxy's last rule of that chain, and among those that are shuffled later.
        text = text[:at] + "".join(f"{line}\n" for line in self._in_order()) + text[at:]
        own_rules = {"iptables-nft-save": structs.replace(saved, output=text)}
        return structs.replace(rules, commands={**rules.commands, **self.entries, **own_rules})

    def _in_order(self) -> Iterable[str]:
        """With those of KUBE-SERVICES last, beside the others of that chain."""
        return sorted(self.lines, key=lambda line: line.startswith("-A KUBE-SERVICES"))


def replica_name(number: int) -> str:
    """The name of a pod of DNS."""
    return f"coredns-{number}"


def _key(service: ServiceObject) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name


def _service_of(slice_: EndpointSliceObject) -> tuple[str, str]:
    labels = slice_.metadata.labels
    return slice_.metadata.namespace, labels.get("kubernetes.io/service-name", "")


def _moves(
    services: Iterable[ServiceObject], slices: Iterable[EndpointSliceObject]
) -> dict[str, str]:
    """New addresses by the recorded ones."""
    moved = {each.spec.cluster_ip: _NAMES[_key(each)] for each in services}
    for slice_ in slices:
        for number, endpoint in enumerate(slice_.endpoints or ()):
            is_dns = _service_of(slice_) == ("kube-system", "kube-dns")
            moved[endpoint.addresses[0]] = pod_address(number, 0) if is_dns else API_SERVER
    return moved


def _moved_service(service: ServiceObject) -> ServiceObject:
    address = _NAMES[_key(service)]
    spec = structs.replace(service.spec, cluster_ip=address, cluster_ips=[address])
    return structs.replace(service, spec=spec)


def _moved_slice(slice_: EndpointSliceObject, moved: dict[str, str]) -> EndpointSliceObject:
    endpoints = [
        structs.replace(
            each,
            addresses=[moved[address] for address in each.addresses],
            node_name=node_name(number) if each.node_name else "",
            target_ref=structs.replace(
                each.target_ref, name=replica_name(number), uid=pod_uid(number, 0)
            )
            if each.target_ref
            else None,
        )
        for number, each in enumerate(slice_.endpoints or ())
    ]
    return structs.replace(slice_, endpoints=endpoints)


def _moved_lines(text: str, moved: dict[str, str]) -> Iterable[str]:
    """Rules about the recorded addresses, as they are for the new ones."""
    known = re.compile(rf"(?<![\d.])(?:{'|'.join(map(re.escape, moved))})(?![\d.])")
    for line in text.splitlines():
        if re.search(r'"(default/kubernetes|kube-system/kube-dns):', line):
            there = known.sub(lambda found: moved[found[0]], line)
            yield re.sub(r"(?<=! -s )\S+", service_objects.CLUSTER_RANGE, there)


def _is_dns_of(pod: PodObject, node: NodeDocument) -> bool:
    """Whether it is a replica of DNS that the node showed."""
    is_dns = pod.metadata.labels.get("k8s-app") == "kube-dns"
    return is_dns and any(each.uid == pod.metadata.uid for each in node.pods)

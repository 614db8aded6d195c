"""What IPVS mode shows of many Services, made of what it showed of a few.

The test cluster's virtual machine has IPVS but is emulated: kube-proxy does not get 2,000
Services programmed in it within 25 minutes. All Services of the benchmark have the same form.
"""

from __future__ import annotations

import ipaddress
import re

from msgspec import structs

from benchmarks import service_objects
from wirecheck.snapshot.netns import Address
from wirecheck.snapshot.node_document import NodeDocument

FEW = 100
IP_VS = "/proc/net/ip_vs"


def scaled(document: NodeDocument, services: int, endpoints: int, of_nodes: int) -> NodeDocument:
    """The document of a node with FEW Services, as if it had `services` of them."""
    slices = service_objects.endpoint_slices(services, endpoints, of_nodes)
    addresses = [service_objects.service_address(number) for number in range(services)]
    title, *_ = re.split(r"\n(?=TCP )", document.files[IP_VS])
    servers = [
        _server(address, [each["addresses"][0] for each in of["endpoints"]])
        for address, of in zip(addresses, slices, strict=True)
    ]
    sets = document.commands["ipset-save"]
    kept = [line for line in sets.output.splitlines() if "add KUBE-CLUSTER-IP " not in line]
    at = next(n for n, line in enumerate(kept) if line.startswith("create KUBE-CLUSTER-IP ")) + 1
    kept[at:at] = [f"add KUBE-CLUSTER-IP {each},tcp:{service_objects.PORT}" for each in addresses]
    local = [
        each["addresses"][0]
        for of in slices
        for each in of["endpoints"]
        if each["nodeName"] == service_objects.node_name(0)
    ]
    kept = [line for line in kept if "add KUBE-LOOP-BACK " not in line]
    at = next(n for n, line in enumerate(kept) if line.startswith("create KUBE-LOOP-BACK ")) + 1
    place = f"tcp:{service_objects.TARGET_PORT}"
    kept[at:at] = [f"add KUBE-LOOP-BACK {each},{place},{each}" for each in local]
    host, *others = document.namespaces
    known = {each.address for each in host.addresses}
    index = next(each.index for each in host.links if each.name == "kube-ipvs0")
    bound = [Address(index, each, 32) for each in addresses if each not in known]
    return structs.replace(
        document,
        namespaces=[structs.replace(host, addresses=[*host.addresses, *bound]), *others],
        files={**document.files, IP_VS: "\n".join((title, *servers))},
        commands={
            **document.commands,
            "ipset-save": structs.replace(sets, output="\n".join(kept) + "\n"),
        },
    )


def _server(address: str, backends: list[str]) -> str:
    port, target = service_objects.PORT, service_objects.TARGET_PORT
    lines = [f"TCP  {_hexadecimal(address)}:{port:04X} rr  "]
    lines += [
        f"  -> {_hexadecimal(each)}:{target:04X}      Masq    1      0          0         "
        for each in backends
    ]
    return "\n".join(lines)


def _hexadecimal(address: str) -> str:
    return f"{int(ipaddress.IPv4Address(address)):08X}"

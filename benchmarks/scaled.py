"""What IPVS mode shows of many Services, in the form that it showed of a few.

The test cluster's virtual machine has IPVS but is emulated: kube-proxy does not get 2,000
Services programmed in it within 25 minutes. So what a real one wrote there for other Services
is taken without these, and those of the benchmark, which are all alike, are put in their place.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
from pathlib import Path

import msgspec
from msgspec import structs

from benchmarks import service_objects
from wirecheck.snapshot.netns import Address
from wirecheck.snapshot.node_document import NodeDocument

_SIGHTS = Path(__file__).parents[1] / "tests/recorded/random-services/sights"
RECORDED = _SIGHTS / "ipvs-1.34.4-200.json.gz"
IP_VS = "/proc/net/ip_vs"
BOUND = "kube-ipvs0"
_ABOUT_ONE_SERVER = re.compile(r"^-A .* --vaddr .*\n", re.MULTILINE)


def scaled(services: int, endpoints: int, of_nodes: int) -> NodeDocument:
    """The document of the first of the nodes, with so many Services."""
    document = _without_services()
    slices = service_objects.endpoint_slices(services, endpoints, of_nodes)
    addresses = [service_objects.service_address(number) for number in range(services)]
    servers = [
        _server(address, [each["addresses"][0] for each in of["endpoints"]])
        for address, of in zip(addresses, slices, strict=True)
    ]
    sets = document.commands["ipset-save"]
    kept = sets.output.splitlines()
    at = next(n for n, line in enumerate(kept) if line.startswith("create KUBE-CLUSTER-IP ")) + 1
    kept[at:at] = [f"add KUBE-CLUSTER-IP {each},tcp:{service_objects.PORT}" for each in addresses]
    local = [
        each["addresses"][0]
        for of in slices
        for each in of["endpoints"]
        if each["nodeName"] == service_objects.node_name(0)
    ]
    at = next(n for n, line in enumerate(kept) if line.startswith("create KUBE-LOOP-BACK ")) + 1
    place = f"tcp:{service_objects.TARGET_PORT}"
    kept[at:at] = [f"add KUBE-LOOP-BACK {each},{place},{each}" for each in local]
    host, *others = document.namespaces
    index = next(each.index for each in host.links if each.name == BOUND)
    bound = [Address(index, each, 32) for each in addresses]
    return structs.replace(
        document,
        namespaces=[structs.replace(host, addresses=[*host.addresses, *bound]), *others],
        files={**document.files, IP_VS: "\n".join((document.files[IP_VS], *servers))},
        commands={
            **document.commands,
            "ipset-save": structs.replace(sets, output="\n".join(kept) + "\n"),
        },
    )


def _without_services() -> NodeDocument:
    """What was recorded, as the first node has it before there are Services."""
    seen = json.loads(gzip.decompress(RECORDED.read_bytes()))["document"]
    document = msgspec.convert(seen, NodeDocument)
    host, *others = document.namespaces
    names = {each.index: each.name for each in host.links}
    kept = [each for each in host.addresses if names[each.index] != BOUND]
    kept.append(Address(kept[1].index, service_objects.node_address(0), 24))
    sets = document.commands["ipset-save"]
    made = [line for line in sets.output.splitlines() if line.startswith("create ")]
    title, *_ = re.split(r"\n(?=(?:TCP|UDP|SCTP) )", document.files[IP_VS])
    # What ipvsadm prints would go before the file.
    absent = structs.replace(document.commands["ipvsadm-save"], output="", status=None)
    rules = {
        name: structs.replace(each, output=_ABOUT_ONE_SERVER.sub("", each.output))
        for name, each in document.commands.items()
        if name.endswith("tables-legacy-save")
    }
    return structs.replace(
        document,
        namespaces=[structs.replace(host, addresses=kept), *others],
        files={**document.files, IP_VS: title},
        commands={
            **document.commands,
            **rules,
            "ipvsadm-save": absent,
            "ipset-save": structs.replace(sets, output="\n".join(made) + "\n"),
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

"""The same node's rules as another kube-proxy would have written them, and with some altered.

kube-proxy goes through its Services in an order of chance (a Go map): rules that list all of
them differ in order from node to node, and so do chains of nftables, and IPVS's hash table.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from msgspec import structs

from benchmarks import cilium_maps
from wirecheck.snapshot.node_document import NodeDocument

IP_VS = "/proc/net/ip_vs"
DEAD = "192.0.2.1"


def reordered(document: NodeDocument, chance: random.Random) -> NodeDocument:
    """The same rules in another order, with the same meaning."""
    varied = _changed(document, lambda text: _reordered(text, chance))
    if varied.ebpf is None:
        return varied
    return structs.replace(varied, ebpf=cilium_maps.renumbered(varied.ebpf, chance))


def redirected(document: NodeDocument, count: int, chance: random.Random) -> NodeDocument:
    """The same, with an endpoint of `count` Services replaced by an address that nothing has."""
    varied = _changed(document, lambda text: _redirected(text, count, chance))
    if varied.ebpf is None:
        return varied
    return structs.replace(varied, ebpf=cilium_maps.redirected(varied.ebpf, count, chance))


def _changed(document: NodeDocument, change: Callable[[str], str]) -> NodeDocument:
    commands = {
        name: structs.replace(each, output=change(each.output)) if each.output else each
        for name, each in document.commands.items()
    }
    files = {name: change(t) if name == IP_VS else t for name, t in document.files.items()}
    return structs.replace(document, commands=commands, files=files)


def _reordered(text: str, chance: random.Random) -> str:
    if text.startswith('{"nftables"'):
        return _reordered_nft(text, chance)
    if text.startswith("IP Virtual Server"):
        title, *servers = re.split(r"\n(?=(?:TCP|UDP|SCTP) )", text)
        chance.shuffle(servers)
        return "\n".join((title, *servers))
    return re.sub(
        r"(?:^-A KUBE-SERVICES -d .*\n)+",
        lambda found: _shuffled(found[0], chance),
        text,
        flags=re.M,
    )


def _shuffled(lines: str, chance: random.Random) -> str:
    parts = lines.splitlines(keepends=True)
    chance.shuffle(parts)
    return "".join(parts)


def _reordered_nft(text: str, chance: random.Random) -> str:
    """Chains, with their rules in order, and new handles."""

    items = json.loads(text)["nftables"]
    chains = [each for each in items if "chain" in each]
    if not chains:
        return text
    rules: dict[str, list[object]] = {each["chain"]["name"]: [] for each in chains}
    for each in items:
        if "rule" in each:
            rules[each["rule"]["chain"]].append(each)
    others = [each for each in items if "chain" not in each and "rule" not in each]
    chance.shuffle(chains)
    ordered = [*others, *chains, *(r for c in chains for r in rules[c["chain"]["name"]])]
    for handle, each in enumerate(ordered):
        (inner,) = each.values()
        if "handle" in inner:
            inner["handle"] = handle + 1
    return json.dumps({"nftables": ordered}) + "\n"


def _redirected(text: str, count: int, chance: random.Random) -> str:
    """Every form in which a backend is written: of each the same number, where it is there."""
    for form, other in (
        (r"(?<=--to-destination )[\d.]+(?=:8080$)", DEAD),
        (r'(?<="dnat": \{"addr": ")[\d.]+', DEAD),
        (r"(?<=^  -> )[0-9A-F]{8}(?=:1F90)", "C0000201"),
    ):
        places = [found.span() for found in re.finditer(form, text, re.MULTILINE)]
        if places:
            for start, end in sorted(chance.sample(places, min(count, len(places))), reverse=True):
                text = text[:start] + other + text[end:]
    return text

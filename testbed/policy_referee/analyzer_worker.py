"""Answers questions by network-config-analyzer, one JSON document a line. Runs in its Python."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from nca.CoreDS.Peer import BasePeerSet
from nca.CoreDS.ProtocolNameResolver import ProtocolNameResolver
from nca.NetworkConfig.ResourcesHandler import ResourcesHandler

Cube = tuple[set[int] | None, set[int] | None, Any, Any]


def main() -> None:
    """Answer until there are no more lines."""
    for line in sys.stdin:
        question = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            cubes = allowed_cubes(question)
            answers = [any(is_in(cube, each) for cube in cubes) for each in question["questions"]]
        print(json.dumps(answers), flush=True)


def allowed_cubes(cluster: dict[str, Any]) -> list[Cube]:
    """What is allowed: sources, targets, protocols and ports; None for all of them."""
    objects = [*cluster["namespaces"], *cluster["pods"], *cluster["policies"]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text("\n---\n".join(json.dumps(each) for each in objects))
        config = ResourcesHandler().get_network_config(None, None, None, [str(file)], "random")
    allowed = config.allowed_connections().all_allowed_conns
    names = [f"{e['metadata']['namespace']}/{e['metadata']['name']}" for e in cluster["pods"]]
    found = []
    for cube in allowed:
        parts = dict(zip(allowed.active_dimensions, cube, strict=True))
        source, target = (
            peers_of(parts[side], names, cluster["outside"]) if side in parts else None
            for side in ("src_peers", "dst_peers")
        )
        found.append((source, target, parts.get("protocols"), parts.get("dst_ports")))
    return found


def peers_of(indices: Any, names: list[str], outside: list[str]) -> set[int]:
    """The numbers of the pods and addresses in a set of peers."""
    known = {str(each.full_name()) for each in BasePeerSet().get_peer_set_by_indices(indices)}
    ranges = [
        ipaddress.ip_network(part)
        for name in known
        for part in name.split(",")
        if not name.startswith(tuple(f"{each.partition('/')[0]}/pod-" for each in names))
    ]
    pods = {number for number, name in enumerate(names) if name in known}
    addresses = {
        number
        for number, text in enumerate(outside, start=len(names))
        if any(ipaddress.ip_address(text) in each for each in ranges)
    }
    return pods | addresses


def is_in(cube: Cube, question: dict[str, Any]) -> bool:
    """Whether the cube has the connection."""
    sources, targets, protocols, ports = cube
    number = ProtocolNameResolver.get_protocol_number(question["protocol"])
    return (
        (sources is None or question["source"] in sources)
        and (targets is None or question["target"] in targets)
        and (protocols is None or number in protocols)
        and (ports is None or question["port"] in ports)
    )


if __name__ == "__main__":
    main()

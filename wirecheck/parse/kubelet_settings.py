"""What a kubelet tells pods of DNS: its flags, and what its configuration says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from wirecheck.parse.errors import ParseError


@dataclass(frozen=True, slots=True)
class KubeletDns:
    """The settings in force once the kubelet has read its files."""

    servers: tuple[str, ...]
    domain: str


def kubelet_dns(flags: Mapping[str, str], lines: Sequence[str]) -> KubeletDns:
    """The settings; a flag wins over the file. Raises ParseError for what is no YAML.

    >>> kubelet_dns({"cluster-domain": "a.b"}, ["clusterDNS:", "- 10.96.0.10"])
    KubeletDns(servers=('10.96.0.10',), domain='a.b')
    """
    try:
        said = yaml.safe_load("\n".join(lines)) or {}
    except (yaml.YAMLError, ValueError) as error:
        # ValueError for what is a date by its form.
        raise ParseError(f"clusterDNS and clusterDomain are not understood: {error}") from error
    listed = said.get("clusterDNS") or [] if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise ParseError(f"clusterDNS and clusterDomain are not understood: {' '.join(lines)}")
    servers = flags["cluster-dns"].split(",") if "cluster-dns" in flags else listed
    domain = flags.get("cluster-domain") or said.get("clusterDomain") or ""
    return KubeletDns(tuple(str(each).strip() for each in servers), str(domain).rstrip("."))

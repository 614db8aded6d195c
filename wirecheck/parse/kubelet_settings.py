"""The DNS settings that a kubelet gives to pods, from its flags and its configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wirecheck.parse.errors import ParseError
from wirecheck.parse.plain_yaml import parse_yaml

MOST_CHARACTERS = 64 << 10


@dataclass(frozen=True, slots=True)
class KubeletDns:
    """The settings in force."""

    servers: tuple[str, ...]
    domain: str


def kubelet_dns(flags: Mapping[str, str], lines: Sequence[str]) -> KubeletDns:
    """The settings; a flag overrides the file. Raises ParseError for invalid YAML.

    >>> kubelet_dns({"cluster-domain": "a.b"}, ["clusterDNS:", "- 10.96.0.10"])
    KubeletDns(servers=('10.96.0.10',), domain='a.b')
    """
    try:
        settings = parse_yaml("\n".join(lines), MOST_CHARACTERS) or {}
    except ParseError as error:
        raise ParseError(f"clusterDNS and clusterDomain cannot be parsed: {error}") from error
    listed = settings.get("clusterDNS") or [] if isinstance(settings, dict) else None
    if not isinstance(listed, list):
        raise ParseError(f"clusterDNS is not a list: {' '.join(lines)[:200]}")
    servers = flags["cluster-dns"].split(",") if "cluster-dns" in flags else listed
    domain = flags.get("cluster-domain") or settings.get("clusterDomain") or ""
    return KubeletDns(tuple(str(each).strip() for each in servers), str(domain).rstrip("."))

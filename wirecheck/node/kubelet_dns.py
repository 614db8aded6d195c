"""The DNS settings that one node's kubelet gives to pods."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.kubelet_settings import KubeletDns, kubelet_dns


@lru_cache(maxsize=256)  # Most nodes of a cluster have the same settings.
def _parsed(flags: tuple[tuple[str, str], ...], lines: tuple[str, ...]) -> KubeletDns:
    return kubelet_dns(dict(flags), lines)


def required_kubelet_dns(seen: NodeSeen) -> KubeletDns:
    """The settings.

    Raises NotApplicable where the settings cannot be found, and FactMissingError where they were
    found but not read.
    """
    found = seen.facts.kubelet
    if found is None:
        raise NotApplicable("no process named kubelet was found on the node")
    if found.flags.get("config-dir") and not found.merged and not found.problem:
        raise NotApplicable(
            f"the kubelet merges its settings from files in {found.flags['config-dir']}, which "
            "are not read"
        )
    if found.problem:
        raise FactMissingError(f"The kubelet's settings on {seen.name}: {found.problem}.")
    try:
        return _parsed(tuple(sorted(found.flags.items())), tuple(found.lines))
    except ParseError as error:
        raise FactMissingError(f"The kubelet on {seen.name}: {error}") from error


def known_kubelet_dns(seen: NodeSeen) -> KubeletDns:
    """The settings; without servers and domain where they are unknown."""
    with suppress(NotApplicable, FactMissingError):
        return required_kubelet_dns(seen)
    return KubeletDns((), "")

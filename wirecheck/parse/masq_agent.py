"""The configuration of ip-masq-agent: the destinations that keep the pod's address."""

from __future__ import annotations

from wirecheck.addresses import IPNetwork, network
from wirecheck.parse.errors import ParseError
from wirecheck.parse.plain_yaml import parse_yaml


def exempt_ranges(text: str) -> tuple[IPNetwork, ...]:
    """The ranges in nonMasqueradeCIDRs. Raises ParseError for another form.

    >>> exempt_ranges("nonMasqueradeCIDRs: [10.0.0.0/8]")
    (IPv4Network('10.0.0.0/8'),)
    """
    try:
        settings = parse_yaml(text) or {}
        listed = settings.get("nonMasqueradeCIDRs") or []
        return tuple(network(str(each)) for each in listed)
    except (ValueError, AttributeError, TypeError) as error:
        raise ParseError(
            f"nonMasqueradeCIDRs of ip-masq-agent cannot be parsed: {str(error)[:200]}"
        ) from error

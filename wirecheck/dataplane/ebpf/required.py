"""Which maps must be pinned, so that those that are do not say too little or too much."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.dataplane.ebpf.layouts import NAMES, Subject
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMaps

OF_EACH_FAMILY = (Subject.SERVICES, Subject.BACKENDS, Subject.REVERSE_NAT)
"""Cilium creates these together, for each family that is enabled (pkg/loadbalancer/maps)."""
Pinned = tuple[str, int]
"""The subject of a map with its family; 0 for a map of both."""


def require_services(document: EbpfMaps) -> None:
    """Raise ParseError if a map is missing without which nothing can be said about Services."""
    pinned = pinned_maps(document)
    missing = {Subject.SERVICES, Subject.BACKENDS} - {subject for subject, _ in pinned}
    if missing:
        raise ParseError(f"no eBPF map of {' and '.join(sorted(missing))} is pinned")
    for family in sorted({family for subject, family in pinned if subject in OF_EACH_FAMILY}):
        for subject in OF_EACH_FAMILY:
            if (subject, family) not in pinned:
                raise ParseError(
                    f"no eBPF map cilium_lb{family}_{subject} is pinned, although others of "
                    f"IPv{family} are"
                )


def pinned_maps(document: EbpfMaps) -> frozenset[Pinned]:
    """The maps that decide about Services, of any version."""
    return frozenset(_pinned_maps(document))


def _pinned_maps(document: EbpfMaps) -> Iterator[Pinned]:
    for each in document.maps:
        if match := NAMES.fullmatch(each.name):
            yield match["subject"], int(match["family"] or 0)

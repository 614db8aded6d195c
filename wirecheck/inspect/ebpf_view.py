"""Cilium's eBPF maps as data, as parts of the views of a node and of a pod."""

from __future__ import annotations

from wirecheck.inspect.parts import View


class MapView(View, frozen=True, kw_only=True):
    """One map."""

    name: str
    entries: int
    limit: int
    """Its `max_entries`."""
    use: float
    """Percent of the limit."""


class NodeMapsView(View, frozen=True, kw_only=True):
    """The maps of one node."""

    decided: str
    """Where the backends of connections to Services are chosen."""
    unknown: str = ""
    """What was not read, with the reason; empty if everything was."""
    maps: tuple[MapView, ...] = ()
    """The fullest first."""


class PodMapsView(View, frozen=True, kw_only=True):
    """What the maps of the pod's node have for it."""

    decided: str
    """Where the backends of its connections to Services are chosen."""
    unknown: str = ""
    """Why the entries are not known; empty if they are."""
    entries: tuple[str, ...] = ()
    """The entries with its addresses, as text."""

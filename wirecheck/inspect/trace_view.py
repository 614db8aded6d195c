"""What `wirecheck trace` shows. Field names are those of the JSON, and are documented."""

from __future__ import annotations

from wirecheck.inspect.parts import Source, View


class HopView(View, frozen=True, kw_only=True):
    """One decision about the packet."""

    node: str
    netns: str
    """`the node`, or `pod NAMESPACE/NAME`."""
    stage: str
    text: str
    lines: list[str]
    """The rules, routes or entries that decided it, as their tools print them."""


class WayView(View, frozen=True, kw_only=True):
    """A packet's way in one direction."""

    packet: str
    """As it was sent: `tcp 10.244.0.9 > 10.96.0.10:53`."""
    arrives_as: str
    """The same at the end of the way."""
    result: str
    hops: list[HopView]


class PolicyView(View, frozen=True, kw_only=True):
    """What NetworkPolicies mean for a connection after translation."""

    decision: str
    """`allowed`, `denied` or `inconclusive`."""
    reason: str
    """The rule that allows it, or the policies that isolate an end."""


class PathView(View, frozen=True, kw_only=True):
    """One branch of the path: rules choose backends at random."""

    share: float
    """Of new connections, from 0 to 1."""
    result: str
    """`reaches`, `dies` or `cannot be decided`."""
    reason: str
    """Why it dies or cannot be decided; empty if it reaches."""
    decisive: HopView | None
    """The hop at which it dies, or from which on nothing is known."""
    further: list[HopView]
    """Behind it, what would stop the packet as well: everything that has to change."""
    there: WayView
    back: WayView | None
    """The answer; null with --one-way, and where the packet does not arrive."""
    unread: list[str]
    """What was not read and may stop the packet; empty if everything that decides was read."""
    policy: PolicyView | None
    """By the policies of the cluster; null if neither end is a pod with a network of its own."""
    assumed: PolicyView | None
    """By those of `--assume` as well; null without it."""


class TraceView(View, frozen=True, kw_only=True):
    """The ways of a connection from one end to another."""

    source: Source
    sender: str
    destination: str
    address: str
    port: int
    protocol: str
    result: str
    """The worst of all branches: `dies`, then `cannot be decided`, then `reaches`."""
    reason: str
    assumed: list[str]
    """The objects of `--assume`: `NetworkPolicy shop/web`."""
    paths: list[PathView]

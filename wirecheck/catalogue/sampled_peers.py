"""How many other nodes each node connects to: plans follow it, and reports say it."""

PEERS = 16
"""Nodes that each node connects to: the next ones in the order of their names, so that every
node is a source and a target however many there are."""


def sampled_peers(nodes: int) -> int:
    """How many others each of so many nodes connects to, where those are not all; else 0."""
    return PEERS if nodes - 1 > PEERS else 0

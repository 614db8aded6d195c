"""Public addresses that stand for everything outside of the cluster. Nothing is sent there.

Addresses for documentation would not do: GKE's agent leaves them alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from wirecheck.addresses import IPAddress, address

OUTSIDE: Mapping[int, IPAddress] = {4: address("8.8.8.8"), 6: address("2001:4860:4860::8888")}
"""By family: rules are evaluated and routes looked up for them."""
CLIENTS = (
    *OUTSIDE.values(),
    *(address("193.0.6.139"), address("2001:67c:2e8:22::c100:68b")),
)
"""Addresses of two networks in each family: what rules refuse to all of them is refused to all."""

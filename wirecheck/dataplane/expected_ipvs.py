"""What IPVS does otherwise than the rule-based modes."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.dataplane.endpoints import UsableEndpoints
from wirecheck.dataplane.services import PortFacts
from wirecheck.dataplane.table import Entry
from wirecheck.dataplane.vantage import Vantage


def ipvs_entries(port: PortFacts, usable: UsableEndpoints, vantage: Vantage) -> Iterator[Entry]:
    """The entries of one port in IPVS mode."""
    raise NotImplementedError

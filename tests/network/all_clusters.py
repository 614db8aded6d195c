"""The test clusters of every CNI plugin: each module in `clusters/` adds its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tests.checks.small_cluster import SmallCluster

ChangeCluster = Callable[[SmallCluster], None]
"""Changes the small cluster to what it is with another plugin."""

CLUSTERS: dict[str, ChangeCluster] = {}
"""By `PLUGIN` or `PLUGIN, VARIANT`."""

for _file in sorted((Path(__file__).parent / "clusters").glob("*.py")):
    CLUSTERS |= import_module(f"tests.network.clusters.{_file.stem}").CLUSTERS

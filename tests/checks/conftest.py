import pytest

from tests.checks.small_cluster import SmallCluster
from tests.cilium_with_maps import with_maps

__all__ = ["small", "with_maps"]


@pytest.fixture
def small() -> SmallCluster:
    """A healthy cluster of one node and two pods."""
    return SmallCluster()

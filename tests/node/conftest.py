import pytest

from tests.checks.small_cluster import SmallCluster


@pytest.fixture
def small() -> SmallCluster:
    """A healthy cluster of one node and two pods."""
    return SmallCluster()

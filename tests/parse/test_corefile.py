import pytest

from wirecheck.parse.corefile import cluster_zone


@pytest.mark.parametrize(
    ("corefile", "zone"),
    [
        (
            ".:53 {\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n    }\n}\n",
            "cluster.local",
        ),
        (".:53 {\n kubernetes in-addr.arpa k8s.example. {\n }\n}", "k8s.example"),
        (".:53 {\n # kubernetes old.local\n kubernetes {\n }\n}", ""),
        ("", ""),
    ],
)
def test_the_clusters_zone_is_found(corefile, zone):
    assert cluster_zone(corefile) == zone

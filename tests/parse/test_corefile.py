from __future__ import annotations

import pytest

from wirecheck.parse.corefile import cluster_zone

KUBEADM = """.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
    }
    loop
}
"""


@pytest.mark.parametrize(
    ("corefile", "zone"),
    [
        (KUBEADM, "cluster.local"),
        (KUBEADM.replace("cluster.local", "Corp.Example."), "corp.example"),
        (KUBEADM.replace("kubernetes cluster.local in", "kubernetes in"), ""),
        (KUBEADM.replace("    kubernetes", "    # kubernetes old.local\n    kubernetes"),
         "cluster.local"),
        ("cluster.corp in-addr.arpa {\n    kubernetes\n}\n", "cluster.corp"),
        ("dns://cluster.corp:5353 {\n    kubernetes {\n ttl 5\n }\n}\n", "cluster.corp"),
        (".:53 {\n    kubernetes {\n    }\n}\n", ""),
        ("example.org {\n  file db\n}\n.:53 {\n    kubernetes a.b {\n    }\n}\n", "a.b"),
        ("forward . 1.1.1.1\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_domain(corefile: str, zone: str) -> None:
    assert cluster_zone(corefile) == zone

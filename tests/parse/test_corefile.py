from __future__ import annotations

import pytest

from wirecheck.parse.corefile import cluster_zone, plugins

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
def test_the_cluster_zone(corefile: str, zone: str) -> None:
    assert cluster_zone(corefile) == zone


def test_plugins_of_all_blocks() -> None:
    text = (
        "import *.server\n(snip) {\n errors\n}\n"
        + KUBEADM
        + 'b.test:53 {\n  import snip # all\n  forward . 192.0.2.1 "a b" {\n x y\n }\n}\n'
    )
    found = [(each.name, each.zones) for each in plugins(text)]

    names = ("errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop")
    assert found == [
        ("import", ()),
        ("errors", ("(snip)",)),
        *((name, (".:53",)) for name in names),
        ("import", ("b.test:53",)),
        ("forward", ("b.test:53",)),
    ]
    assert list(plugins(text))[-1].arguments == (".", "192.0.2.1", '"a b"')

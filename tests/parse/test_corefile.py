from __future__ import annotations

import pytest

from wirecheck.parse.corefile import (
    MOST_LINES,
    cluster_zone,
    cluster_zones,
    expansion,
    plugins,
    unknown_zones,
)
from wirecheck.parse.corefile_rewrites import rewritten_zones

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


WITHOUT_BRACES = ".:53\nerrors\nkubernetes cluster.local in-addr.arpa {\n pods insecure\n}\nloop\n"


@pytest.mark.parametrize(
    ("corefile", "zones"),
    [
        (WITHOUT_BRACES, (".:53",)),
        (f"# one block\n\n{WITHOUT_BRACES}", (".:53",)),
        (
            WITHOUT_BRACES.replace(".:53", "cluster.local,\nexample.org"),
            ("cluster.local,", "example.org"),
        ),
        (
            WITHOUT_BRACES.replace(".:53", "cluster.local example.org"),
            ("cluster.local", "example.org"),
        ),
    ],
)
def test_a_single_server_block_may_lack_its_braces(corefile: str, zones: tuple[str, ...]) -> None:
    found = list(plugins(corefile))

    assert [each.name for each in found] == ["errors", "kubernetes", "loop"]
    assert {each.zones for each in found} == {zones}
    assert found[1].block == (("pods", "insecure"),)
    assert cluster_zones(corefile) == ("cluster.local",)


@pytest.mark.parametrize(
    "corefile",
    [
        ".:53 {\n errors\n}\n",
        ".:53\n{\n errors\n}\n",
        "a.b:53,\n.:53 {\n errors\n}\n",
        "import ../custom/*.server\n.:53 {\n errors\n}\n",
    ],
)
def test_a_server_block_with_braces_is_read_as_it_is(corefile: str) -> None:
    assert [each.name for each in plugins(corefile) if each.name != "import"] == ["errors"]


@pytest.mark.parametrize("argument", ["{args[0]}", "{args.0}"])
def test_a_snippet_gets_the_arguments_of_its_import(argument: str) -> None:
    snippet = f"(k8s) {{\n kubernetes {argument} in-addr.arpa {{args[7]}}\n}}\n"
    text = expansion(f"{snippet}.:53 {{\n import k8s my.domain\n}}\n", {}, "Corefile").text

    assert "kubernetes my.domain in-addr.arpa {args[7]}" in text
    assert cluster_zone(text) == "my.domain"


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
        (".:53,\ncluster.corp:53,\nin-addr.arpa {\n    kubernetes\n}\n", "cluster.corp"),
        ("cluster.corp,\n{\n    kubernetes\n}\na.b {\n    forward . /x\n}\n", "cluster.corp"),
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


@pytest.mark.parametrize(
    ("corefile", "zones"),
    [
        (".:53 {\n  kubernetes prod.name  cluster.local in-addr.arpa ip6.arpa {\n  }\n}\n",
         ("prod.name", "cluster.local")),
        (".:53 {\n kubernetai cluster.local {\n }\n kubernetai other.local {\n"
         "  endpoint https://192.0.2.9\n }\n}\n", ("cluster.local",)),
        (".:53 {\n kubernetai other.local {\n  kubeconfig /c\n }\n kubernetai own.local\n}\n",
         ("own.local",)),
        ("a.b:53 {\n kubernetes {\n  endpoint http://192.0.2.9\n }\n}\n", ("a.b",)),
        ("cluster.local:53 {\n kubernetes\n}\n.:53 {\n forward . 192.0.2.1\n}\n",
         ("cluster.local",)),
        (".:5353 {\n kubernetes 10.254.0.0/16 cluster.local 10.100.0.0/16 {\n }\n}\n",
         ("cluster.local",)),
        (".:53 {\n kubernetes a.b\n}\n.:54 {\n kubernetes c.d a.b\n}\n", ("a.b", "c.d")),
        ("(s) {\n kubernetes\n}\n", ()),
    ],
)  # fmt: skip
def test_all_zones_of_the_api(corefile: str, zones: tuple[str, ...]) -> None:
    assert cluster_zones(corefile) == zones


@pytest.mark.parametrize(
    ("corefile", "variables"),
    [
        (".:53 {\n  kubernetes {$CLUSTER_DOMAIN} in-addr.arpa {\n  }\n}\n", ("{$CLUSTER_DOMAIN}",)),
        (".:53 {\n  kubernetes {%DOMAIN%} in-addr.arpa\n}\n", ("{%DOMAIN%}",)),
        ("{$DOMAIN}:53 {\n  kubernetes\n}\n", ("{$DOMAIN}:53",)),
    ],
)
def test_a_variable_is_not_a_zone(corefile: str, variables: tuple[str, ...]) -> None:
    assert cluster_zones(corefile) == ()
    assert unknown_zones(corefile) == variables


SNIPPETS = """(common) {
    errors
    import cluster
}
(cluster) {
    kubernetes
}
cluster.corp:53 {
    import common
}
import custom/*.server
.:53 {
    import custom/*.override
    import missing
}
"""


def test_snippets_and_files_are_put_in_their_places() -> None:
    files = {
        "/etc/coredns/custom/a.override": "    forward . 192.0.2.1\n",
        "/etc/coredns/custom/b.server": "example.org {\n  file db\n  import common\n}\n",
        "/etc/coredns/other/c.override": "    loop\n",
        "/etc/coredns/custom/deep/d.override": "    loop\n",
    }
    whole = expansion(SNIPPETS, files, "/etc/coredns/Corefile")

    assert [(each.zones, each.name) for each in plugins(whole.text)] == [
        (("cluster.corp:53",), "errors"),
        (("cluster.corp:53",), "kubernetes"),
        (("example.org",), "file"),
        (("example.org",), "errors"),
        (("example.org",), "kubernetes"),
        ((".:53",), "forward"),
        ((".:53",), "import"),
    ]
    assert cluster_zones(whole.text) == ("cluster.corp", "example.org")
    assert whole.imported == {"/etc/coredns/custom/a.override", "/etc/coredns/custom/b.server"}


def test_an_absolute_pattern_and_one_of_another_folder() -> None:
    files = {"/etc/custom/x.server": "a.b {\n  kubernetes\n}\n"}

    for pattern in ("/etc/custom/*.server", "../custom/*.server", "../custom/x.server"):
        whole = expansion(f"import {pattern}\n", files, "/etc/coredns/Corefile")
        assert cluster_zone(whole.text) == "a.b"


def test_a_snippet_that_imports_itself_ends() -> None:
    text = "(a) {\n" + " import a\n" * 1000 + "}\n.:53 {\n import a\n}\n"

    assert len(expansion(text, {}, "/Corefile").text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    ("rule", "zones"),
    [
        ("rewrite name suffix .prod.name. .cluster.local. answer auto", ("prod.name",)),
        ("rewrite continue name substring prod.name cluster.local", ("prod.name",)),
        (r"rewrite name regex (.*)\.prod\.name\.?$ {1}.cluster.local", ("prod.name",)),
        (
            "rewrite stop {\n"
            r"name regex (.*)\.svc\.prod\.name {1}.svc.cluster.local"
            "\n"
            r"answer name (.*)\.svc\.cluster\.local {1}.svc.prod.name"
            "\n}",
            ("prod.name",),
        ),
        ("rewrite name a.prod.name web.shop.svc.cluster.local", ()),
        ("rewrite name exact prod.name cluster.local", ()),
        ("rewrite name suffix .prod.name .shop.svc.cluster.local", ()),
        ("rewrite name suffix .svc.prod.name .cluster.other", ()),
        (r"rewrite name regex web\.svc\.prod\.name web.svc.cluster.local", ()),
        ("rewrite type ANY HINFO", ()),
        ("rewrite", ()),
    ],
)
def test_domains_that_are_rewritten_to_the_clusters(rule: str, zones: tuple[str, ...]) -> None:
    text = f".:53 {{\n    {rule}\n    kubernetes cluster.local in-addr.arpa\n}}\n"

    assert rewritten_zones(text) == zones

"""The cluster's domain, from what the Corefile, the kubelet, answers and search paths show."""

from __future__ import annotations

import pytest

from wirecheck.node.dns_domain import DnsDomain, searched_domain
from wirecheck.parse.resolv_conf import parse_resolv_conf

LOCAL, OTHER, THIRD = "cluster.local", "prod.name", "third.name"
TEMPLATE = "by a template"


@pytest.mark.parametrize(
    ("domain", "accepted"),
    [
        (DnsDomain(), ()),
        (DnsDomain(kubelet=OTHER), (OTHER,)),
        (DnsDomain(answered=frozenset({THIRD, LOCAL})), (LOCAL, THIRD)),
        (DnsDomain(kubelet=OTHER, answered=frozenset({LOCAL, OTHER})), (OTHER, LOCAL)),
        (DnsDomain(served=(LOCAL,), kubelet=OTHER), (LOCAL,)),
        (DnsDomain(served=(LOCAL, THIRD), kubelet=OTHER), (LOCAL, THIRD)),
        (DnsDomain((LOCAL,), OTHER, answered_otherwise={OTHER: TEMPLATE}), (LOCAL, OTHER)),
        (DnsDomain((LOCAL,), LOCAL, answered_otherwise={"local": TEMPLATE}), (LOCAL,)),
        (DnsDomain((LOCAL,), OTHER, answered_otherwise={THIRD: TEMPLATE}), (LOCAL,)),
        (DnsDomain((LOCAL,), "xprod.name", answered_otherwise={OTHER: TEMPLATE}), (LOCAL,)),
        (
            DnsDomain(("local",), LOCAL, answered_otherwise={LOCAL: TEMPLATE}),
            ("local", LOCAL),
        ),
    ],
)
def test_search_paths_may_have_what_is_served_or_else_what_is_known(
    domain: DnsDomain, accepted: tuple[str, ...]
) -> None:
    assert domain.accepted == accepted


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        (DnsDomain(served=(LOCAL,)), ""),
        (DnsDomain(kubelet=LOCAL, searched=frozenset({OTHER})), ""),
        (DnsDomain(answered=frozenset({LOCAL})), ""),
        (DnsDomain(served=(OTHER, THIRD)), "the Corefile serves prod.name, third.name"),
        (DnsDomain(served=(OTHER,), kubelet=LOCAL), "the Corefile serves prod.name"),
        (DnsDomain(kubelet=OTHER, searched=frozenset({LOCAL})), "clusterDomain is prod.name"),
        (DnsDomain(), "the cluster's domain is unknown"),
        (DnsDomain(answered=frozenset({OTHER})), "the cluster's domain is unknown"),
        (DnsDomain(searched=frozenset({LOCAL, OTHER})), ""),
        (DnsDomain(searched=frozenset({THIRD, OTHER})), "pods search prod.name, third.name"),
    ],
)
def test_a_wrong_answer_counts_in_the_clusters_domain_alone(domain: DnsDomain, reason: str) -> None:
    found = domain.why_unsure(LOCAL)

    assert found.endswith(reason)
    assert bool(found) is bool(reason)


UNREAD = "the Corefile was not read, and may serve the kubelet's clusterDomain too"


@pytest.mark.parametrize(
    ("domain", "verdict"),
    [
        (DnsDomain(kubelet=OTHER), ("", "")),
        (DnsDomain(served=(LOCAL, OTHER), kubelet=OTHER), ("", "")),
        (DnsDomain(kubelet=OTHER, answered=frozenset({LOCAL, OTHER})), ("", "")),
        (DnsDomain(served=(THIRD, LOCAL), kubelet=OTHER), (THIRD, "")),
        (DnsDomain(served=(LOCAL,), kubelet=OTHER, searched=frozenset({OTHER})), (LOCAL, "")),
        (DnsDomain(kubelet=OTHER, answered=frozenset({THIRD, LOCAL})), (LOCAL, "")),
        (
            DnsDomain(kubelet=OTHER, answered=frozenset({LOCAL}), searched=frozenset({OTHER})),
            (LOCAL, UNREAD),
        ),
        (
            DnsDomain((LOCAL,), OTHER, answered_otherwise={OTHER: TEMPLATE}),
            (LOCAL, f"the Corefile answers for the kubelet's clusterDomain {TEMPLATE}"),
        ),
    ],
)
def test_the_kubelets_domain_is_compared_with_what_is_known(
    domain: DnsDomain, verdict: tuple[str, str]
) -> None:
    assert domain.kubelet_verdict() == verdict


@pytest.mark.parametrize(
    ("line", "domain"),
    [
        ("search shop.svc.cluster.local svc.cluster.local cluster.local", LOCAL),
        ("search Shop.svc.Cluster.Local", LOCAL),
        ("search other.svc.cluster.local", ""),
        ("search example.test shop.svc.cluster.local", ""),
        ("nameserver 10.96.0.10", ""),
    ],
)
def test_the_domain_in_a_search_path_follows_the_pods_namespace(line: str, domain: str) -> None:
    assert searched_domain(parse_resolv_conf(line), "shop") == domain

"""What one round shows about the age of a finding, by each kind of evidence."""

from __future__ import annotations

from math import inf

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import Finding, Ref
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.settling import OLD, QUIET, SOON, UP, Evidence
from wirecheck.evaluation.evidence import Age, ProxyAge, RoundEvidence
from wirecheck.model.cluster import Cluster
from wirecheck.snapshot.index import VisitRecord, VisitStatus

NODE1, NODE2, GONE = (Ref("Node", name) for name in ("n1", "n2", "gone"))
OF_WEB, OF_SERVICE = Ref("Pod", "web", "shop"), Ref("Service", "web", "shop")


def depending(subject: Ref, *concerns: Ref) -> Finding:
    return Finding(subject, expected="a", found="b", concerns=concerns)


@pytest.mark.parametrize(
    ("finding", "peers"),
    [
        (depending(NODE1), ["n1"]),
        (depending(OF_WEB), ["n1"]),
        (depending(OF_WEB, NODE2), ["n1", "n2"]),
        (depending(OF_SERVICE, NODE2), ["n2"]),
        (depending(OF_SERVICE), []),
        (depending(Ref("Pod", "gone", "shop"), NODE2), ["n2"]),
        (depending(Ref("link", "eth0"), NODE2, NODE2), ["n2"]),
    ],
)
def test_a_finding_depends_on_the_nodes_that_it_names_and_those_of_its_pods(finding, peers):
    assert list(RoundEvidence(SmallCluster().cluster).peers(finding)) == peers


def check_with(*evidence: Evidence) -> Check:
    return Check("a.b", "s", "w", "r", "node", True, (), iter, evidence=evidence)


@pytest.mark.parametrize(
    ("evidence", "nodes"),
    [
        ((), set()),
        ((Evidence.OBJECTS, Evidence.NODE), set()),
        ((Evidence.PEERS,), {"n2"}),
        ((Evidence.DNS,), {"n1"}),
        ((Evidence.DNS, Evidence.PEERS), {"n1", "n2"}),
    ],
)
def test_a_further_round_visits_the_peers_and_the_nodes_of_dns(evidence, nodes):
    known = RoundEvidence(SmallCluster().cluster)

    assert known.revisited(check_with(*evidence), depending(OF_SERVICE, NODE2, GONE)) == nodes


def steady(small: SmallCluster) -> SmallCluster:
    """A cluster where nothing has changed for long, as far as the API shows."""
    old = dict.fromkeys(("creationTimestamp", "written"), "1970-01-01T00:00:00Z")
    for kind in ("nodes", "pods", "services", "endpointSlices"):
        for each in small.api[kind]:
            each["metadata"] |= old
    return small


def age_of(
    finding: Finding, *evidence: Evidence, small: SmallCluster | None = None, **up: float
) -> float:
    """Seconds until the finding is old enough, 1000 s after everything was written."""
    cluster = steady(small or SmallCluster()).cluster
    seen = {name: VisitRecord(VisitStatus.SEEN, up=seconds) for name, seconds in up.items()}
    record = replace(cluster.round, api_time=1000.0, visits=seen)
    known = RoundEvidence(Cluster(cluster.api, cluster.index, record))
    return known.of(check_with(*evidence), finding, SmallCluster().node).left


@pytest.mark.parametrize(
    ("evidence", "up", "left"),
    [
        ((), {"n1": 999.0}, inf),
        ((Evidence.OBJECTS,), {}, 0.0),
        ((Evidence.NODE,), {"n1": 999.0}, 0.0),
        ((Evidence.NODE,), {"n1": UP - 7}, 7.0),
        ((Evidence.NODE,), {"n1": 0.0}, inf),
        ((Evidence.NODE,), {"n2": 999.0}, inf),
        ((Evidence.PEERS,), {"n2": UP}, 0.0),
        ((Evidence.PEERS,), {"n1": 999.0, "n2": UP - 7}, 7.0),
        ((Evidence.PEERS,), {"n1": 999.0}, inf),
        ((Evidence.DNS,), {"n1": 999.0}, 0.0),
        ((Evidence.DNS,), {"n1": UP - 7}, 7.0),
        ((Evidence.NODE, Evidence.PEERS), {"n1": UP - 9, "n2": UP - 7}, 9.0),
    ],
)
def test_the_age_of_a_finding_is_that_of_the_youngest_thing_it_depends_on(evidence, up, left):
    assert age_of(depending(NODE2), *evidence, **up) == left


def test_without_replicas_the_age_of_dns_is_not_known():
    small = SmallCluster()
    small.api["pods"] = small.api["pods"][1:]

    assert age_of(depending(NODE2), Evidence.DNS, small=small, n1=999.0) == inf


@pytest.mark.parametrize(
    ("evidence", "left"),
    [((Evidence.OBJECTS,), inf), ((Evidence.OBJECTS, Evidence.PERSISTENT), 0.0)],
)
def test_an_object_that_is_gone_is_enough_for_what_is_left_of_it(evidence, left):
    assert age_of(depending(Ref("Pod", "gone", "shop")), *evidence) == left


@pytest.mark.parametrize(
    ("subject", "known", "left"),
    [
        # A kube-proxy that does not answer applies no change.
        (OF_WEB, None, 0.0),
        (NODE2, None, inf),
        (OF_WEB, ProxyAge(since_queued=1.0, waiting=None), 0.0),
        (NODE2, ProxyAge(since_queued=QUIET - 4, waiting=None), 4.0),
        (OF_WEB, ProxyAge(since_queued=1.0, waiting=2.0), SOON),
    ],
)
def test_the_rules_of_kube_proxy_have_its_age(subject, known, left):
    small = SmallCluster()
    evidence = RoundEvidence(small.cluster)
    evidence.proxies["n1"] = known

    age = evidence.of(check_with(Evidence.PROXY), depending(subject), small.node)
    assert age.left == left


def test_a_check_of_the_cluster_needs_every_node_that_was_visited():
    small = SmallCluster(others={"n2": VisitRecord(VisitStatus.SEEN, up=UP - 7)})
    small.visit = VisitRecord(VisitStatus.SEEN, up=UP - 3)
    cluster = steady(small).cluster
    record = replace(cluster.round, api_time=1000.0)
    cluster = Cluster(cluster.api, cluster.index, record)

    age = RoundEvidence(cluster).of(check_with(Evidence.NODE), depending(NODE1), cluster)
    assert age.left == 7.0
    assert age.start.startswith("node n1 had started 117 s")


def test_two_ages_together_are_that_of_the_younger_one():
    young = Age(5.0)
    starting = Age(3.0, is_changing=True, start="n1 starts")

    assert young & starting == Age(5.0, is_changing=True, start="n1 starts")
    assert starting & young == Age(5.0, is_changing=True, start="n1 starts")
    assert Age() & young == young
    assert young & Age() == young


@pytest.mark.parametrize(
    ("subject", "left"),
    [
        (Ref("Service", "kube-dns", "kube-system"), OLD - 5),
        (Ref("Service", "kubernetes", "default"), 0.0),
        (OF_WEB, 0.0),
    ],
)
def test_a_service_changes_with_its_slices(subject, left):
    small = steady(SmallCluster())
    small.api["endpointSlices"][0]["metadata"]["written"] = "1970-01-01T00:16:35Z"
    cluster = small.cluster
    cluster = Cluster(cluster.api, cluster.index, replace(cluster.round, api_time=1000.0))

    known = RoundEvidence(cluster)
    age = known.of(check_with(Evidence.OBJECTS), depending(subject), small.node)
    assert age.left == left

"""From what a check says in each look to one result."""

import dataclasses
from dataclasses import dataclass

import pytest
from msgspec import convert
from msgspec.structs import replace

from tests.checks.small_cluster import KUBERNETES, WEB_NETNS, SmallCluster
from wirecheck.catalogue.findings import Finding, Outcome
from wirecheck.catalogue.registry import Check, load
from wirecheck.cli.demo import recorded
from wirecheck.evaluation import evaluate as evaluate_module
from wirecheck.evaluation.evaluate import Evaluation, evaluate
from wirecheck.evaluation.items import MOST_FINDINGS
from wirecheck.evaluation.verdict import coverage, exit_status, verdict
from wirecheck.results.records import Coverage, ItemResult
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus, Waiver
from wirecheck.snapshot.netns import Address
from wirecheck.snapshot.node_document import ConntrackSample


@dataclass
class Looks:
    """A snapshot in memory: one small cluster for each look."""

    clusters: list[SmallCluster]
    waivers: list[Waiver]

    @property
    def index(self) -> SnapshotIndex:
        looks = [
            RoundRecord(
                1000.0 + number,
                1002.0 + number,
                visits={"n1": each.visit} if each.visit else {},
                changes=each.changes,
            )
            for number, each in enumerate(self.clusters)
        ]
        queries = {"kubernetes": KUBERNETES}
        return SnapshotIndex(1, "0", 1000.0, queries=queries, looks=looks, waivers=self.waivers)

    def api(self, look: int = 1) -> ApiObjects:
        api = self.clusters[look - 1].api
        # Without the neighbour, which nobody visits.
        nodes = [each for each in api["nodes"] if each["metadata"]["name"] != "n2"]
        return convert({**api, "nodes": nodes}, ApiObjects)

    def document(self, node: str, look: int = 1):
        assert node == "n1"
        return self.clusters[look - 1].document


def broken() -> SmallCluster:
    """The web pod has lost its address."""
    small = SmallCluster()
    small.change_netns(WEB_NETNS, addresses=[])
    return small


def item(check: str, *clusters: SmallCluster, waivers=()) -> ItemResult:
    checks = [each for each in load() if each.id == check]
    (result,) = evaluate(Looks(list(clusters), list(waivers)), checks)
    return result


WEB_CHANGED = Change("Pod", "web", "shop", what="status.podIPs")


def test_a_finding_counts_if_every_look_has_it():
    result = item("pods.ip_on_interface", broken(), broken(), broken())

    assert result.outcome is Outcome.FAIL
    (finding,) = result.findings
    assert (finding.object.name, finding.looks) == ("web", 3)


def test_a_finding_that_one_look_does_not_have_is_flaky():
    result = item("pods.ip_on_interface", broken(), broken(), SmallCluster())

    assert result.outcome is Outcome.FLAKY
    (finding,) = result.findings
    assert (finding.object.name, finding.flaky.rounds, finding.flaky.of) == (
        "web",
        [1, 2],
        [1, 2, 3],
    )
    assert (finding.flaky.first, finding.flaky.last) == (
        "1970-01-01T00:16:40Z",
        "1970-01-01T00:16:43Z",
    )


def test_an_object_that_changed_in_one_look_and_is_well_in_the_next_is_well():
    moving = broken()
    moving.changes.append(WEB_CHANGED)

    result = item("pods.ip_on_interface", moving, SmallCluster())

    assert (result.outcome, result.undecided) == (Outcome.PASS, [])


def test_an_object_that_changed_in_the_only_round_is_inconclusive():
    moving = broken()
    moving.changes.append(WEB_CHANGED)

    result = item("pods.ip_on_interface", moving)

    assert (result.outcome, result.undecided) == (Outcome.PASS, ["Pod shop/web"])


def test_what_every_round_finds_is_an_error_even_if_the_object_changed_in_each():
    moving = broken()
    moving.changes.append(WEB_CHANGED)

    for rounds in ([moving, moving], [broken(), moving], [moving, broken()]):
        result = item("pods.ip_on_interface", *rounds)
        assert (result.outcome, result.undecided) == (Outcome.ERROR, [])
        assert result.findings[0].found.endswith("while the object kept changing")


@pytest.mark.parametrize("what", ["labels", "other labels", "annotations", "labels, annotations"])
def test_a_changed_label_does_not_concern_what_the_node_does_with_a_pod(what):
    moving = broken()
    moving.changes.append(Change("Pod", "web", "shop", what=what))

    assert item("pods.ip_on_interface", moving, moving).outcome is Outcome.FAIL


@pytest.mark.parametrize("what", ["labels, podIPs", "podIPs", "", "something new"])
def test_any_other_change_does(what):
    moving = broken()
    moving.changes.append(Change("Pod", "web", "shop", what=what))

    assert item("pods.ip_on_interface", moving, moving).outcome is Outcome.ERROR


def test_a_check_that_does_not_settle_uses_the_first_round():
    dropping = SmallCluster()
    later = ConntrackSample(1002.0, {"drop": 9, "insert_failed": 2})
    dropping.change_document(conntrack=[dropping.document.conntrack[0], later])

    assert item("conntrack.no_drops", dropping, SmallCluster()).outcome is Outcome.FAIL


def test_findings_of_a_check_that_does_not_settle_count_even_if_the_object_changed():
    crowded_table = SmallCluster()
    crowded_table.change_netns(WEB_NETNS, conntrack_count=130_000)
    crowded_table.changes.append(WEB_CHANGED)

    result = item("conntrack.table_usage", crowded_table)
    assert (result.outcome, result.undecided) == (Outcome.FAIL, [])


def test_a_later_look_that_did_not_visit_the_node_says_nothing_about_it():
    elsewhere = SmallCluster(visit=None)

    result = item("pods.ip_on_interface", broken(), elsewhere)
    assert result.outcome is Outcome.FAIL


def test_a_node_that_was_not_visited_again_keeps_its_fingerprint():
    snapshot = Snapshot.open(recorded("broken"))
    first, second, *_ = snapshot.index.looks
    second = replace(second, visits={"wc-w1": second.visits["wc-w1"]})
    compared = []

    def compares(cluster):
        compared.append(sorted(cluster.fingerprints))
        yield Finding(cluster, expected="equal nodes", found="unequal nodes")

    check = Check("a.b", "", "", "", "cluster", True, (), compares, compares_nodes=True)
    in_two_rounds = dataclasses.replace(
        snapshot, index=replace(snapshot.index, looks=[first, second])
    )
    list(Evaluation(in_two_rounds, [check]).cluster())

    assert compared == [["wc-cp", "wc-w1", "wc-w2"]] * 2


def test_a_node_that_cannot_be_checked_again_is_an_error():
    lost = SmallCluster(
        visit=VisitRecord(VisitStatus.UNREACHABLE, reason="n1 refused."), document=None
    )

    result = item("pods.ip_on_interface", broken(), lost)
    assert (result.outcome, result.reason) == (Outcome.ERROR, "n1 refused.")


def test_what_was_found_before_an_error_is_shown_with_it():
    both = broken()
    dns_netns = both.document.namespaces[1].inode
    both.change_netns(dns_netns, error="setns failed")

    result = item("pods.ip_on_interface", both)
    assert (result.outcome, len(result.findings)) == (Outcome.FAIL, 1)
    assert "setns failed" in result.reason


def test_data_that_a_check_trips_over_costs_that_item_alone():
    odd = SmallCluster()
    odd.change_netns(WEB_NETNS, addresses=[Address(2, "not an address", 24)])
    items = list(evaluate(Looks([odd], []), pods_and_links()))

    outcomes = {each.check: each.outcome for each in items}
    assert outcomes["pods.ip_on_interface"] is Outcome.ERROR
    assert outcomes["pods.have_ip"] is Outcome.PASS
    assert "not an address" in next(each.reason for each in items if each.reason)


def crowded(pods: int) -> SmallCluster:
    """As many pods as asked for, none of which the node shows."""
    small = SmallCluster()
    (web,) = [each for each in small.api["pods"] if each["metadata"]["name"] == "web"]
    for number in range(pods):
        other = {**web, "metadata": {**web["metadata"], "name": f"lost-{number}"}}
        other["metadata"]["uid"] = f"lost-{number}"
        small.api["pods"].append(other)
    return small


def test_what_is_found_too_often_is_counted_and_not_listed():
    result = item("pods.have_netns", crowded(250))

    *listed, last = result.findings
    assert (len(listed), result.outcome) == (MOST_FINDINGS - 1, Outcome.FAIL)
    assert str(last.object) == "Node n1 further objects"
    assert last.found.startswith("151 more findings")


def test_all_findings_are_listed_as_long_as_there_is_room_for_them():
    full = item("pods.have_netns", crowded(MOST_FINDINGS))
    assert [each.object.name for each in full.findings] == [
        f"lost-{number}" for number in range(MOST_FINDINGS)
    ]

    *listed, last = item("pods.have_netns", crowded(MOST_FINDINGS + 1)).findings
    assert len(listed) == MOST_FINDINGS - 1
    assert last.found.startswith("2 more findings")


def test_what_is_not_waived_is_listed_first():
    waivers = [Waiver("pods.have_netns", "shop/lost-1*", "known", "ops", "2099-01-01")]
    few, many = (item("pods.have_netns", crowded(count), waivers=waivers) for count in (90, 250))

    assert few.outcome is many.outcome is Outcome.FAIL
    assert "waived" in {each.standing for each in few.findings}
    assert {each.standing for each in many.findings[:-1]} == {""}


def test_other_findings_than_those_that_were_not_listed_are_new():
    one, other = (item("pods.have_netns", crowded(count)).findings[-1] for count in (250, 251))

    assert one.key != other.key
    assert one.key == item("pods.have_netns", crowded(250)).findings[-1].key


def test_an_unreachable_node_is_one_error_and_the_rest_is_folded():
    lost = SmallCluster(
        visit=VisitRecord(VisitStatus.UNREACHABLE, reason="n1 refused."), document=None
    )
    items = list(evaluate(Looks([lost], []), load()))

    unfolded = [each.check for each in items if each.outcome is Outcome.ERROR and not each.folded]
    assert unfolded == ["nodes.reachable"]
    api_alone = {each.check: each.outcome for each in items}
    assert api_alone["nodes.ready"] is Outcome.PASS
    assert api_alone["pods.ip_in_node_range"] is Outcome.PASS


def pods_and_links():
    return [each for each in load() if each.group in ("pods", "links")]


@pytest.mark.parametrize(
    ("where", "until", "outcome"),
    [
        ("shop/web", "2030-01-01", Outcome.WAIVED),
        ("n1", "2030-01-01", Outcome.WAIVED),
        ("shop/other", "2030-01-01", Outcome.FAIL),
        ("n1", "1970-01-01", Outcome.WAIVED),
        ("n1", "1969-12-31", Outcome.FAIL),
    ],
)
def test_a_waiver_holds_where_it_says_and_until_its_date(where, until, outcome):
    waiver = Waiver("pods.*", where, "known", "ops", until)

    result = item("pods.ip_on_interface", broken(), waivers=[waiver])
    assert result.outcome is outcome
    assert result.reason == (f"known (ops, until {until})" if outcome is Outcome.WAIVED else "")


def test_keys_survive_a_renamed_pod():
    first, second = broken(), broken()
    owner = {"kind": "ReplicaSet", "name": "web-5d9", "controller": True}
    for small, name in ((first, "web-5d9-aaa"), (second, "web-5d9-bbb")):
        meta = small.api["pods"][1]["metadata"]
        meta |= {"name": name, "ownerReferences": [owner], "labels": {"pod-template-hash": "5d9"}}

    keys = {item("pods.ip_on_interface", each).findings[0].key for each in (first, second)}
    assert keys == {"pods.ip_on_interface/Pod/shop/Deployment/web"}


@pytest.mark.parametrize(
    ("outcomes", "fail_on", "status"),
    [
        ([], "fail", 5),
        ([Outcome.SKIP], "fail", 5),
        ([Outcome.PASS, Outcome.SKIP], "fail", 0),
        ([Outcome.PASS, Outcome.WARN], "fail", 0),
        ([Outcome.PASS, Outcome.WARN], "warn", 1),
        ([Outcome.WAIVED, Outcome.PASS], "fail", 0),
        ([Outcome.PASS, Outcome.ERROR], "fail", 2),
        ([Outcome.FAIL, Outcome.ERROR], "fail", 1),
        ([Outcome.FAIL], "never", 0),
    ],
)
def test_the_exit_status_distinguishes_broken_from_unchecked(outcomes, fail_on, status):
    items = [ItemResult(check="a.b", outcome=each) for each in outcomes]

    assert exit_status(items, fail_on) == status


def test_an_interrupted_run_is_not_a_healthy_one():
    assert exit_status([ItemResult(check="a.b", outcome=Outcome.PASS)], interrupted=True) == 2


def test_the_verdict_is_one_sentence():
    items = list(evaluate(Looks([broken()], []), pods_and_links()))

    assert verdict(items) == "1 check failed on 1 node, 1 root cause."
    assert verdict(list(evaluate(Looks([SmallCluster()], []), pods_and_links()))) == "Healthy."
    assert verdict([]) == "Nothing was checked."


def covered_by(snapshot: Looks, items: list[ItemResult]) -> Coverage:
    return coverage(Evaluation(snapshot, []).first_round, snapshot.index, items)


def test_coverage_counts_what_was_seen_and_what_was_not():
    lost = SmallCluster(
        visit=VisitRecord(VisitStatus.UNREACHABLE, reason="n1 refused."), document=None
    )
    snapshot = Looks([lost], [])

    covered = covered_by(snapshot, list(evaluate(snapshot, load())))
    assert (covered.nodes_seen, covered.nodes_known, covered.pods_seen) == (0, 1, 0)
    assert covered.unreachable == ["n1"]


def test_coverage_is_of_the_first_round_but_counts_what_was_sent_in_all():
    first = SmallCluster(visit=VisitRecord(VisitStatus.SEEN, dns_queries=3))
    again = SmallCluster(visit=VisitRecord(VisitStatus.UNREACHABLE, dns_queries=4))

    covered = covered_by(Looks([first, again], []), [])

    assert (covered.nodes_seen, covered.unreachable, covered.dns_queries) == (1, [], 7)


@pytest.mark.parametrize(("connections", "peers"), [(0, 0), (90, 16)])
def test_coverage_shows_a_sample_of_peers_if_connections_were_made(connections, peers):
    many = SmallCluster(visit=VisitRecord(VisitStatus.SEEN, connections=connections))
    template = many.api["nodes"][1]
    many.api["nodes"] += [
        {**template, "metadata": {**template["metadata"], "name": f"m{number}"}}
        for number in range(18)
    ]

    covered = covered_by(Looks([many], []), [])

    assert (covered.connections, covered.sampled_peers) == (connections, peers)


def test_inconclusive_objects_are_summed_over_nodes_and_not_over_checks():
    items = [
        ItemResult(check=check, node=node, outcome=Outcome.PASS, unjudged={"NetworkPolicy a/b": 2})
        for check in ("dns.a", "dns.b")
        for node in ("n1", "n2", "n3")
    ]
    assert covered_by(Looks([SmallCluster()], []), items).unjudged == {"NetworkPolicy a/b": 6}


@pytest.mark.parametrize("function", ["measured_on", "dns_seen", "fingerprint_of"])
def test_an_unforeseen_exception_is_the_error_of_its_node(monkeypatch, function):
    original = getattr(evaluate_module, function)

    def failing(subject):
        if getattr(subject, "document", subject) is not None:
            raise ZeroDivisionError("what a node sent")
        return original(subject)

    monkeypatch.setattr(evaluate_module, function, failing)
    evaluation = Evaluation(Looks([SmallCluster()], []), load())

    items = [*evaluation.node("n1"), *evaluation.cluster(["n1"])]

    assert {each.check for each in items} == {each.id for each in load()}
    if function != "fingerprint_of":
        (reached,) = [each for each in items if each.check == "nodes.reachable"]
        assert "ZeroDivisionError: what a node sent" in reached.findings[0].found


def test_an_unforeseen_exception_of_a_document_is_the_error_of_its_node():
    class Broken(Looks):
        def document(self, *_):
            raise OverflowError("what a node sent")

    items = list(evaluate(Broken([SmallCluster()], []), load()))

    (reached,) = [each for each in items if each.check == "nodes.reachable"]
    assert "OverflowError: what a node sent" in reached.findings[0].found


def test_what_was_measured_in_the_first_round_is_kept_if_a_later_visit_fails():
    gone = VisitRecord(VisitStatus.UNREACHABLE, reason="no route")
    later = SmallCluster(document=None, visit=gone)
    evaluation = Evaluation(Looks([SmallCluster(), later], []), [])

    assert list(evaluation.node("n1")) == []
    assert evaluation.measured.keys() == {"n1"}
    unseen = Evaluation(Looks([later, SmallCluster()], []), [])
    assert list(unseen.node("n1")) == []
    assert not unseen.measured

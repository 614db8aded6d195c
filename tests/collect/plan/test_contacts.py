"""Which connections a visit makes: every node is a source and a target, and none makes many."""

import base64

import dns.message
import msgspec
import pytest

from tests.checks import small_cluster
from tests.checks.helped_cluster import helper_pod as helper
from tests.collect.plan.test_visit_plan import api
from wirecheck.catalogue.sampled_peers import PEERS, sampled_peers
from wirecheck.collect.plan.contact_targets import MOST_SERVING
from wirecheck.collect.plan.contacts import MESSAGES, contact_plan
from wirecheck.collect.plan.planned_contact import PlannedContact
from wirecheck.collect.plan.visit_plan import RoundOptions, plan_for
from wirecheck.collect.pods.helper_manifest import PORT
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord


def described(nodes: int = 2):
    objects = small_cluster.api()
    template = objects["nodes"][0]
    objects["nodes"] = [
        {
            **template,
            "metadata": {**template["metadata"], "name": f"n{i + 1}"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": f"192.0.2.{i + 1}"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        }
        for i in range(nodes)
    ]
    return objects


def planned(objects, node="n1") -> list[PlannedContact]:
    return contact_plan(msgspec.convert(objects, ApiObjects), node, 2.0).contacts


def targets(objects, node, purpose):
    return {each.address for each in planned(objects, node) if each.purpose == purpose}


def test_nodes_connect_to_all_others_where_they_are_few():
    assert targets(described(3), "n2", "node") == {"192.0.2.1", "192.0.2.3"}


@pytest.mark.parametrize("count", [17, 18, 40])
def test_every_node_is_a_source_and_a_target(count):
    objects = described(count)
    seen = [targets(objects, f"n{i + 1}", "node") for i in range(count)]

    assert all(len(each) == min(PEERS, count - 1) for each in seen)
    assert set().union(*seen) == {f"192.0.2.{i + 1}" for i in range(count)}
    assert sampled_peers(count) == (PEERS if count > 17 else 0)


def test_the_pod_that_stands_for_the_node_is_no_dns_replica_and_in_no_policys_namespace():
    objects = described()
    uid = objects["pods"][1]["metadata"]["uid"]
    assert {each.source for each in planned(objects) if each.purpose == "messages"} == {uid}

    objects["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
        }
    ]
    dns_pod = objects["pods"][0]["metadata"]["uid"]
    assert {each.source for each in planned(objects) if each.purpose == "api"} == {"", dns_pod}


def test_more_than_64_kib_are_sent_to_each_replica():
    plan = contact_plan(msgspec.convert(described(), ApiObjects), "n1", 2.0)
    message = base64.b64decode(plan.message)
    (each,) = [each for each in plan.contacts if each.purpose == "messages"]

    assert len(message) * MESSAGES > 64 * 1024
    assert each.messages == MESSAGES
    assert dns.message.from_wire(message).question[0].name.labels[0] == b"kubernetes"


def test_a_service_that_leads_elsewhere_too_is_no_same_node_service():
    objects = described()
    assert targets(objects, "n1", "same node") == {"10.96.0.10"}

    objects["endpointSlices"][0]["endpoints"].append(
        {"addresses": ["10.244.1.2"], "nodeName": "n2", "conditions": {"ready": True}}
    )
    assert targets(objects, "n1", "same node") == set()

    objects["services"][1]["spec"]["internalTrafficPolicy"] = "Local"
    assert targets(objects, "n1", "same node") == {"10.96.0.10"}


def test_a_replica_meets_itself_as_surely_as_the_number_of_replicas_asks_for():
    (hairpin,) = [each for each in planned(described()) if each.purpose == "hairpin"]
    assert (hairpin.address, hairpin.times) == ("10.96.0.10", 1)


def test_nothing_is_planned_where_it_was_not_asked_for():
    assert plan_for(api(), "n1", RoundOptions(contacts=False)).contacts is None


RUN_OF_HELPERS = HelperPodsRecord("run-1", namespace="helpers")


def helped(count: int, without: frozenset[str] = frozenset()):
    """A helper pod of the run on each node, and one that another run has left."""
    objects = described(count)
    for number in range(1, count + 1):
        if f"n{number}" not in without:
            objects["pods"].append(helper(f"n{number}", f"10.244.{number}.77", "run-1"))
    objects["pods"].append(helper("n1", "10.244.1.78", "run-2"))
    return objects


def to_helpers(objects, node: str, purpose: str) -> set[tuple[str, str]]:
    """(source, address) of what is asked of helper pods."""
    plan = plan_for(
        msgspec.convert(objects, ApiObjects), node, RoundOptions(helpers=RUN_OF_HELPERS)
    )
    contacts = [each for each in plan.contacts.contacts if each.purpose == purpose]
    assert all((each.port, each.messages) == (PORT, MESSAGES) for each in contacts)
    assert len(contacts) == len({(each.source, each.address) for each in contacts})
    return {(each.source, each.address) for each in contacts}


def uid(node: str) -> str:
    return helper(node, "", "run-1")["metadata"]["uid"]


def test_each_node_and_its_helper_send_to_the_helpers_of_all_others():
    for node, others in (("n1", "23"), ("n2", "13"), ("n3", "12")):
        assert to_helpers(helped(3), node, "helper") == {
            (source, f"10.244.{other}.77") for source in ("", uid(node)) for other in others
        }


def test_within_a_node_the_node_and_another_pod_send_to_its_helper():
    objects = helped(2)
    web = objects["pods"][1]["metadata"]["uid"]

    assert to_helpers(objects, "n1", "own helper") == {("", "10.244.1.77"), (web, "10.244.1.77")}
    assert to_helpers(objects, "n2", "own helper") == {("", "10.244.2.77")}


@pytest.mark.parametrize("count", [17, 18, 40])
def test_every_helper_is_a_source_and_a_target_however_many_there_are(count):
    objects = helped(count)
    seen = [to_helpers(objects, f"n{i + 1}", "helper") for i in range(count)]

    assert all(len(each) == 2 * min(PEERS, count - 1) for each in seen)
    assert {address for each in seen for _, address in each} == {
        f"10.244.{i + 1}.77" for i in range(count)
    }


def test_nodes_without_a_helper_take_no_places_of_the_sample():
    objects = helped(30, without=frozenset({"n3", "n4"}))

    assert len(to_helpers(objects, "n1", "helper")) == 2 * PEERS
    # From a node whose helper did not start at least the node itself sends.
    assert {source for source, _ in to_helpers(objects, "n3", "helper")} == {""}
    assert to_helpers(objects, "n3", "own helper") == set()


def test_nothing_else_is_asked_of_helpers_nor_from_them():
    plain, objects = described(3), helped(3)
    # Without other pods on the node a helper would be the only one to stand for it.
    objects["pods"].pop()  # that of another run is a pod like any other
    for each in (plain, objects):
        each["pods"] = [pod for pod in each["pods"] if pod["metadata"]["name"] != "web"]
    helpers = {"helper", "own helper"}
    for node in ("n1", "n2"):
        options = RoundOptions(helpers=RUN_OF_HELPERS)
        before = plan_for(msgspec.convert(plain, ApiObjects), node, RoundOptions())
        after = plan_for(msgspec.convert(objects, ApiObjects), node, options)
        rest = [each for each in after.contacts.contacts if each.purpose not in helpers]
        assert rest == before.contacts.contacts
        assert msgspec.structs.replace(after.dns, left_out=[]) == before.dns
        assert after.dns.left_out == [
            pod["metadata"]["uid"]
            for pod in objects["pods"]
            if pod["metadata"]["namespace"] == "helpers" and pod["spec"]["nodeName"] == node
        ]


def serving(objects, node="n1"):
    return contact_plan(msgspec.convert(objects, ApiObjects), node, 2.0).serving


def test_a_node_knows_where_its_pods_should_listen():
    objects = described()
    assert serving(objects) == [("10.244.0.2", 53)]
    assert serving(objects, "n2") == []

    objects["services"][1]["spec"] |= {"clusterIP": "None", "clusterIPs": ["None"]}
    assert serving(objects) == []


def test_pods_on_the_host_network_are_left_out():
    objects = described()
    objects["pods"][0]["spec"]["hostNetwork"] = True

    assert serving(objects) == []


def test_the_number_of_places_to_listen_is_bounded():
    objects = described()
    objects["endpointSlices"][0]["ports"] = [
        {"name": f"p{n}", "port": 1000 + n, "protocol": "TCP"} for n in range(MOST_SERVING + 50)
    ]

    assert len(serving(objects)) == MOST_SERVING


@pytest.mark.parametrize(("namespace", "run"), [("shop", "run-1"), ("helpers", "run-2")])
def test_a_pod_with_the_labels_of_a_helper_is_a_pod_like_any_other(namespace: str, run: str):
    """Whoever may create a pod chooses its labels, and must not hide it with them."""
    objects = helped(2)
    false = helper("n1", "10.244.1.99", run)
    false["metadata"] |= {"namespace": namespace, "uid": "false"}
    objects["pods"].append(false)

    plan = plan_for(
        msgspec.convert(objects, ApiObjects), "n1", RoundOptions(helpers=RUN_OF_HELPERS)
    )
    assert "false" not in plan.dns.left_out
    assert "10.244.1.99" not in {each.address for each in plan.contacts.contacts}

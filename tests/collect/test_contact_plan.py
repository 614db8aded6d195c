"""Which connections a visit makes: every node is a source and a target, and none makes many."""

import base64

import dns.message
import msgspec
import pytest

from tests.checks import small_cluster
from tests.collect.test_plan import api
from wirecheck.collect.asked import Asked
from wirecheck.collect.contact_plan import MESSAGES, contact_plan
from wirecheck.collect.plan import LookOptions, plan_for
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.peers import PEERS, sampled_peers


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


def planned(objects, node="n1") -> list[Asked]:
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
    assert plan_for(api(), "n1", LookOptions(contacts=False)).contacts is None

"""Whatever the API server sends, every node gets its plan and every check its objects."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.checks import small_cluster
from tests.checks.helped_cluster import RUN, helped_cluster
from tests.fuzz.garbling import garbled
from wirecheck.addresses import api_address, api_network
from wirecheck.api_index.readable import readable
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.collect.api.client import without_free_text
from wirecheck.collect.api.lenient import decoded_items
from wirecheck.collect.api.policies import GROUPS, RawPolicy, projected_policy
from wirecheck.collect.api.resources import RESOURCES
from wirecheck.collect.node_program import command_line
from wirecheck.collect.plan.visit_plan import RoundOptions, planner_of
from wirecheck.model.cluster import Cluster
from wirecheck.snapshot.api_objects import ApiObjects, OddField
from wirecheck.snapshot.index import HelperPodsRecord, RoundRecord, SnapshotIndex

seeds = st.integers(0, 2**32)
HELPERS = HelperPodsRecord(RUN, {"n1": "", "n2": ""}, "helpers")
OF_THE_CLUSTER = [each for each in load() if each.scope == "cluster"]


def described() -> dict[str, list[dict[str, Any]]]:
    """The small cluster with all that a plan is made of, as the API server sends it."""
    api = helped_cluster().api
    api["services"].append(small_cluster.service("web", "shop", "10.96.0.7", [{"port": 80}]))
    web = api["services"][-1]["spec"]
    web |= {
        "type": "LoadBalancer",
        "externalIPs": ["192.0.2.9"],
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 31000,
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "selector": {"app": "web"},
    }
    web["ports"] = [{"port": 80, "nodePort": 30080, "targetPort": "http", "protocol": "TCP"}]
    api["pods"][1]["spec"]["containers"][0]["ports"] = [
        {"containerPort": 8080, "name": "http", "hostPort": 8080, "hostIP": "192.0.2.1"}
    ]
    api["endpointSlices"].append(
        {
            "metadata": {
                "name": "web-1",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": ["10.244.0.3"],
                    "nodeName": "n1",
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": "web", "namespace": "shop"},
                }
            ],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        }
    )
    api["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{}]}]},
        }
    ]
    return api


def read(lists: dict[str, Any]) -> ApiObjects:
    """The objects as a live run decodes them: of JSON, which has no lone surrogates."""
    lists = json.loads(json.dumps(lists).replace("\\ud83d", "?"))
    odd: list[OddField] = []
    fields = {}
    for resource in RESOURCES:
        name = {"endpoint_slices": "endpointSlices", "network_policies": "networkPolicies"}.get(
            resource.attribute, resource.attribute
        )
        items = lists.get(name)
        found = list(
            decoded_items(
                items if isinstance(items, list) else [], resource.type, resource.kind, odd
            )
        )
        for each in found:
            without_free_text(each.metadata)
        fields[resource.attribute] = found
    return ApiObjects(**fields, undecodable=odd)


def test_as_it_is_nothing_is_odd() -> None:
    api = read(described())
    planner = planner_of(api, RoundOptions(helpers=HELPERS))

    assert readable(api).odd == ()
    assert planner.problems == ()
    contacts = planner.plan("n1").contacts
    assert contacts
    assert {"node port", "host port", "helper", "health check"} <= {
        each.purpose for each in contacts.contacts
    }


@given(seed=seeds)
def test_every_node_has_a_plan_that_fits(seed: int) -> None:
    chance = random.Random(seed)
    api = read(garbled(described(), chance, chance.randint(1, 12)))

    planner = planner_of(api, RoundOptions(helpers=HELPERS))

    assert planner.problems == ()
    for node in api.nodes:
        command_line(planner.plan(node.metadata.name).encoded())
    assert len(planner.queries) < 100


@given(seed=seeds)
def test_every_check_of_the_cluster_is_evaluated(seed: int) -> None:
    chance = random.Random(seed)
    api = read(garbled(described(), chance, chance.randint(1, 12)))
    index = SnapshotIndex(1, "0", 1_800_000_000.0, helper_pods=HELPERS)
    cluster = Cluster(api, index, RoundRecord(0.0, 1.0))

    for check in OF_THE_CLUSTER:
        with suppress(NotApplicable, FactMissingError):
            list(check.function(cluster))


@given(seed=seeds)
def test_policies_of_any_form_select_something(seed: int) -> None:
    chance = random.Random(seed)
    policy = {
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {
            "endpointSelector": {"matchLabels": {"k8s:app": "web"}},
            "selector": "app == 'web' && has(x)",
            "subject": {"namespaces": {}},
            "appliedTo": [{"podSelector": {}}],
            "types": ["Egress"],
            "egress": [{"action": "Allow", "toEntities": ["all"], "to": [{"namespaces": {}}]}],
            "egressDeny": [{}],
        },
        "specs": [{"endpointSelector": {}, "ingress": [{}]}],
    }
    odd: list[OddField] = []
    text = json.dumps([garbled(policy, chance, chance.randint(1, 6))]).replace("\\ud83d", "?")
    items = json.loads(text)
    for raw in decoded_items(items, RawPolicy, "P", odd):
        for group in GROUPS:
            if raw.metadata.namespace:
                msgspec.json.encode(projected_policy(raw, group, "Policy").choices)


@given(text=st.text(max_size=80) | st.from_regex(r"[0-9a-fA-F:.%/ ]{1,50}", fullmatch=True))
def test_texts_are_addresses_or_none(text: str) -> None:
    for found in (api_address(text), api_network(text)):
        if found is not None:
            assert api_address(str(found).partition("/")[0]) is not None

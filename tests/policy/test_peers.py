"""Pods that no policy can tell apart are one class, and ipBlocks cut the address space."""

from __future__ import annotations

from tests.policy.small_policies import PODS, api, pod, pods_of, policy
from wirecheck.addresses import address
from wirecheck.policy.blocks import BlockMap, block_of
from wirecheck.policy.peers import Outside, Vocabulary, outsides
from wirecheck.snapshot.objects.network_policy import IpBlock


def classes(objects):
    vocabulary = Vocabulary(tuple(objects.network_policies), tuple(objects.other_policies))
    return vocabulary.classes(pods_of(objects).values())


def many(number: int, **more):
    """Pods of one StatefulSet: each has a label of its own."""
    return [
        pod("shop", f"db-{n}", f"10.244.3.{n}", labels={"app": "db", "index": str(n)}, **more)
        for n in range(number)
    ]


def test_only_labels_that_a_selector_names_tell_pods_apart():
    objects = api(policy("podSelector: {matchLabels: {app: db}}"), pods=many(5))
    by_index = api(
        policy("podSelector: {matchExpressions: [{key: index, operator: Exists}]}"), pods=many(5)
    )

    assert [len(each) for each in classes(objects).values()] == [5]
    assert [len(each) for each in classes(by_index).values()] == [1] * 5


def test_selectors_of_other_kinds_of_policies_count_too():
    choices = [{"pods": {"matchLabels": {"index": "1"}}}]
    other = {"metadata": {"name": "o", "namespace": "shop"}, "kind": "Other", "choices": choices}

    assert len(classes(api(pods=many(3), otherPolicies=[other]))) == 3


def test_only_ports_that_a_rule_names_tell_pods_apart():
    pods = [*many(2, ports={"http": 80}), pod("shop", "db-9", "10.244.3.9", ports={"http": 81})]
    for each in pods:
        each["metadata"]["labels"] = {}

    assert len(classes(api(policy(""), pods=pods))) == 1
    assert len(classes(api(policy("ingress: [{ports: [{port: http}]}]"), pods=pods))) == 2


def test_ip_blocks_tell_pods_apart():
    objects = api(policy("ingress: [{from: [{ipBlock: {cidr: 10.244.3.0/31}}]}]"), pods=many(4))
    for each in objects.pods:
        each.metadata.labels.clear()

    assert sorted(len(each) for each in classes(objects).values()) == [2, 2]


def test_pods_without_connections_are_in_no_class():
    assert sum(len(each) for each in classes(api(policy(""), pods=PODS)).values()) == len(PODS)
    ended = [pod("shop", "x", "10.244.3.1", phase="Failed"), pod("shop", "y", "")]
    assert classes(api(policy(""), pods=ended)) == {}


def test_the_address_space_is_cut_where_blocks_begin_and_end():
    policies = api(
        policy(
            "ingress: [{from: ["
            "{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.64/26]}},"
            "{ipBlock: {cidr: 192.0.2.128/25}}, {ipBlock: {cidr: 'fd00::/8'}}]}]"
        )
    ).network_policies
    one, other, v6 = "192.0.2.0/24 except 192.0.2.64/26", "192.0.2.128/25", "fd00::/8"

    found = {each.covered_by: list(map(str, ranges)) for each, ranges in outsides(policies).items()}

    assert found.keys() == {frozenset(), frozenset({one}), frozenset({one, other}), frozenset({v6})}
    assert found[frozenset({one})] == ["192.0.2.0/26"]
    assert found[frozenset({one, other})] == ["192.0.2.128/25"]
    assert found[frozenset({v6})] == ["fd00::/8"]
    assert "192.0.2.64/26" in found[frozenset()]


def test_the_ends_of_the_address_space_are_cut_too():
    blocks = [block_of(IpBlock(each)) for each in ("0.0.0.0/1", "255.255.255.255/32", "::/0")]
    known = BlockMap(tuple(blocks))

    for text, covered_by in (
        ("0.0.0.0", {"0.0.0.0/1"}),
        ("127.255.255.255", {"0.0.0.0/1"}),
        ("128.0.0.0", set()),
        ("255.255.255.255", {"255.255.255.255/32"}),
        ("ffff::", {"::/0"}),
    ):
        assert known.covering([address(text)]) == covered_by, text
    assert outsides([]) == {Outside(): list(BlockMap(()).areas[frozenset()])}


def test_a_block_that_cannot_be_read_covers_nothing():
    known = BlockMap((block_of(IpBlock("10.0.0.0/8", ["nonsense"])), block_of(IpBlock("x"))))

    assert known.covering([address("10.0.0.1")]) == frozenset()

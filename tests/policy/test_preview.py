"""What policies would change, without applying them."""

from __future__ import annotations

import msgspec
import pytest

from tests.policy.small_policies import PODS, api, pod, pods_of, policy
from wirecheck.policy.peers import A_NODE, Outside, PodClass
from wirecheck.policy.preview import Preview
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject


def preview(objects, *policies) -> Preview:
    applied = tuple(msgspec.convert(each, NetworkPolicyObject) for each in policies)
    return Preview(objects, tuple(pods_of(objects).values()), applied)


def peer_name(peer) -> str:
    if isinstance(peer, PodClass):
        return "node" if peer == A_NODE else f"{peer.namespace}/{dict(peer.labels).get('app', '*')}"
    return ", ".join(sorted(peer.covered_by)) or "others"


def changes(found: Preview) -> dict[tuple[str, str], tuple[str, str, str]]:
    """By source and target: the ports that become possible, are cut, and become inconclusive."""
    return {
        (peer_name(source), peer_name(target)): (
            str(effect.possible),
            str(effect.cut),
            str(effect.unclear),
        )
        for source, target, effect in found.effects
    }


DB = "podSelector: {matchLabels: {app: db}}"
ONLY_WEB = f"{{{DB}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}"


def test_a_new_policy_cuts_what_it_does_not_allow():
    found = preview(api(), policy(ONLY_WEB))

    assert changes(found) == {
        ("ops/web", "shop/db"): ("none", "all ports", "none"),
        ("ops/job", "shop/db"): ("none", "all ports", "none"),
        ("others", "shop/db"): ("none", "all ports", "none"),
        ("node", "shop/db"): ("none", "none", "all ports"),
    }
    assert found.action(found.applied[0]) == "created"


def test_a_replaced_policy_opens_what_it_allows_now():
    old = policy("{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}]}")
    new = policy("{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 81}]}]}")
    found = preview(api(old), new)

    assert set(changes(found).values()) == {
        ("TCP 81", "TCP 80", "none"),
        ("TCP 81", "none", "TCP 80"),
    }
    assert changes(found)["node", "shop/db"] == ("TCP 81", "none", "TCP 80")
    assert found.action(found.applied[0]) == "replaced"


def test_the_same_policy_changes_nothing():
    found = preview(api(policy(ONLY_WEB)), policy(ONLY_WEB))

    assert found.effects == ()
    assert found.action(found.applied[0]) == "unchanged"


def test_pods_that_a_replaced_policy_no_longer_selects_become_open():
    found = preview(api(policy("")), policy("podSelector: {matchLabels: {app: db}}"))

    assert ("ops/web", "shop/db") not in changes(found)
    assert changes(found)["ops/web", "shop/web"] == ("all ports", "none", "none")


def test_other_policies_still_count():
    allow = policy("ingress: [{ports: [{port: 80}]}]", "allow")
    found = preview(api(allow), policy("", "deny"))

    assert found.effects == ()


def test_addresses_of_no_pod_are_told_apart_by_ip_blocks():
    blocks = "[{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}]"
    found = preview(api(), policy(f"{{{DB}, ingress: [{{from: {blocks}}}]}}"))

    assert ("192.0.2.0/24 except 192.0.2.128/25", "shop/db") not in changes(found)
    assert changes(found)["others", "shop/db"] == ("none", "all ports", "none")
    covered = Outside(frozenset({"192.0.2.0/24 except 192.0.2.128/25"}))
    assert list(map(str, found.outsides[covered])) == ["192.0.2.0/25"]


def test_the_rules_of_the_manifest_are_known_whatever_the_snapshot_has():
    old = api(policy("", "old", "ops"), policyRulesRead=False)
    found = changes(preview(old, policy(ONLY_WEB)))

    assert found["ops/web", "shop/db"] == ("none", "all ports", "none")


def test_a_replaced_policy_whose_rules_are_not_known_was_inconclusive():
    old = api(policy("{podSelector: {matchLabels: {app: db}}}"), policyRulesRead=False)
    found = changes(preview(old, policy(ONLY_WEB)))

    assert found["ops/web", "shop/db"] == ("none", "all ports", "none")
    assert found["shop/web", "shop/db"] == ("all ports", "none", "none")


def test_pods_of_one_class_are_peers_of_each_other():
    twin = pod("shop", "db-1", "10.244.1.7", labels={"app": "db"})
    objects = api(pods=[*PODS, twin])

    assert ("shop/db", "shop/db") not in changes(preview(api(), policy(ONLY_WEB)))
    found = changes(preview(objects, policy(ONLY_WEB)))
    assert found["shop/db", "shop/db"] == ("none", "all ports", "none")


def test_a_policy_of_the_manifest_is_read_although_the_replaced_one_could_not_be():
    odd = [{"kind": "NetworkPolicy", "namespace": "shop", "name": "some", "field": "", "found": ""}]
    found = changes(preview(api(policy(ONLY_WEB), undecodable=odd), policy(ONLY_WEB)))

    assert found["ops/web", "shop/db"] == ("none", "all ports", "none")
    assert found["shop/web", "shop/db"] == ("all ports", "none", "none")


@pytest.mark.parametrize("namespace", ["shop", "elsewhere"])
def test_a_policy_that_selects_no_pod_changes_nothing(namespace):
    found = preview(api(), policy("podSelector: {matchLabels: {app: x}}", namespace=namespace))

    assert found.effects == ()
    assert found.selected(found.applied[0]) == []


def test_pods_on_the_host_network_are_selected_and_not_compared():
    found = preview(api(), policy("podSelector: {matchLabels: {app: agent}}", namespace="ops"))

    assert found.effects == ()
    assert [each.on_host_network for each in found.selected(found.applied[0])] == [True]

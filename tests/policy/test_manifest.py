"""Policies of a manifest are read as strictly as the API server reads them."""

from __future__ import annotations

import pytest

from wirecheck.parse.errors import ParseError
from wirecheck.parse.plain_yaml import parse_manifests
from wirecheck.policy.manifest import ManifestError, policies_in
from wirecheck.snapshot.objects.network_policy import PolicyPort

HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"


def manifest(spec: str, metadata: str = "{name: some, namespace: shop}") -> str:
    return f"{HEAD}metadata: {metadata}\nspec: {spec}\n"


def read(text: str, namespace: str = ""):
    return policies_in(parse_manifests(text), namespace)


def test_several_documents_and_lists_are_read():
    listed = {"apiVersion": "v1", "kind": "List", "items": parse_manifests(manifest("{}"))}
    (other,) = parse_manifests(manifest("{}", "{name: other, namespace: shop}"))

    found = policies_in([listed, other, {"kind": "Service"}, {"kind": "Service"}])

    assert [each.metadata.name for each in found.policies] == ["some", "other"]
    assert found.others == {"Service": 2}


def test_fields_have_the_defaults_of_the_api_server():
    (found,) = read(
        manifest("{ingress: [{from: null, ports: [{port: 80}]}], egress: null}")
    ).policies

    assert found.spec.pod_selector.match_labels == {}
    assert found.spec.ingress
    assert found.spec.ingress[0].sources == []
    assert found.spec.ingress[0].ports == [PolicyPort("TCP", 80)]
    assert found.spec.egress is None


def test_a_namespace_comes_from_the_policy_or_from_the_option():
    (found,) = read(manifest("{}", "{name: some}"), "ops").policies

    assert found.metadata.namespace == "ops"
    with pytest.raises(ManifestError, match="has no namespace; add metadata"):
        read(manifest("{}", "{name: some}"))
    with pytest.raises(ManifestError, match="is in namespace shop, not in ops"):
        read(manifest("{}"), "ops")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "There is no NetworkPolicy"),
        ("kind: Service", "There is no NetworkPolicy"),
        ("[1]", "Document 1 is not an object"),
        ("{a: b}", "Document 1 has no kind"),
        ("{kind: List, items: [1]}", "Item 1 of document 1 is not an object"),
        (
            "{kind: CiliumNetworkPolicy, apiVersion: cilium.io/v2}",
            "a CiliumNetworkPolicy of cilium",
        ),
        ("{kind: NetworkPolicy, apiVersion: projectcalico.org/v3}", "of projectcalico.org/v3"),
        (f"{HEAD}metadata: {{namespace: shop}}", "Document 1 has no name"),
        (f"{HEAD}metadata: {{name: some, namespace: shop}}", "has no spec"),
        (f"{manifest('{}')}---\n{manifest('{}')}", "NetworkPolicy shop/some is there twice"),
        (manifest("{podselector: {}}"), "unknown field spec.podselector"),
        (manifest("{ingress: [{form: []}]}"), r"unknown field spec.ingress\[0\].form"),
        (
            manifest("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, exept: []}}]}]}"),
            r"unknown field spec.ingress\[0\].from\[0\].ipBlock.exept",
        ),
        (manifest("{podSelector: {matchLabels: {app: yes}}}"), "cannot be used"),
        (manifest("{ingress: {}}"), "cannot be used"),
        (manifest("{ingress: [{ports: [{port: 1.5}]}]}"), "cannot be used"),
        (manifest("{policyTypes: [ingress]}"), "the policy type ingress does not exist"),
        (manifest("{ingress: [{ports: [{protocol: ICMP}]}]}"), "protocol ICMP is not"),
        (manifest("{ingress: [{ports: [{port: 0}]}]}"), "0 is not a port"),
        (manifest("{ingress: [{ports: [{port: 9, endPort: 8}]}]}"), "endPort 8 does not close"),
        (manifest("{ingress: [{ports: [{endPort: 8}]}]}"), "endPort needs a port"),
        (manifest("{egress: [{ports: [{port: http, endPort: 8}]}]}"), "needs a number"),
        (manifest("{egress: [{to: [{}]}]}"), "a peer needs"),
        (manifest("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0}}]}]}"), "'10.0.0.0' is not a range"),
        (
            manifest("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]}"),
            "'x' is not a range",
        ),
        (
            manifest("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}"),
            "is not a smaller range within",
        ),
        (
            manifest("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: ['fd00::/64']}}]}]}"),
            "is not a smaller range within",
        ),
        (
            manifest("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}"),
            "cannot have a selector",
        ),
        (
            manifest("{podSelector: {matchExpressions: [{key: a, operator: Like}]}}"),
            "operator Like does not exist",
        ),
        (
            manifest("{podSelector: {matchExpressions: [{key: a, operator: In}]}}"),
            "operator In of a needs values",
        ),
        (
            manifest(
                "{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}"
            ),
            "operator Exists of a takes no values",
        ),
    ],
)
def test_what_the_api_server_would_refuse_is_refused(text: str, what: str):
    with pytest.raises(ManifestError, match=what):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\nb: *a",
        "a: 1\na: 2",
        "{",
        "[" * 50,
        "a: !!python/object:os.system {}",
        "? [1, 2]\n: 3",
        "x" * ((1 << 20) + 1),
    ],
    ids=["alias", "twice", "open", "deep", "object", "odd key", "long"],
)
def test_yaml_is_read_within_bounds(text: str):
    with pytest.raises(ParseError):
        parse_manifests(text)


def test_what_is_shown_of_a_manifest_is_harmless_and_short():
    with pytest.raises(ManifestError) as raised:
        read(manifest('{"\\u001b[2J' + "x" * 900 + '": 1}'))

    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 400

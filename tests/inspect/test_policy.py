"""A NetworkPolicy and a preview of one, as the command line shows them."""

from __future__ import annotations

import json

import pytest

from tests.inspect.conftest import CLUSTERS

MANIFEST = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
"""


@pytest.fixture
def preview(bare_home, call, tmp_path, healthy):
    """Run `wirecheck policy preview` of a manifest with the text, on a recorded cluster."""

    def run(text: str = MANIFEST, *options: str):
        file = tmp_path / "policies.yaml"
        file.write_text(text)
        return call("policy", "preview", file, "--snapshot", healthy, *options)

    return run


def test_the_pods_that_a_policy_selects_are_shown_with_what_it_means(as_json, healthy):
    view = as_json("policy", "sealed/no-egress", "--snapshot", healthy)

    assert view["types"] == ["Egress"]
    (selected,) = view["selected"]
    assert (selected["namespace"], selected["workloads"]) == ("sealed", ["Deployment/vault"])
    assert selected["count"] == len(selected["pods"]) == 2
    decided = {
        (target["namespace"] or target["kind"], each["denied"], each["inconclusive"])
        for each in view["connections"]
        for target in each["targets"]
    }
    assert ("shop", "all ports", "none") in decided
    assert ("addresses", "all ports", "none") in decided
    assert ("nodes", "none", "all ports") in decided
    assert {each["allowed"] for each in view["connections"]} == {"none"}


def test_rules_that_were_not_read_are_inconclusive(as_json):
    """The recording is of a version that did not read rules of ingress."""
    folder = CLUSTERS.parent / "calico" / "healthy-iptables"
    view = as_json("policy", "shop/web-from-front", "--snapshot", folder)

    assert {each["inconclusive"] for each in view["connections"]} == {"all ports"}
    assert any("Calico" in each for each in view["undefined"])


def test_a_policy_is_drawn(as_text, healthy):
    said = as_text("policy", "no-egress", "-n", "sealed", "--snapshot", healthy)

    assert said.startswith("NetworkPolicy sealed/no-egress: Egress\n")
    assert "selects          Deployment/vault in sealed (2 pods)" in said
    assert "because        isolated by NetworkPolicy sealed/no-egress (egress)" in said


def test_a_policy_that_does_not_exist_is_a_usage_error(inspect, healthy):
    status, _, err = inspect("policy", "sealed/no-egres", "--snapshot", healthy)

    assert status == 4
    assert "did you mean sealed/no-egress?" in err


def test_a_preview_shows_what_is_cut_and_what_becomes_inconclusive(preview):
    status, out, err = preview()

    assert (status, err) == (0, "")
    assert "created          NetworkPolicy shop/db (Ingress)" in out
    assert "selects        StatefulSet/db in shop (3 pods)" in out
    assert "Are cut:" in out
    assert "Become possible:" not in out
    assert "nodes and pods on the host network to StatefulSet/db in shop (3 pods)" in out


def test_a_preview_is_also_json(preview):
    status, out, _ = preview(MANIFEST, "-o", "json")

    assert status == 0
    view = json.loads(out)
    of_web = [
        each
        for each in view["changes"]
        for source in each["sources"]
        if source["workloads"] == ["Deployment/web"]
    ]
    assert [each["cut"] for each in of_web] == [
        "all SCTP ports; TCP 1-5431, 5433-65535; all UDP ports"
    ]


@pytest.mark.parametrize(
    ("rule", "services"),
    [
        ("ports: [{port: 5432}]", []),
        ("ports: [{port: 5433}]", ["shop/db TCP 5432", "shop/db-any TCP 5432"]),
        ("ports: [{port: 5432, protocol: UDP}]", ["shop/db TCP 5432", "shop/db-any TCP 5432"]),
    ],
)
def test_services_are_cut_at_their_backends(preview, rule, services):
    text = MANIFEST.replace("ports: [{port: 5432}]", rule)
    _, out, _ = preview(text, "-o", "json")
    of_web = [
        each["services"]
        for each in json.loads(out)["changes"]
        for source in each["sources"]
        if source["workloads"] == ["Deployment/web"]
    ]
    assert of_web == [{"possible": [], "cut": services, "inconclusive": []}]


def test_the_services_of_a_change_are_drawn(preview):
    _, out, _ = preview(MANIFEST.replace("5432", "1"))
    assert "  Services       shop/db TCP 5432" in out


EGRESS = MANIFEST.replace("  ingress:", "  policyTypes: [Ingress, Egress]\n  ingress:")
ALLOWED_DNS = "  egress: [{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]\n"


@pytest.mark.parametrize(
    ("text", "workloads"),
    [(MANIFEST, []), (EGRESS, [["StatefulSet/db"]]), (EGRESS + ALLOWED_DNS, [])],
    ids=["ingress", "egress", "DNS allowed"],
)
def test_pods_that_lose_their_dns_are_named(preview, text, workloads):
    _, out, _ = preview(text, "-o", "json")

    assert [each["workloads"] for each in json.loads(out)["dns"]] == workloads


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (MANIFEST.replace("app: db", "app: x"), 5, ""),
        (MANIFEST.replace("podSelector", "podselector", 1), 4, "unknown field spec.podselector"),
        ("{", 4, "not valid YAML"),
        ("a: &a 1\nb: *a", 4, "aliases are not supported"),
        ("kind: Service", 4, "There is no NetworkPolicy in it."),
    ],
)
def test_a_preview_ends_like_other_commands(preview, text, status, said):
    ended = preview(text)

    assert ended[0] == status
    assert said in ended[2]


def test_a_preview_without_a_decision_is_incomplete(call, bare_home, tmp_path):
    file = tmp_path / "policies.yaml"
    file.write_text(MANIFEST)
    folder = CLUSTERS.parent / "networks" / "cilium-healthy"
    status, out, _ = call("policy", "preview", file, "--snapshot", folder)

    assert "No connection can be decided." in out
    assert "policies of Cilium's own kinds" in out
    assert status == 2


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_usage_error(call, bare_home, healthy, name):
    status, _, err = call("policy", "preview", name, "--snapshot", healthy)

    assert status == 4
    assert "cannot be read" in err

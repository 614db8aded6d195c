"""`wirecheck trace --assume`: a path with policies and Services that are not applied yet."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.changed_recordings import changed
from tests.command_line import Ended
from tests.paths.conftest import FAR_GATEWAY, GATEWAY, NEAR_GATEWAY, WEB, complete
from wirecheck.inspect.trace_policies import Verdict
from wirecheck.paths.journey import Result
from wirecheck.policy.reach import Answer, Decision

DENYING = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway, namespace: shop}
spec:
  podSelector: {matchLabels: {app: gateway}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: nobody}}}]
"""
ALLOWING = DENYING.replace("app: nobody", "app: web")
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: new, namespace: shop}
spec:
  selector: {app: gateway}
  loadBalancerClass: example.test/none
  ports: [{name: web, port: 80, targetPort: 8080}]
"""
POLICY = "NetworkPolicy shop/gateway"


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    healthy = Path(__file__).parents[1] / "recorded" / "clusters" / "healthy"
    return changed(healthy, tmp_path_factory.mktemp("assumed") / "complete", complete)


@pytest.fixture
def trace(bare_home, call, tmp_path, recording):
    """Run `wirecheck trace --assume` with a manifest of the text."""

    def run(text: str, *words: str) -> Ended:
        file = tmp_path / "assumed.yaml"
        file.write_text(text)
        return call("trace", *words, "--assume", file, "--snapshot", recording)

    return run


@pytest.fixture
def traced(trace):
    """The JSON of it."""

    def run(text: str, *words: str):
        status, out, err = trace(text, *words, "-o", "json")
        assert err == ""
        return status, json.loads(out)

    return run


class TestPolicies:
    def test_a_policy_that_would_cut_the_path(self, trace):
        status, out, err = trace(DENYING, WEB, FAR_GATEWAY)
        assert (status, err) == (1, "")
        assert f"assumed: {POLICY}" in out
        assert "policies allowed: no policy isolates the pod" in " ".join(out.split())
        assert f"no rule allows it; isolated by {POLICY} (ingress)" in out

    def test_a_policy_that_allows_the_connection(self, traced):
        status, view = traced(ALLOWING, WEB, FAR_GATEWAY)
        (path,) = view["paths"]
        assert (status, view["result"]) == (0, "reaches")
        assert path["assumed"]["decision"] == "allowed"
        assert path["assumed"]["reason"] == f"{POLICY}, ingress rule 1"

    def test_backends_of_a_service_are_evaluated_after_translation(self, traced):
        status, view = traced(DENYING.replace("app: nobody", "app: front"), WEB, GATEWAY)
        assert (status, {each["result"] for each in view["paths"]}) == (1, {"dies"})

    def test_what_the_api_leaves_undefined_cannot_be_decided(self, traced):
        block = "ipBlock: {cidr: 10.0.0.0/8}"
        text = DENYING.replace("podSelector: {matchLabels: {app: nobody}}", block)
        status, view = traced(text, WEB, FAR_GATEWAY)
        assert (status, view["result"]) == (2, "cannot be decided")
        assert "does not define whether ipBlock 10.0.0.0/8 applies to pods" in view["reason"]

    def test_a_policy_that_would_allow_what_the_cluster_denies(self, traced):
        """The pods in namespace sealed may not connect to anything, and nothing enforces it."""
        source = "pod/sealed/vault-5dbd85c544-65p2z"
        text = DENYING.partition("  ingress:")[0].replace("shop", "sealed")
        text = text.replace("gateway", "no-egress").replace("matchLabels: {app: no-egress}", "")
        text += "  policyTypes: [Egress]\n  egress: [{}]\n"
        _, view = traced(text, source, FAR_GATEWAY)
        (path,) = view["paths"]
        assert path["policy"]["decision"] == "denied"
        assert path["policy"]["reason"].endswith("NetworkPolicy sealed/no-egress (egress)")
        assert path["assumed"]["decision"] == "allowed"


ALLOWED, DENIED, UNCLEAR = (Answer(decision, f"{decision} by a rule") for decision in Decision)


@pytest.mark.parametrize(
    ("today", "now", "assumed", "result", "reason"),
    [
        (Result.DIES, DENIED, ALLOWED, Result.UNDECIDED, "today it is refused: by this rule"),
        (Result.DIES, ALLOWED, ALLOWED, Result.DIES, "by this rule"),
        (Result.DIES, ALLOWED, DENIED, Result.DIES, "by this rule"),
        (Result.REACHES, ALLOWED, DENIED, Result.DIES, "with the assumed policies: denied by"),
        (Result.REACHES, None, DENIED, Result.DIES, "with the assumed policies: denied by"),
        (Result.REACHES, DENIED, DENIED, Result.REACHES, ""),
        (Result.REACHES, ALLOWED, UNCLEAR, Result.UNDECIDED, "inconclusive by a rule"),
        (Result.UNDECIDED, ALLOWED, DENIED, Result.DIES, "with the assumed policies"),
        (Result.UNDECIDED, DENIED, ALLOWED, Result.UNDECIDED, "by this rule"),
        (Result.REACHES, None, None, Result.REACHES, ""),
    ],
)
def test_the_result_with_assumed_policies(today, now, assumed, result, reason):
    path = SimpleNamespace(result=today, reason="" if today is Result.REACHES else "by this rule")
    verdict = Verdict(path, now, assumed)
    assert verdict.result is result
    assert reason in verdict.reason
    assert bool(verdict.reason) is bool(reason)


class TestServices:
    def test_each_ready_pod_is_a_branch(self, traced):
        status, view = traced(SERVICE, WEB, "service/shop/new")
        assert (status, view["result"], len(view["paths"])) == (0, "reaches", 2)
        assert {each["share"] for each in view["paths"]} == {0.5}
        firsts = {each["there"]["hops"][0]["text"] for each in view["paths"]}
        pods = {each.removeprefix("pod/") for each in (FAR_GATEWAY, NEAR_GATEWAY)}
        assert firsts == {
            f"assumed: service shop/new would forward to pod {each}, port 8080" for each in pods
        }
        assert view["assumed"] == ["Service shop/new"]

    def test_a_policy_and_a_service_together(self, traced):
        status, view = traced(f"{SERVICE}\n---{DENYING}", WEB, "new.shop.svc:web")
        assert (status, view["result"]) == (1, "dies")
        assert view["assumed"] == [POLICY, "Service shop/new"]

    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ("app: gateway", "app: none", "Service shop/new selects no pod that is ready"),
            ("targetPort: 8080", "targetPort: none", "and has port none"),
            ("selector: {app: gateway}", "selector: {}", "has no selector"),
            ("port: 80,", "port: 81,", "has no port 80/any; it has 81/tcp"),
        ],
    )
    def test_services_that_forward_to_nothing(self, trace, old, new, complaint):
        status, out, err = trace(SERVICE.replace(old, new), WEB, "service/shop/new:80")
        assert (status, out) == (4, "")
        assert complaint in " ".join(err.split())

    def test_other_services_are_those_of_the_cluster(self, traced):
        status, view = traced(SERVICE, WEB, GATEWAY)
        assert (status, view["result"]) == (0, "reaches")
        assert "DNAT" in str(view["paths"][0]["there"]["hops"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "Document 1 has no kind."),
        ("kind: Secret\nmetadata: {name: a}", "neither a NetworkPolicy nor a Service"),
        (f"{SERVICE}---{SERVICE}", "Service shop/new is there twice."),
        (SERVICE.replace("80,", "many,"), "Service shop/new cannot be used"),
        (SERVICE.replace(", namespace: shop", ""), "has no namespace; add metadata.namespace"),
        (DENYING.replace("from:", "form:"), "has the unknown field spec.ingress[0].form"),
    ],
)
def test_manifests_that_cannot_be_used(trace, text, complaint):
    status, out, err = trace(text, WEB, FAR_GATEWAY)
    assert (status, out) == (4, "")
    assert complaint in " ".join(err.split())


def test_the_namespace_of_objects_without_one(trace):
    text = DENYING.replace(", namespace: shop", "")
    assert trace(text, WEB, FAR_GATEWAY, "-n", "shop")[0] == 1

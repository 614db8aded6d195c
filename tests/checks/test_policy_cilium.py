"""policy.*: what Cilium's maps enforce, each test with one change to a recorded cluster."""

from __future__ import annotations

import base64
import copy
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.checks.test_policy_enforcers import cluster, found
from tests.policy_recordings import CILIUM, CLOSED, OPEN, Found, findings, node_of, recorded
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.catalogue.registry import load

HEALTHY, BESIDE = f"{CILIUM}healthy", f"{CILIUM}beside-kube-proxy"
W1, W2 = "td-w1", "td-w2"
DB, GATEWAY, VAULT = "shop/db-0", "shop/gateway-58bcb6f5dc-mdknn", "sealed/vault-5dbd85c544-bbndr"
CHECKOUT = "shop/checkout-old-66c68d6ff8-kj757"
OF_DB, OF_CHECKOUT, OF_VAULT = 1722, 1731, 3426
"""The numbers of their endpoints on td-w2."""
WEB, AGENT, WORLD, HOST = 17193, 6895, 2, 1
WEB_ON_W1 = "10.244.1.75"
PROXY_PORT = bytes.fromhex("3a99")
ANYBODY = bytes.fromhex("2800000000000000000000000000000001ffffff00000000")
"""Any identity, protocol and port into the pod."""

Json = dict[str, Any]
Entries = list[bytes]


def maps(change: Callable[[Json], None]) -> Callable[[Json], None]:
    """A change to what was read of the eBPF maps."""

    def do(document: Json) -> None:
        document["ebpf"] = copy.deepcopy(document["ebpf"])
        change(document["ebpf"])

    return do


def one_map(name: str, change: Callable[[Entries], Entries]) -> Callable[[Json], None]:
    """A change to the entries of one map."""

    def do(ebpf: Json) -> None:
        (own,) = (each for each in ebpf["maps"] if each["name"] == name)
        size = own["key_size"] + own["value_size"]
        data = base64.b64decode(own["entries"])
        kept = change([data[at : at + size] for at in range(0, len(data), size)])
        own["entries"], own["count"] = base64.b64encode(b"".join(kept)).decode(), len(kept)

    return maps(do)


def policy(number: int, change: Callable[[Entries], Entries]) -> Callable[[Json], None]:
    """A change to the policy map of an endpoint."""
    return one_map(f"cilium_policy_v3_{number:05}", change)


def without(identity: int) -> Callable[[Entries], Entries]:
    """The entries of all other identities."""
    return lambda entries: [e for e in entries if e[4:8] != struct.pack("<I", identity)]


def addresses(identity: int, address: str) -> Callable[[Json], None]:
    """The ipcache has another identity for an address."""
    own = bytes(map(int, address.split(".")))

    def change(entries: Entries) -> Entries:
        return [
            e[:24] + struct.pack("<I", identity) + e[28:] if e[8:12] == own and e[0] == 64 else e
            for e in entries
        ]

    return one_map("cilium_ipcache_v2", change)


def whats(results: list[Found]) -> list[tuple[str, str, str]]:
    return [each.what for each in results]


@pytest.mark.parametrize("name", [HEALTHY, BESIDE])
def test_every_node_of_a_healthy_cluster_enforces_what_the_api_has(name: str) -> None:
    for node in recorded(name).documents:
        assert findings(name, node) == []


def test_an_agent_that_hangs_lets_new_pods_of_old_identities_in() -> None:
    """They are not in its ipcache, and their packets bring their identity through the tunnel."""
    assert findings(f"{CILIUM}agent-stopped", W1) == []


@pytest.mark.parametrize("name", [HEALTHY, BESIDE])
def test_policies_take_effect_on_every_node(name: str) -> None:
    model = cluster(name, recorded(name).documents)
    assert found("enforced", model) == []
    assert {name for each in model.fingerprints.values() for name in each.policies.in_effect} == {
        *("NetworkPolicy sealed/no-egress", "NetworkPolicy shop/checkout-named-port"),
        *("NetworkPolicy shop/db-from-web", "NetworkPolicy shop/gateway-from-range"),
    }


def test_both_families_and_a_pod_that_is_just_being_created() -> None:
    """Its identity is not known yet; nothing else is inconclusive."""
    name = f"{CILIUM}dual-stack"
    results = [each for node in recorded(name).documents for each in findings(name, node)]
    assert {each.finding.inconclusive for each in results} == {
        "pods without a CiliumEndpoint, which shows the identity",
        "Cilium has no endpoint for 10.244.2.5, so no policy of it applies there",
    }
    is_new = [each for each in results if "has no endpoint" in each.finding.inconclusive]
    assert {each.pod for each in is_new} == {"shop/web-7f6486dd6c-4ktcd"}


class TestTooOpen:
    def test_the_recorded_entry_for_everybody(self) -> None:
        (one,) = findings(f"{CILIUM}policy-too-open", W2)
        assert one.what == (OPEN, DB, "Ingress")
        assert "shop/db-from-web" in one.finding.expected
        assert "td-w2 forwards it (every port)" in one.finding.found
        assert one.finding.evidence[0] == (
            "cilium_policy_v3_01722: ingress from any identity, any protocol and port: allow"
        )
        assert findings(f"{CILIUM}policy-too-open", W1) == []

    def test_an_entry_for_one_identity_and_port(self) -> None:
        added = struct.pack("<II", 64, AGENT) + struct.pack(">BBH", 0, 6, 22) + ANYBODY[12:]
        (one,) = findings(HEALTHY, W2, policy(OF_DB, lambda entries: [*entries, added]))
        assert one.what == (OPEN, DB, "Ingress")
        assert one.finding.expected.startswith("TCP 22 from ops/agent-")
        assert {each.namespace for each in one.finding.concerns} == {"ops"}
        assert "TCP 22: allow" in one.finding.evidence[0]

    def test_egress(self) -> None:
        added = ANYBODY[:8] + b"\1" + ANYBODY[9:]
        (one,) = findings(HEALTHY, W2, policy(OF_VAULT, lambda entries: [*entries, added]))
        assert one.what == (OPEN, VAULT, "Egress")

    def test_an_address_with_the_identity_of_an_allowed_pod(self) -> None:
        """Packets of ranges outside have the identity of the ipcache."""
        document = recorded(HEALTHY).documents[W2]
        (cache,) = (m for m in document["ebpf"]["maps"] if m["name"] == "cilium_ipcache_v2")
        data = base64.b64decode(cache["entries"])
        entries = [data[at : at + 48] for at in range(0, len(data), 48)]
        (range_,) = (e for e in entries if e[8:11] == bytes([172, 29, 200]) and e[0] == 56)
        other = struct.pack("<I", (1 << 24) + 2)
        assert range_[24:28] != other

        def change(entries: Entries) -> Entries:
            return [e[:24] + other + e[28:] if e == range_ else e for e in entries]

        (one,) = findings(HEALTHY, W2, one_map("cilium_ipcache_v2", change))
        assert one.what == (OPEN, GATEWAY, "Ingress")
        assert one.finding.expected.startswith("TCP 9090 from 172.29.200.")
        assert "has identity 16777218" in one.finding.evidence[-1]

    def test_a_device_without_a_program_is_open_for_what_its_pod_sends(self) -> None:
        """Recorded: the pod reached others and the cluster's DNS, past its policy."""
        (one,) = findings(f"{CILIUM}program-detached", W1)
        assert one.what == (OPEN, "sealed/vault-5dbd85c544-2n7cp", "Egress")
        assert "no program of Cilium" in one.finding.evidence[0]
        assert findings(f"{CILIUM}program-detached", W2) == []


class TestTooClosed:
    def test_an_entry_that_is_missing(self) -> None:
        (one,) = findings(HEALTHY, W2, policy(OF_DB, without(WEB)))
        assert one.what == (CLOSED, DB, "Ingress")
        assert one.finding.expected.startswith("TCP 5432 from shop/web-")
        assert one.finding.evidence == (
            "cilium_policy_v3_01722: no ingress entry matches",
            f"10.244.2.41 has identity {WEB}",
        )
        assert dict(one.finding.names)["cni_pod"].startswith("cilium-")

    def test_an_emptied_map_closes_both_directions(self) -> None:
        results = findings(HEALTHY, W2, policy(OF_DB, lambda _: []))
        assert whats(results) == [(CLOSED, DB, "Ingress"), (CLOSED, DB, "Egress")]

    def test_a_denial(self) -> None:
        def deny(entries: Entries) -> Entries:
            return [
                e[:14] + b"\xc1" + e[15:] if e[4:8] == struct.pack("<I", WEB) else e
                for e in entries
            ]

        (one,) = findings(HEALTHY, W2, policy(OF_DB, deny))
        assert one.what == (CLOSED, DB, "Ingress")
        assert one.finding.evidence[0].endswith("TCP 5432: deny")

    def test_the_node_itself(self) -> None:
        """Cilium lets the kubelet's probes in, unless it is configured otherwise."""

        def to_policies(api: Json) -> None:
            for each in api["configMaps"]:
                if each["metadata"]["name"] == "cilium-config":
                    each["data"]["allow-localhost"] = "policy"

        change = policy(OF_DB, without(HOST))
        (one,) = findings(HEALTHY, W2, change)
        assert one.what == (CLOSED, DB, "Ingress")
        assert "the kubelet's probes" in one.finding.expected
        assert one.finding.evidence == (
            "cilium_policy_v3_01722: no ingress entry matches identity 1 (the host)",
        )
        assert findings(HEALTHY, W2, change, to_policies) == []

    @pytest.mark.parametrize(("number", "pod"), [(OF_DB, DB), (OF_CHECKOUT, CHECKOUT)])
    def test_every_entry_that_is_missing_is_found_or_repeats_another(
        self, number: int, pod: str
    ) -> None:
        document = recorded(HEALTHY).documents[W2]
        (own,) = (m for m in document["ebpf"]["maps"] if m["name"].endswith(f"_{number:05}"))
        harmless: set[int] = set()
        for at in range(own["count"]):
            results = findings(HEALTHY, W2, policy(number, lambda e, n=at: e[:n] + e[n + 1 :]))
            assert {(each.check, each.pod) for each in results} <= {(CLOSED, pod)}
            if not results:
                entries = base64.b64decode(own["entries"])
                harmless.update(struct.unpack_from("<I", entries, 24 * at + 4))
        # The programs look up identity 0 where these have no entry.
        assert harmless == {11, 12, 13, 14}


class TestIdentities:
    def test_through_a_tunnel_a_peer_keeps_its_own(self) -> None:
        """The packet carries it: what the ipcache of the other node has does not matter."""
        assert findings(HEALTHY, W2, addresses(WORLD, WEB_ON_W1)) == []

    def test_without_a_tunnel_the_ipcache_decides(self) -> None:
        def no_tunnel(document: Json) -> None:
            addresses(WORLD, WEB_ON_W1)(document)
            own, *pods = document["namespaces"]
            links = [each for each in own["links"] if each["name"] != "cilium_vxlan"]
            document["namespaces"] = [{**own, "links": links}, *pods]

        results = findings(HEALTHY, W2, no_tunnel)
        assert (CLOSED, DB, "Ingress") in whats(results)
        assert any(f"{WEB_ON_W1} has identity 2" in e for r in results for e in r.finding.evidence)

    def test_what_pods_send_to_counts_by_the_ipcache(self) -> None:
        """A policy of egress allows an identity, and the ipcache has another one."""
        to_agent = struct.pack("<II", 40, AGENT) + b"\1\0\0\0" + ANYBODY[12:]

        def allow(api: Json) -> None:
            (own,) = (p for p in api["networkPolicies"] if p["metadata"]["name"] == "no-egress")
            own["spec"]["egress"] = [
                {
                    "to": [
                        {
                            "namespaceSelector": {
                                "matchLabels": {"kubernetes.io/metadata.name": "ops"}
                            },
                            "podSelector": {"matchLabels": {"app": "agent"}},
                        }
                    ]
                }
            ]

        def change(document: Json) -> None:
            policy(OF_VAULT, lambda entries: [*entries, to_agent])(document)

        def changed(document: Json) -> None:
            change(document)
            addresses(WORLD, "10.244.0.201")(document)

        assert findings(HEALTHY, W2, change, allow) == []
        (one,) = findings(HEALTHY, W2, changed, allow)
        assert one.what == (CLOSED, VAULT, "Egress")
        assert "10.244.0.201 has identity 2" in one.finding.evidence[-1]


class TestUnknown:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"name": "cilium_policy_v9_01722"}, "cilium_policy_v9_01722 with keys of 12 bytes"),
            ({"value_size": 16}, "values of 16 bytes has an unknown layout"),
            ({"is_complete": False}, "before a limit"),
            ({"entries": "AAAA"}, "cilium_policy_v3_01722"),
            ({"problem": "Operation not permitted"}, "not permitted"),
        ],
    )
    def test_a_map_that_is_not_understood_is_an_error(self, change: Json, reason: str) -> None:
        def do(ebpf: Json) -> None:
            next(e for e in ebpf["maps"] if e["name"] == "cilium_policy_v3_01722").update(change)

        with pytest.raises(FactMissingError, match=reason):
            findings(HEALTHY, W2, maps(do))

    def test_more_ports_than_are_compared(self) -> None:
        def many(entries: Entries) -> Entries:
            head = struct.pack("<II", 64, WEB)
            ports = (struct.pack(">BBH", 0, 6, port) for port in range(1, 2000))
            return [*entries, *(head + each + ANYBODY[12:] for each in ports)]

        with pytest.raises(FactMissingError, match="names 2000 ports; at most 1000"):
            findings(HEALTHY, W2, policy(OF_DB, many))

    def test_older_recordings_have_no_entries(self) -> None:
        with pytest.raises(NotApplicable, match="in maps or flows that are not read"):
            findings(HEALTHY, W2, maps(lambda ebpf: ebpf.pop("policies_read")))

    def test_a_pod_without_a_map(self) -> None:
        def do(ebpf: Json) -> None:
            ebpf["maps"] = [e for e in ebpf["maps"] if e["name"] != "cilium_policy_v3_01722"]

        results = findings(HEALTHY, W2, maps(do))
        assert {each.pod for each in results} == {DB}
        assert all("no policy map of endpoint 1722" in e.finding.inconclusive for e in results)

    def test_a_proxy(self) -> None:
        def redirect(entries: Entries) -> Entries:
            own = struct.pack("<I", WEB)
            return [e[:12] + PROXY_PORT + e[14:] if e[4:8] == own else e for e in entries]

        (one,) = findings(HEALTHY, W2, policy(OF_DB, redirect))
        assert "Cilium's proxy on port 15001 decides" in one.finding.inconclusive

    def test_a_configuration_that_isolates_every_pod(self) -> None:
        """What a map refuses to a pod without policies is meant to be refused then."""

        def configure(api: Json) -> None:
            for each in api["configMaps"]:
                if each["metadata"]["name"] == "cilium-config":
                    each["data"]["enable-policy"] = "always"

        emptied = policy(656, lambda _: [])
        results = findings(HEALTHY, W2, emptied, configure)
        assert {(each.check, each.pod) for each in results} == {(CLOSED, "ops/agent-k8sxz")}
        assert all("enable-policy is always" in each.finding.inconclusive for each in results)
        assert not any(each.finding.inconclusive for each in findings(HEALTHY, W2, emptied))

    def test_whether_policies_are_audited(self) -> None:
        results = findings(HEALTHY, W2, maps(lambda ebpf: ebpf["audited"].pop(str(OF_DB))))
        assert {(each.pod, each.key) for each in results} == {(DB, "Ingress")}
        assert all("was not read" in each.finding.inconclusive for each in results)


class TestAudit:
    def test_one_endpoint(self) -> None:
        change = maps(lambda ebpf: ebpf["audited"].update({str(OF_DB): True}))
        (one,) = found("audit_mode_off", node_of(HEALTHY, W2, change))
        assert (one.subject.namespace, one.subject.name) == ("shop", "db-0")
        assert one.level is Level.FAIL
        assert "NetworkPolicy shop/db-from-web" in one.found
        (result,) = findings(HEALTHY, W2, change)
        assert result.what == (OPEN, DB, "Ingress")
        assert "audit mode is on for endpoint 1722" in result.finding.evidence[0]
        (of_policy,) = found("enforced", cluster(HEALTHY, [W1, W2], {W2: change}))
        assert of_policy.subject.part == "NetworkPolicy shop/db-from-web"

    def test_one_that_no_policy_selects_is_a_warning(self) -> None:
        change = maps(lambda ebpf: ebpf["audited"].update({"656": True}))
        (one,) = found("audit_mode_off", node_of(HEALTHY, W2, change))
        assert one.level is Level.WARN
        assert findings(HEALTHY, W2, change) == []

    def test_all_of_a_node_by_the_configuration(self) -> None:
        def change(ebpf: Json) -> None:
            ebpf["audited"] = dict.fromkeys(ebpf["audited"], True)

        def configure(api: Json) -> None:
            for each in api["configMaps"]:
                if each["metadata"]["name"] == "cilium-config":
                    each["data"]["policy-audit-mode"] = "true"

        (one,) = found("audit_mode_off", node_of(HEALTHY, W2, maps(change), configure))
        assert one.subject.kind == "Node"
        assert "as policy-audit-mode of ConfigMap cilium-config has it" in one.found
        assert "edit configmap cilium-config" in one.remedy
        (one,) = found("audit_mode_off", node_of(HEALTHY, W2, maps(change)))
        assert "ConfigMap" not in one.found

    def test_a_healthy_node(self) -> None:
        assert found("audit_mode_off", node_of(HEALTHY, W1)) == []

    def test_options_that_were_not_read(self) -> None:
        def unreadable(ebpf: Json) -> None:
            del ebpf["audited"]
            ebpf["audit_problem"] = "no folder run/cilium/state"

        results = found("audit_mode_off", node_of(HEALTHY, W2, maps(unreadable)))
        assert {each.inconclusive for each in results} == {"no folder run/cilium/state"}
        with pytest.raises(NotApplicable, match="recorded before"):
            found("audit_mode_off", node_of(HEALTHY, W2, maps(lambda ebpf: ebpf.pop("audited"))))


def test_queries_that_policies_deny_are_expected_to_fail() -> None:
    """A policy isolates the pod for egress, and its map refuses what it sends."""
    (check,) = (each for each in load() if each.id == "dns.pods_resolve_udp")
    older = maps(lambda ebpf: ebpf.pop("policies_read"))
    (one,) = check.findings(node_of(HEALTHY, W2, older))
    assert "sealed/no-egress" in one.inconclusive
    assert list(check.findings(node_of(HEALTHY, W2))) == []

"""Policies of other kinds than NetworkPolicy: which pods each of them selects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.collect.conftest import ApiServer, status
from wirecheck.api_index.policies import Policies
from wirecheck.collect.api.client import Api
from wirecheck.collect.api.policies import RawPolicy, calico_selector, projected_policy
from wirecheck.collect.api.resources import CALICO_RULE
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.pod import PodObject

OVN = "k8s.ovn.org"
CILIUM, CALICO, ADMIN = "cilium.io", "crd.projectcalico.org", "policy.networking.k8s.io"
ANTREA = "crd.antrea.io"


def pod(namespace: str = "shop", **labels: str) -> PodObject:
    return PodObject(Metadata("web", namespace=namespace, labels={"app": "web", **labels}))


def policies(group: str, spec: dict[str, Any], namespace: str = "", **more: Any) -> Policies:
    shown = {"metadata": {"name": "p", "namespace": namespace}, "spec": spec, **more}
    policy = projected_policy(msgspec.convert(shown, RawPolicy), group, "Kind")
    return Policies(ApiObjects(other_policies=[policy]))


def restricts(group: str, spec: dict[str, Any], namespace: str = "", **more: Any) -> list[str]:
    """The directions in which the policy restricts the pod `shop/web`."""
    found = policies(group, spec, namespace, **more)
    by = {"Ingress": found.ingress_of(pod()), "Egress": found.egress_of(pod())}
    return [direction for direction, name in by.items() if name]


WEB = {"matchLabels": {"app": "web"}}
OTHER = {"matchLabels": {"app": "other"}}
SHOP = {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
BLUE = {"matchLabels": {"colour": "blue"}}


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ({"endpointSelector": {}, "egress": [{"toFQDNs": []}]}, ["Egress"]),
        ({"endpointSelector": {}, "ingress": [], "egressDeny": [{}]}, ["Ingress", "Egress"]),
        ({"endpointSelector": {"matchLabels": {"k8s:app": "web"}}, "egress": []}, ["Egress"]),
        ({"endpointSelector": {"matchLabels": {"any:app": "web"}}, "egress": []}, ["Egress"]),
        ({"endpointSelector": {"matchLabels": {"any.app": "web"}}, "egress": []}, ["Egress"]),
        ({"endpointSelector": OTHER, "egress": []}, []),
        (
            {
                "endpointSelector": {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "shop"}},
                "egress": [],
            },
            ["Egress"],
        ),
        (
            {
                "endpointSelector": {
                    "matchExpressions": [
                        {
                            "key": "io.kubernetes.pod.namespace",
                            "operator": "NotIn",
                            "values": ["shop", "kube-system"],
                        }
                    ]
                },
                "egress": [],
            },
            [],
        ),
        # What is not read may be so.
        (
            {
                "endpointSelector": {"matchLabels": {"io.cilium.k8s.policy.cluster": "east"}},
                "egress": [],
            },
            ["Egress"],
        ),
        ({"endpointSelector": "unheard of", "egress": []}, ["Egress"]),
        # A host policy.
        ({"nodeSelector": {}, "ingress": []}, []),
    ],
)
def test_policies_of_cilium(spec: dict[str, Any], directions: list[str]) -> None:
    assert restricts(CILIUM, spec) == directions
    assert restricts(CILIUM, spec, "elsewhere") == []


def test_a_policy_of_cilium_may_have_several_parts() -> None:
    specs = [{"endpointSelector": OTHER, "egress": []}, {"endpointSelector": WEB, "ingress": []}]

    assert "Ingress" in restricts(CILIUM, {"endpointSelector": OTHER}, specs=specs)


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ({"types": ["Egress"]}, ["Egress"]),
        ({"selector": "all()", "types": ["Ingress", "Egress"]}, ["Ingress", "Egress"]),
        ({"selector": "app == 'web'"}, ["Ingress"]),
        ({"selector": "app == 'web'", "egress": [{}]}, ["Egress"]),
        ({"selector": 'app == "other"', "egress": [{}]}, []),
        ({"selector": "has(app) && app in {'web', 'api'}", "egress": [{}]}, ["Egress"]),
        ({"selector": "!has(app)", "egress": [{}]}, []),
        ({"selector": "app not in { 'web' }", "egress": [{}]}, []),
        ({"selector": "tier != 'db'", "egress": [{}]}, ["Egress"]),
        ({"selector": "projectcalico.org/namespace == 'shop'", "egress": [{}]}, ["Egress"]),
        ({"selector": "projectcalico.org/namespace != 'shop'", "egress": [{}]}, []),
        ({"namespaceSelector": "projectcalico.org/name == 'other'", "egress": [{}]}, []),
        (
            {"namespaceSelector": "kubernetes.io/metadata.name == 'shop'", "egress": [{}]},
            ["Egress"],
        ),
        ({"namespaceSelector": "colour == 'blue'", "egress": [{}]}, ["Egress"]),
        # Partly recognised: the recognised parts still count.
        ({"selector": "app == 'x' || app == 'y'", "egress": [{}]}, ["Egress"]),
        ({"selector": "app starts with 'w' && has(app)", "egress": [{}]}, ["Egress"]),
        ({"selector": "app starts with 'w' && app == 'x'", "egress": [{}]}, []),
        ({"selector": "app == 'a && b'", "egress": [{}]}, []),
        ({"selector": 7, "egress": [{}]}, ["Egress"]),
    ],
)
def test_policies_of_calico(spec: dict[str, Any], directions: list[str]) -> None:
    assert restricts(CALICO, spec) == directions


def test_a_selector_with_an_alternative_is_not_taken_apart() -> None:
    assert calico_selector("app == 'a' || has(b)") == ([], True)
    assert calico_selector("") == ([], False)


@pytest.mark.parametrize(
    ("subject", "is_selected"),
    [
        ({"namespaces": {}}, True),
        ({"namespaces": SHOP}, True),
        ({"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, False),
        ({"namespaces": BLUE}, True),
        ({"pods": {"namespaceSelector": {}, "podSelector": WEB}}, True),
        ({"pods": {"namespaceSelector": SHOP, "podSelector": OTHER}}, False),
        ({"nodes": {}}, True),
    ],
)
def test_policies_of_administrators(subject: dict[str, Any], is_selected: bool) -> None:
    found = restricts(ADMIN, {"subject": subject, "egress": [{"action": "Deny"}]})

    assert found == (["Egress"] if is_selected else [])


@pytest.mark.parametrize(
    ("applied", "is_selected"),
    [
        ([{"podSelector": WEB}], True),
        ([{"podSelector": OTHER}], False),
        ([{"podSelector": OTHER}, {"namespaceSelector": BLUE}], True),
        ([{"group": "workers"}], True),
    ],
)
def test_policies_of_antrea(applied: list[dict[str, Any]], is_selected: bool) -> None:
    by_policy = restricts(ANTREA, {"appliedTo": applied, "ingress": [{"action": "Drop"}]})
    by_rule = restricts(ANTREA, {"ingress": [{"action": "Drop", "appliedTo": applied}]})

    assert by_policy == by_rule == (["Ingress"] if is_selected else [])


ALL = {"toEntities": ["all"]}


@pytest.mark.parametrize(
    ("group", "spec", "directions"),
    [
        (CILIUM, {"endpointSelector": {}, "egress": [{"toFQDNs": []}, ALL]}, []),
        (CILIUM, {"endpointSelector": {}, "egress": [{}]}, ["Egress"]),
        (CILIUM, {"endpointSelector": {}, "egress": [{**ALL, "toPorts": []}]}, ["Egress"]),
        (CILIUM, {"endpointSelector": {}, "egress": [ALL], "egressDeny": [{}]}, ["Egress"]),
        (
            CILIUM,
            {"endpointSelector": {}, "egress": [{}], "enableDefaultDeny": {"egress": False}},
            [],
        ),
        (CALICO, {"egress": [{"action": "Allow"}, {"action": "Deny"}]}, []),
        (CALICO, {"egress": [{"action": "Allow", "protocol": "TCP"}]}, ["Egress"]),
        (CALICO, {"egress": [{"action": "Log"}, {"action": "Allow"}]}, ["Egress"]),
        (CALICO, {"egress": [{"action": "Pass"}]}, ["Egress"]),
        (ADMIN, {"subject": {"namespaces": {}}, "egress": [{"action": "Allow"}]}, []),
        (ADMIN, {"subject": {"namespaces": {}}, "egress": [{"action": "Pass"}]}, []),
        (
            ADMIN,
            {"subject": {"namespaces": {}}, "egress": [{"action": "Allow"}, {"action": "Deny"}]},
            ["Egress"],
        ),
        (ADMIN, {"subject": {"namespaces": {}}, "egress": [{"action": 5}]}, ["Egress"]),
        (ANTREA, {"appliedTo": [{"podSelector": {}}], "egress": [{"action": "Allow"}]}, []),
        (ANTREA, {"appliedTo": [{"podSelector": {}}], "egress": [{}]}, ["Egress"]),
        (ANTREA, {"appliedTo": [{"podSelector": {}}], "egress": ["odd"]}, ["Egress"]),
        (OVN, {"egress": [{"type": "Allow", "to": {"cidrSelector": "0.0.0.0/0"}}]}, []),
        (OVN, {"egress": [{"type": "Deny", "to": {"cidrSelector": "0.0.0.0/0"}}]}, ["Egress"]),
    ],
)
def test_a_policy_that_only_allows_restricts_nothing(
    group: str, spec: dict[str, Any], directions: list[str]
) -> None:
    assert restricts(group, spec) == directions


def test_an_odd_policy_of_a_namespace_restricts_that_namespace() -> None:
    assert restricts(CILIUM, ["odd"], "shop") == ["Ingress", "Egress"]  # type: ignore[arg-type]
    assert restricts(CILIUM, ["odd"], "other") == []  # type: ignore[arg-type]


def test_a_pod_on_the_host_network_has_no_such_policy() -> None:
    found = policies(CILIUM, {"endpointSelector": {}, "egress": []})
    shown = {"metadata": {"name": "p", "namespace": "shop"}, "spec": {"hostNetwork": True}}

    assert found.egress_of(pod()) == "Kind p"
    assert found.egress_of(msgspec.convert(shown, PodObject)) == ""


def groups(*names: str) -> dict[str, Any]:
    return {"groups": [{"name": e, "preferredVersion": {"version": "v2"}} for e in names]}


POLICIES = "/apis/cilium.io/v2/ciliumnetworkpolicies"


def test_the_kinds_that_a_cluster_has_are_read(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("apps", CILIUM)
    spec = {"endpointSelector": {}, "egress": [{"secret": "x"}]}
    server.lists[POLICIES] = [{"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}]

    objects = api.read()

    assert objects.policy_kinds == {"any": "absent", "CiliumNetworkPolicy": "read"}
    assert [each.directions for each in objects.other_policies] == [["Egress"]]
    assert b"secret" not in msgspec.json.encode(objects)
    assert api.problems == []


def test_a_kind_that_may_not_be_read_restricts_every_pod(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups(CILIUM)
    server.script(POLICIES, status(403, "no"))

    objects = api.read()

    assert objects.policy_kinds["CiliumNetworkPolicy"] == "unreadable"
    assert "could not be read (CiliumNetworkPolicy)" in Policies(objects).egress_of(pod())
    assert 'resources: ["ciliumnetworkpolicies"]' in api.problems[0]


def test_an_odd_policy_makes_its_kind_unreadable(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups(CILIUM)
    server.lists[POLICIES] = [{"metadata": {"name": "p"}, "spec": ["odd"]}]

    assert api.read().policy_kinds["CiliumNetworkPolicy"] == "unreadable"


def test_a_cluster_without_such_kinds_has_none(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("apps")
    assert api.read().policy_kinds == {"any": "absent"}

    server.script("/apis", status(403, "no"))
    assert Policies(api.read()).unreadable


POOLS = "/apis/crd.projectcalico.org/v1/ippools"
BLOCKS = "/apis/crd.projectcalico.org/v1/ipamblocks"
CLAIMS = "/apis/crd.projectcalico.org/v1/blockaffinities"
FELIX = "/apis/crd.projectcalico.org/v1/felixconfigurations"
POOL = {
    "metadata": {"name": "default", "annotations": {"projectcalico.org/metadata": "{}"}},
    "spec": {"cidr": "192.168.0.0/16", "natOutgoing": True, "vxlanMode": "Always"},
}


def test_pools_of_calico_are_read_where_it_has_its_api(server: ApiServer, api: Api) -> None:
    server.lists[POOLS] = [POOL]
    server.objects["/apis"] = groups("apps", CILIUM)
    assert api.read().ip_pools == []

    server.objects["/apis"] = groups("apps", "crd.projectcalico.org")
    server.lists["/apis/crd.projectcalico.org/v2/networkpolicies"] = []
    (pool,) = api.read().ip_pools
    assert (pool.spec.cidr, pool.spec.nat_outgoing) == ("192.168.0.0/16", True)
    assert pool.metadata.annotations == {}


def test_pools_that_may_not_be_read_are_a_note(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("crd.projectcalico.org")
    server.lists["/apis/crd.projectcalico.org/v2/networkpolicies"] = []
    server.script(POOLS, status(403, "no"))

    assert api.read().ip_pools == []
    assert any(CALICO_RULE in each for each in api.problems)


def test_blocks_of_calico_are_reduced_to_their_nodes(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("crd.projectcalico.org")
    server.lists["/apis/crd.projectcalico.org/v2/networkpolicies"] = []
    server.lists[BLOCKS] = [
        {
            "metadata": {"name": "10-0-0-0-26"},
            "spec": {
                "cidr": "10.0.0.0/26",
                "affinity": "host:n1",
                "allocations": [0, None],
                "attributes": [{"handle_id": "secret", "secondary": {"pod": "web"}}],
            },
        },
        {"metadata": {"name": "10-0-0-64-26"}, "spec": {"cidr": "10.0.0.64/26", "affinity": None}},
    ]
    claim = {"cidr": "10.0.0.0/26", "node": "n1", "state": "confirmed", "deleted": "false"}
    server.lists[CLAIMS] = [{"metadata": {"name": "n1-10-0-0-0-26"}, "spec": claim}]

    read = api.read()

    first, second = read.ipam_blocks
    assert (first.spec.cidr, first.spec.affinity) == ("10.0.0.0/26", "host:n1")
    assert second.spec.affinity == ""
    assert b"secret" not in msgspec.json.encode(read)
    (affinity,) = read.block_affinities
    assert (affinity.spec.node, affinity.spec.state) == ("n1", "confirmed")
    assert api.problems == []


def test_objects_of_calico_that_may_not_be_read_are_one_note(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("crd.projectcalico.org")
    server.lists["/apis/crd.projectcalico.org/v2/networkpolicies"] = []
    for path in (POOLS, BLOCKS, CLAIMS, FELIX):
        server.script(path, status(403, "no"))

    read = api.read()

    assert read.ip_pools == read.ipam_blocks == read.block_affinities == []
    assert read.felix_configurations == []
    (note,) = [each for each in api.problems if CALICO_RULE in each]
    assert '"ippools", "ipamblocks", "blockaffinities", "felixconfigurations"' in note


def test_what_a_version_of_calico_does_not_have_is_no_problem(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("crd.projectcalico.org")
    server.lists["/apis/crd.projectcalico.org/v2/networkpolicies"] = []
    server.lists[POOLS] = [POOL]
    for path in (BLOCKS, CLAIMS, FELIX):
        server.script(path, status(404, "no"))

    assert len(api.read().ip_pools) == 1
    assert not [each for each in api.problems if CALICO_RULE in each]


ENDPOINTS = "/apis/cilium.io/v2/ciliumendpoints"


def test_endpoints_of_cilium_are_reduced_to_addresses_and_identity(
    server: ApiServer, api: Api
) -> None:
    server.lists[ENDPOINTS] = [
        {
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"a": "secret"}},
            "status": {
                "id": 229,
                "identity": {"id": 17193, "labels": ["k8s:app=secret"]},
                "networking": {"addressing": [{"ipv4": "10.0.0.9"}], "node": "192.0.2.1"},
                "policy": {"secret": True},
            },
        },
        {"metadata": {"name": "new", "namespace": "shop"}, "status": None},
    ]
    server.objects["/apis"] = groups("apps")
    assert api.read().cilium_endpoints == []

    server.objects["/apis"] = groups("cilium.io")
    server.lists[POLICIES] = []
    read = api.read()
    web, new = read.cilium_endpoints
    assert (web.status.identity.id, web.status.networking.addressing[0].ipv4) == (17193, "10.0.0.9")
    assert new.status.identity.id == 0
    assert b"secret" not in msgspec.json.encode(read)
    assert not [each for each in api.problems if "ciliumendpoints" in each]


def test_endpoints_of_cilium_that_may_not_be_read_are_a_note(server: ApiServer, api: Api) -> None:
    server.objects["/apis"] = groups("cilium.io")
    server.lists[POLICIES] = []
    server.script(ENDPOINTS, status(403, "no"))

    assert api.read().cilium_endpoints == []
    assert any('resources: ["ciliumendpoints"]' in each for each in api.problems)

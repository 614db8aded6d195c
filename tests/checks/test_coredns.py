"""The checks of how CoreDNS is set up, each on a cluster where one thing is broken."""

import pytest

from tests.parse.test_corefile import KUBEADM
from wirecheck.catalogue.findings import Level, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.catalogue.remedies import filled
from wirecheck.model.remedy_names import RemedyNames

ROLE = {
    "metadata": {"name": "system:coredns"},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        },
    ],
}
BINDING = {
    "metadata": {"name": "system:coredns"},
    "roleRef": {"kind": "ClusterRole", "name": "system:coredns"},
    "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
}


def with_corefile(small, text):
    meta = {"name": "coredns", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]


def test_kubeadms_corefile_is_sound(small):
    with_corefile(small, KUBEADM)

    assert not small.findings("coredns.serves_cluster_domain")
    assert not small.findings("coredns.plugins")


@pytest.mark.parametrize("check", ["coredns.serves_cluster_domain", "coredns.plugins"])
def test_without_a_corefile_nothing_is_evaluated(small, check):
    with pytest.raises(NotApplicable):
        small.findings(check)


@pytest.mark.parametrize(
    ("namespace", "config_map"),
    [
        ("kube-system", "coredns"),
        ("kube-system", "rke2-coredns-rke2-coredns"),
        ("openshift-dns", "dns-default"),
    ],
)
def test_the_remedy_names_the_config_map_that_was_read(small, namespace, config_map):
    (service,) = (each for each in small.api["services"] if each["metadata"]["name"] == "kube-dns")
    service["metadata"] |= {"namespace": namespace, "labels": {"k8s-app": "kube-dns"}}
    meta = {"name": config_map, "namespace": namespace}
    text = KUBEADM.replace("kubernetes cluster.local", "kubernetes")
    small.api["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]
    (check,) = (each for each in load() if each.id == "coredns.serves_cluster_domain")

    (finding,) = small.findings(check.id)
    remedy = filled(check.remedy, RemedyNames(small.cluster).of(finding))
    assert f"kubectl -n {namespace} edit configmap {config_map}`" in remedy
    assert "DNS_" not in remedy


@pytest.mark.parametrize(
    ("plugin", "number"), [("unbound", 0), ("fanout . 1.1.1.1", 0), ("log", 1)]
)
def test_other_plugins_resolve_names_outside_of_the_cluster_too(small, plugin, number):
    with_corefile(small, f".:53 {{\n health\n ready\n kubernetes cluster.local\n {plugin}\n}}\n")

    assert len(small.findings("coredns.plugins")) == number


def test_a_corefile_that_serves_no_services_is_found(small):
    with_corefile(small, KUBEADM.replace("kubernetes cluster.local", "kubernetes"))

    (finding,) = small.findings("coredns.serves_cluster_domain")
    assert finding.level is Level.FAIL


@pytest.mark.parametrize(
    ("before", "after", "plugin"),
    [
        ("    loop\n", "", "loop"),
        ("    ready\n", "", "ready"),
        ("health {", "halth {", "health"),
        ("forward .", "proxy .", "proxy"),
    ],
)
def test_a_plugin_that_is_missing_or_gone_is_found(small, before, after, plugin):
    with_corefile(small, KUBEADM.replace(before, after))

    finding, *more = small.findings("coredns.plugins")
    assert finding.subject.part == f"Corefile, {plugin}"
    assert {finding.level, *(each.level for each in more)} == {Level.WARN}


def test_openshifts_operator_leaves_loop_out(small):
    with_corefile(small, KUBEADM.replace("    loop\n", "").replace(".:53", ".:5353"))
    assert len(small.findings("coredns.plugins")) == 1

    small.api["services"][1]["metadata"] |= {"name": "dns-default", "namespace": "openshift-dns"}
    small.api["pods"][0]["metadata"]["namespace"] = "openshift-dns"
    assert not small.findings("coredns.plugins")

    with_corefile(small, KUBEADM.replace("    loop\n", "").replace("    health {", "    other {"))
    assert len(small.findings("coredns.plugins")) == 1


def test_a_loop_cannot_come_from_servers_that_are_named(small):
    text = KUBEADM.replace("    loop\n", "").replace("/etc/resolv.conf", "192.0.2.53")
    with_corefile(small, text)

    assert not small.findings("coredns.plugins")


def test_plugins_that_are_not_known_are_taken_for_good(small):
    with_corefile(small, KUBEADM.replace("    errors\n", "    errors\n    brand_new a b\n"))

    assert not small.findings("coredns.plugins")


@pytest.mark.parametrize("place", ["    loop\n", "before"])
def test_what_is_imported_is_not_missed(small, place):
    text = KUBEADM.replace("    loop\n", "    import custom/*.override\n")
    if place == "before":
        text = "import ../custom/*.server\n" + KUBEADM.replace("    loop\n", "")
    with_corefile(small, text)

    with pytest.raises(NotApplicable, match="custom"):
        small.findings("coredns.plugins")


def with_role(small, role=ROLE, binding=BINDING):
    small.api["clusterRoles"] = [role] if role else []
    small.api["clusterRoleBindings"] = [binding] if binding else []


def test_the_usual_role_is_enough(small):
    with_role(small)
    assert not small.findings("coredns.rbac")

    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    with_role(small, {**ROLE, "rules": [everything]})
    assert not small.findings("coredns.rbac")


def test_a_role_of_an_older_version_is_found(small):
    with_role(small, {**ROLE, "rules": ROLE["rules"][:1]})

    found = [each.expected for each in small.findings("coredns.rbac")]
    assert found == ["may list endpointslices", "may watch endpointslices"]


def test_a_role_that_is_gone_or_not_bound_is_found(small):
    with_role(small, role=None)
    assert len(small.findings("coredns.rbac")) == 8

    for binding in (None, {**BINDING, "subjects": None}):
        with_role(small, binding=binding)
        (finding,) = small.findings("coredns.rbac")
        assert finding.found == "not bound"


def test_another_installer_is_not_evaluated(small):
    with pytest.raises(NotApplicable):
        small.findings("coredns.rbac")


def second_replica(small, node):
    first = small.api["pods"][0]
    meta = {**first["metadata"], "name": "dns2", "uid": "00000000-0000-0000-0000-00000000dns2"}
    small.api["pods"].append(
        {**first, "metadata": meta, "spec": {**first["spec"], "nodeName": node}}
    )


def test_replicas_on_one_node_are_found(small):
    second_replica(small, "n1")

    findings = small.findings("coredns.replicas_spread")
    assert [each.found for each in findings] == ["all on n1"] * 2
    assert {each.level for each in findings} == {Level.WARN}


def test_replicas_on_two_nodes_pass(small):
    second_replica(small, "n2")

    assert not small.findings("coredns.replicas_spread")


def test_replicas_that_have_no_other_place_are_not_evaluated(small):
    with pytest.raises(NotApplicable, match="1 DNS replica"):
        small.findings("coredns.replicas_spread")

    second_replica(small, "n1")
    small.api["nodes"][1]["spec"]["taints"] = [{"key": "gpu", "effect": "NoSchedule"}]
    with pytest.raises(NotApplicable, match="two nodes"):
        small.findings("coredns.replicas_spread")


def test_without_a_replica_nothing_needs_a_permission(small):
    small.api["clusterRoles"] = [{"metadata": {"name": "system:coredns"}}]
    assert small.findings("coredns.rbac")

    small.api["services"][1]["spec"]["selector"] = {"k8s-app": "nothing"}
    with pytest.raises(NotApplicable, match="selects no running pod"):
        small.findings("coredns.rbac")


ROOT = """.:53 {
    errors
    health
    ready
    forward . /etc/resolv.conf
    loop
PLUGINS}
"""
USUAL = ROOT.replace("PLUGINS", "    kubernetes cluster.local in-addr.arpa ip6.arpa\n")
COREFILES = {
    # AKS: files of a second ConfigMap, and templates with braces in a quoted pattern.
    "aks": USUAL.replace(
        "    loop\n",
        """    loop
    import custom/*.override
    template ANY ANY internal.cloudapp.net {
      match "^(?:[^.]+\\.){4,}internal\\.cloudapp\\.net\\.$"
      rcode NXDOMAIN
    }
""",
    )
    + "import custom/*.server\n",
    "two domains": USUAL.replace("kubernetes ", "kubernetes   prod.name  "),
    "zones in the block": "cluster.local:53 {\n    kubernetes\n}\n" + ROOT.replace("PLUGINS", ""),
    "stub domain first": "# kubernetes a.b\nconsul.local:53 {\n    forward . 192.0.2.1\n}\n"
    + USUAL.replace("    errors\n", "    #kubernetes old.local\n    errors\n"),
    "several clusters": "clusterset.local:53 {\n    lighthouse\n}\n" + USUAL,
    "snippet": "(common) {\n    errors\n    kubernetes\n}\n"
    "cluster.local:53 {\n    import common\n}\n" + ROOT.replace("PLUGINS", ""),
    "kubernetai": USUAL.replace("kubernetes", "kubernetai"),
    "port of OpenShift": USUAL.replace(".:53", ".:5353"),
}


@pytest.mark.parametrize("name", COREFILES)
def test_corefiles_of_distributions_are_sound(small, name):
    with_corefile(small, COREFILES[name])

    assert not small.findings("coredns.serves_cluster_domain")
    assert not small.findings("coredns.plugins")
    assert not small.findings("dns.kubelet_cluster_dns")
    assert not small.findings("dns.resolv_conf")


def test_a_snippet_that_is_not_imported_serves_nothing(small):
    with_corefile(small, "(common) {\n    kubernetes\n}\n" + ROOT.replace("PLUGINS", ""))

    (finding,) = small.findings("coredns.serves_cluster_domain")
    assert finding.found == "none"


def test_a_variable_is_no_domain(small):
    with_corefile(small, USUAL.replace("cluster.local", "{$CLUSTER_DOMAIN}"))

    with pytest.raises(NotApplicable, match=r"from a variable, \{\$CLUSTER_DOMAIN\}"):
        small.findings("coredns.serves_cluster_domain")
    assert not small.findings("dns.kubelet_cluster_dns")

from typing import Any

import pytest
import yaml

from testbed.kube_proxy import in_ipvs_mode, keep_off_ipvs_nodes
from testbed.kubeadm import MODE_LABEL, init_configuration, join_configuration
from testbed.layout import SUBNETS, Layout

LAYOUT = Layout(SUBNETS[0])

PRINTED = """
kind: ConfigMap
apiVersion: v1
metadata: {name: kube-proxy, namespace: kube-system}
data:
  kubeconfig.conf: "kind: Config"
  config.conf: |
    kind: KubeProxyConfiguration
    clusterCIDR: 10.244.0.0/16
    mode: nftables
    conntrack: {maxPerCore: 0}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system, labels: {k8s-app: kube-proxy}}
spec:
  selector: {matchLabels: {k8s-app: kube-proxy}}
  template:
    metadata: {labels: {k8s-app: kube-proxy}}
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      containers:
        - name: kube-proxy
          volumeMounts: [{name: lib-modules, mountPath: /lib/modules}]
      volumes:
        - {name: kube-proxy, configMap: {name: kube-proxy}}
        - {name: lib-modules, hostPath: {path: /lib/modules}}
"""


def printed() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(PRINTED))


def test_the_usual_kube_proxy_keeps_off_nodes_that_ask_for_another_mode() -> None:
    _, daemons = keep_off_ipvs_nodes(printed())
    affinity = daemons["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": [{"key": MODE_LABEL, "operator": "DoesNotExist"}]}]


def test_the_second_kube_proxy_runs_where_ipvs_is_asked_for_and_nowhere_else() -> None:
    settings, daemons = in_ipvs_mode(printed())
    pod = daemons["spec"]["template"]
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux", MODE_LABEL: "ipvs"}
    assert daemons["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["volumes"][0]["configMap"]["name"] == settings["metadata"]["name"]
    assert settings["metadata"]["name"] != "kube-proxy"
    # Its kernel has the tables of one variant of iptables alone.
    links = pod["spec"]["volumes"][-1]
    assert links == {"name": "alternatives", "hostPath": {"path": "/etc/alternatives"}}
    assert pod["spec"]["containers"][0]["volumeMounts"][-1]["name"] == "alternatives"
    joining = yaml.safe_load(join_configuration(LAYOUT, LAYOUT.vm, "a.b"))
    arguments = joining["nodeRegistration"]["kubeletExtraArgs"]
    (labels,) = (a["value"] for a in arguments if a["name"] == "node-labels")
    assert f"{MODE_LABEL}=ipvs" in labels.split(",")


def test_the_second_kube_proxy_differs_in_mode_and_connection_table_alone() -> None:
    settings, _ = in_ipvs_mode(printed())
    assert yaml.safe_load(settings["data"]["config.conf"]) == {
        "kind": "KubeProxyConfiguration",
        "clusterCIDR": "10.244.0.0/16",
        "mode": "ipvs",
        "conntrack": {"maxPerCore": 32768, "min": 131072},
    }


def test_neither_changes_what_it_was_given() -> None:
    given = printed()
    keep_off_ipvs_nodes(given)
    in_ipvs_mode(given)
    assert given == printed()


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_kubeadm_is_told_the_mode_and_pulls_nothing(mode: str) -> None:
    documents = list(yaml.safe_load_all(init_configuration(LAYOUT, "a.b", mode)))
    by_kind = {document["kind"]: document for document in documents}
    assert by_kind["KubeProxyConfiguration"]["mode"] == mode
    assert by_kind["InitConfiguration"]["nodeRegistration"]["imagePullPolicy"] == "Never"
    assert by_kind["ClusterConfiguration"]["imageRepository"].endswith(".test")

"""kube-proxy as kubeadm deploys it, and a second one in IPVS mode beside it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import yaml

from testbed.kubeadm import MODE_LABEL

Document = dict[str, Any]

_SECOND = "kube-proxy-ipvs"


def keep_off_ipvs_nodes(documents: Sequence[Document]) -> list[Document]:
    """kubeadm's objects, but its DaemonSet leaves nodes alone that ask for another mode."""
    ours = copy.deepcopy(list(documents))
    elsewhere = {"matchExpressions": [{"key": MODE_LABEL, "operator": "DoesNotExist"}]}
    _of_kind(ours, "DaemonSet")["spec"]["template"]["spec"]["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [elsewhere]}
        }
    }
    return ours


def in_ipvs_mode(documents: Sequence[Document]) -> list[Document]:
    """The ConfigMap and DaemonSet of a second kube-proxy, for the nodes that ask for IPVS."""
    ours = copy.deepcopy(list(documents))
    settings = _of_kind(ours, "ConfigMap")
    settings["metadata"]["name"] = _SECOND
    settings["data"]["config.conf"] = _ipvs_settings(settings["data"]["config.conf"])
    daemons = _of_kind(ours, "DaemonSet")
    daemons["metadata"]["name"] = _SECOND
    label = {MODE_LABEL: "ipvs"}
    daemons["spec"]["selector"]["matchLabels"] |= label
    pod = daemons["spec"]["template"]
    pod["metadata"]["labels"] |= label
    pod["spec"]["nodeSelector"] = {**pod["spec"].get("nodeSelector", {}), **label}
    for volume in pod["spec"]["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = _SECOND
    _choose_iptables_as_the_node_does(pod["spec"])
    return [settings, daemons]


def _choose_iptables_as_the_node_does(pod: Document) -> None:
    """Debian's links make `iptables` the nft or the legacy one; the pod sees the node's links."""
    links = "/etc/alternatives"
    (container,) = pod["containers"]
    container["volumeMounts"].append({"name": "alternatives", "mountPath": links, "readOnly": True})
    pod["volumes"].append({"name": "alternatives", "hostPath": {"path": links}})


def _ipvs_settings(text: str) -> str:
    # A machine with a kernel of its own also has a connection table of its own to size.
    own_table = {"conntrack": {"maxPerCore": 32768, "min": 131072}}
    return yaml.safe_dump({**yaml.safe_load(text), "mode": "ipvs", **own_table})


def _of_kind(documents: Sequence[Document], kind: str) -> Document:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found

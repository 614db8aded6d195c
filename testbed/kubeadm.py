"""kubeadm's configuration."""

from __future__ import annotations

import secrets
import string
from typing import Any

import yaml

from testbed.components import KUBERNETES
from testbed.file_layout import KUBEADM, FileLayout
from testbed.images import COREDNS_TAG, ETCD_TAG, REPOSITORY
from testbed.layout import CLUSTER_DNS, Layout, NodeSpec

MODE_LABEL = "testbed.test/proxy-mode"
"""A node with this label asks for a kube-proxy in the mode that is its value."""

_API = "kubeadm.k8s.io/v1beta4"
_SYMBOLS = string.ascii_lowercase + string.digits

AUDIT_FOLDER = "/var/log/kubernetes"
AUDIT_LOG = f"{AUDIT_FOLDER}/audit.log"
AUDIT_POLICY = "/etc/kubernetes/testbed-audit.yaml"

Document = dict[str, Any]


def new_token() -> str:
    """A bootstrap token."""
    return f"{_random(6)}.{_random(16)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_SYMBOLS) for _ in range(length))


def init_configuration(
    layout: Layout, token: str, proxy_mode: str, file_layout: FileLayout = KUBEADM
) -> str:
    """What `kubeadm init` is given."""
    node = layout.control_plane
    init: Document = {
        "apiVersion": _API,
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"token": token, "ttl": "0s"}],
        "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": 6443},
        "nodeRegistration": _registration(node, file_layout),
    }
    documents = [init, _cluster(layout), _kubelet(), _kube_proxy(layout, proxy_mode)]
    return yaml.safe_dump_all(documents, sort_keys=False)


def join_configuration(
    layout: Layout, node: NodeSpec, token: str, file_layout: FileLayout = KUBEADM
) -> str:
    """What `kubeadm join` is given on one node."""
    join: Document = {
        "apiVersion": _API,
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": layout.api_server,
                "token": token,
                # Nobody else is in this network.
                "unsafeSkipCAVerification": True,
            }
        },
        "nodeRegistration": _registration(node, file_layout),
    }
    return yaml.safe_dump(join, sort_keys=False)


def _registration(node: NodeSpec, file_layout: FileLayout) -> Document:
    labels = [f"topology.kubernetes.io/zone={node.zone}"]
    if node.is_vm:
        # Its kernel is another one, so it is of another pool.
        labels += [f"{MODE_LABEL}=ipvs", "node.kubernetes.io/instance-type=uml"]
    return {
        "name": node.name,
        "criSocket": f"unix://{file_layout.socket}",
        "imagePullPolicy": "Never",
        "kubeletExtraArgs": [
            {"name": "node-ip", "value": ",".join(filter(None, [node.address, node.address_v6]))},
            {"name": "node-labels", "value": ",".join(labels)},
        ],
    }


def _cluster(layout: Layout) -> Document:
    return {
        "apiVersion": _API,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": KUBERNETES,
        "imageRepository": REPOSITORY,
        "controlPlaneEndpoint": layout.api_server,
        "networking": {
            "podSubnet": layout.pod_ranges,
            "serviceSubnet": layout.service_ranges,
        },
        "dns": {"imageRepository": REPOSITORY, "imageTag": COREDNS_TAG},
        "etcd": {
            "local": {
                "imageRepository": REPOSITORY,
                "imageTag": ETCD_TAG,
                # The cluster's state need not survive a power failure, and is written faster.
                "extraArgs": [{"name": "unsafe-no-fsync", "value": "true"}],
            }
        },
        "apiServer": {
            "certSANs": [layout.control_plane.address, layout.gateway, "127.0.0.1"],
            "extraArgs": [
                {"name": "audit-policy-file", "value": AUDIT_POLICY},
                {"name": "audit-log-path", "value": AUDIT_LOG},
                {"name": "audit-log-maxsize", "value": "100"},
                {"name": "audit-log-maxbackup", "value": "1"},
            ],
            "extraVolumes": [
                _mounted("audit-policy", AUDIT_POLICY, "File", read_only=True),
                _mounted("audit-log", AUDIT_FOLDER, "DirectoryOrCreate", read_only=False),
            ],
        },
    }


def _mounted(name: str, path: str, kind: str, *, read_only: bool) -> Document:
    return {
        "name": name,
        "hostPath": path,
        "mountPath": path,
        "pathType": kind,
        "readOnly": read_only,
    }


def audit_policy() -> str:
    """What the API server notes: every request but those of the cluster's own parts."""
    own = [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-flannel"]},
        {
            "level": "None",
            "users": [
                "system:apiserver",
                "system:kube-controller-manager",
                "system:kube-scheduler",
                "system:kube-proxy",
                "system:anonymous",
            ],
        },
    ]
    policy: Document = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [*own, {"level": "Metadata"}],
    }
    return yaml.safe_dump(policy, sort_keys=False)


def _kubelet() -> Document:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [CLUSTER_DNS],
        # Neither score nor kernel settings may be changed without CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        "featureGates": {"KubeletInUserNamespace": True},
        "failSwapOn": False,
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "/etc/resolv.conf",
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    }


def _kube_proxy(layout: Layout, mode: str) -> Document:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "clusterCIDR": layout.pod_ranges,
        # The table's size is one value of the whole machine, and not a node's to change.
        "conntrack": {"maxPerCore": 0},
        "oomScoreAdj": 0,
    }

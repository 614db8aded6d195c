"""The manifest of an agent pod, with minimal privileges; deploy/ has the same as a DaemonSet."""

from __future__ import annotations

from typing import Any

from wirecheck.inventory.file import Agent
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL

NAME = "wirecheck-agent"
"""The name label of every agent."""
CONTAINER = "agent"

CAPABILITIES = {
    "DAC_READ_SEARCH": "files of pods that only their user may read (resolv.conf)",
    "NET_ADMIN": "listing rules and connections; also where a pod's netns is entered",
    "NET_RAW": "listing legacy iptables rules requires a raw socket",
    "SYS_ADMIN": "setns: entering the namespaces of the node and of its pods; eBPF maps",
    "SYS_CHROOT": "entering a mount namespace sets the root",
    "SYS_PTRACE": "which netns and which cgroup a process of another user is in",
    "SYSLOG": "the kernel's log, whose device a pod cannot open",
}
"""The capabilities added to an empty set, with their reasons."""

Manifest = dict[str, Any]


def agent_pod(settings: Agent, node: str, name: str, run: str, seconds: int) -> Manifest:
    """An agent on one node for one run; it exits after `seconds`."""
    labels = {NAME_LABEL: NAME, OWNER_LABEL: OWNER, RUN_LABEL: run}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": labels},
        "spec": {
            # Without the scheduler, so that cordoned and tainted nodes get a pod as well.
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "imagePullSecrets": [{"name": each} for each in settings.pull_secrets],
            **agent_spec(settings),
        },
    }


def agent_spec(settings: Agent) -> Manifest:
    """What a pod for a run and the DaemonSet's pods share."""
    return {
        "hostPID": True,
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {
            "seccompProfile": {"type": "RuntimeDefault"},
            # The container profiles forbid entering other namespaces.
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": {"type": "spc_t"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": settings.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["wirecheck-agent", "wait", "0"],
                "securityContext": _rights(settings),
                # No CPU limit: a throttled visit would measure its own throttling.
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"memory": "1Gi"},
                },
            }
        ],
    }


def _rights(settings: Agent) -> Manifest:
    common = {"runAsUser": 0, "readOnlyRootFilesystem": True}
    if settings.privileged:
        return {**common, "privileged": True}
    return {**common, "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)}}

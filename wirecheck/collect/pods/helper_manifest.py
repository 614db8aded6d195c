"""The manifest of a helper pod: almost no privileges, and its command."""

from __future__ import annotations

from importlib import resources
from typing import Any

from wirecheck.api_index.helper_pods import NAME
from wirecheck.inventory.file import HelperPods
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL

PORT = 8053
"""Above 1023: lower ports require a capability."""
USER = 65532
TO_LISTEN = 30
"""Seconds until the running program must listen."""

PYTHON = ["python3", "-I", "-S", "-c"]
"""-I: neither the environment nor the working directory affects imports."""
IT_LISTENS = f"import socket; socket.create_connection(('127.0.0.1', {PORT}), 1).close()"

Manifest = dict[str, Any]


def helper_pod(settings: HelperPods, node: str, name: str, run: str, seconds: int) -> Manifest:
    """A helper pod on one node for one run; it exits after `seconds`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": {
                NAME_LABEL: NAME,
                OWNER_LABEL: OWNER,
                RUN_LABEL: run,
                # The proxy of a service mesh would answer instead of the pod.
                "sidecar.istio.io/inject": "false",
            },
            "annotations": {
                "linkerd.io/inject": "disabled",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
            },
        },
        "spec": {
            # Without the scheduler, so that cordoned and tainted nodes get a pod as well.
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 1,
            "imagePullSecrets": [{"name": each} for each in settings.pull_secrets],
            "dnsPolicy": "Default",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(settings.image or "")],
        },
    }


def _container(image: str) -> Manifest:
    program = (resources.files("wirecheck.collect.pods") / "echo.py").read_text("utf-8")
    return {
        "name": "echo",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*PYTHON, program, str(PORT)],
        "ports": [{"containerPort": PORT}],
        "startupProbe": {
            "exec": {"command": [*PYTHON, IT_LISTENS]},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": TO_LISTEN,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "64Mi"},
        },
    }

"""A cluster of a few pods and policies, written as the API shows them."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from wirecheck.api_index.pod import Pod
from wirecheck.policy.expected import ExpectedPolicies
from wirecheck.policy.reach import Answer
from wirecheck.snapshot.api_objects import ApiObjects

PORTS = {"http": 8080, "metrics": 9090}


def pod(namespace: str, name: str, address: str, **more: Any) -> dict[str, Any]:
    """A running pod with the label `app`, and with a port of each name in `ports`."""
    spec = {
        "hostNetwork": more.get("host_network", False),
        "containers": [
            {
                "name": "main",
                "ports": [
                    {"name": n, "containerPort": p} for n, p in more.get("ports", {}).items()
                ],
            }
        ],
        **more.get("spec", {}),
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"{namespace}/{name}",
            "labels": {"app": name, **more.get("labels", {})},
            **more.get("metadata", {}),
        },
        "spec": spec,
        "status": {"phase": more.get("phase", "Running"), "podIP": address},
    }


PODS = [
    pod("shop", "web", "10.244.1.1", labels={"tier": "front"}, ports=PORTS),
    pod("shop", "db", "10.244.1.2", ports={"http": 5432}),
    pod("ops", "web", "10.244.2.1", labels={"tier": "front"}),
    pod("ops", "job", "10.244.2.2"),
    pod("ops", "agent", "192.0.2.10", host_network=True),
]


def policy(text: str, name: str = "some", namespace: str = "shop") -> dict[str, Any]:
    """A policy with the spec of the text, in YAML."""
    spec = {"podSelector": {}, **(yaml.safe_load(text) or {})}
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def api(*policies: dict[str, Any], pods: list[dict[str, Any]] = PODS, **more: Any) -> ApiObjects:
    """The cluster with these policies, whose rules were read."""
    objects = {
        "pods": pods,
        "networkPolicies": list(policies),
        "policyRulesRead": True,
        "policyKinds": {"any": "absent"},
        **more,
    }
    return msgspec.convert(objects, ApiObjects)


def pods_of(objects: ApiObjects) -> dict[str, Pod]:
    """The pods by namespace and name."""
    return {f"{e.metadata.namespace}/{e.metadata.name}": Pod(e) for e in objects.pods}


def answer(
    objects: ApiObjects,
    source: str,
    target: str,
    port: int = 80,
    protocol: str = "TCP",
    **more: Any,
) -> Answer:
    """Whether one pod may connect to another."""
    pods = pods_of(objects)
    expected = ExpectedPolicies.of(objects, **more)
    return expected.answer(pods[source], pods[target], protocol, port)


def decision(*arguments: Any, **more: Any) -> str:
    """`allowed`, `denied` or `inconclusive`."""
    return str(answer(*arguments, **more).decision)

"""Sandboxes of pods that are gone: the kubelet removes them within minutes, whoever looks."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from testbed import nodes
from testbed.cluster import kubectl
from testbed.readiness import wait_for

PATIENCE = 300.0
"""Seconds; the kubelet collects dead containers once a minute."""

_LABELS = """\
for id in $(ctr -n k8s.io containers ls -q 'labels."io.cri-containerd.kind"==sandbox'); do
  ctr -n k8s.io containers info "$id"
done
"""
_UID = re.compile(r'"io\.kubernetes\.pod\.uid": "([^"]+)"')
STATIC = "kubernetes.io/config.hash"
"""The annotation of a mirror pod with the uid that its static pod has on the node."""


def wait_until_removed(names: Collection[str]) -> None:
    """Wait until every sandbox on the nodes belongs to a pod of the API."""
    wait_for(
        lambda: [name for name in names if _uids_on(name) - _known()],
        PATIENCE,
        "ctr -n k8s.io containers ls",
    )


def _uids_on(name: str) -> set[str]:
    return set(_UID.findall(nodes.output(name, ["sh", "-c", _LABELS])))


def _known() -> set[str]:
    pods = json.loads(kubectl("get", "pods", "-A", "-o", "json"))["items"]
    metadata = [each["metadata"] for each in pods]
    static = {each.get("annotations", {}).get(STATIC, "") for each in metadata}
    return {each["uid"] for each in metadata} | static

from __future__ import annotations

from typing import Any

import pytest

from testbed.commands import TestbedError
from testbed.dns_loss import is_as_promised, lossy_pods


def pod(uid: str, **fields: Any) -> dict[str, Any]:
    spec = {"hostNetwork": True} if fields.pop("host", False) else {}
    labels = {"k8s-app": fields.pop("app", "web")}
    return {
        "metadata": {"uid": uid, "labels": labels, **fields},
        "spec": spec,
        "status": {"phase": "Running"},
    }


def test_pods_of_the_node_without_dns_replicas() -> None:
    pods = [
        pod("web"),
        pod("proxy", host=True),
        pod("dns", app="kube-dns"),
        pod("going", deletionTimestamp="2026-01-01T00:00:00Z"),
        {**pod("done"), "status": {"phase": "Succeeded"}},
    ]

    assert lossy_pods(pods) == ["web"]
    with pytest.raises(TestbedError):
        lossy_pods(pods[1:])


@pytest.mark.parametrize(
    ("found", "trials", "loss", "promised"),
    [
        (97, 100, 10.0, True),
        (96, 100, 10.0, False),
        (1, 100, 0.1, True),
        (2, 100, 0.1, False),
        (0, 0, 10.0, False),
        (0, 0, 0.1, False),
    ],
)
def test_what_is_promised(found: int, trials: int, loss: float, *, promised: bool) -> None:
    assert is_as_promised(found, trials, loss) is promised

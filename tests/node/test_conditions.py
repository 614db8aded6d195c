"""A node's conditions in the API."""

from __future__ import annotations

import pytest
from msgspec import convert

from wirecheck.node.conditions import is_ready, network_problems, why_not_ready
from wirecheck.snapshot.objects.node import NodeObject

SINCE = "2026-11-23T00:00:00Z"
NOT_READY = "NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized"


def node(*conditions: tuple[str, str, str]) -> NodeObject:
    """A node with conditions, each with type, status and message; the reason is `R`."""
    listed = [
        {"type": kind, "status": status, "reason": "R", "message": text,
         "lastTransitionTime": SINCE}
        for kind, status, text in conditions
    ]  # fmt: skip
    return convert({"metadata": {"name": "n1"}, "status": {"conditions": listed}}, NodeObject)


PRESSURE, STALLED = ("DiskPressure", "False", "enough"), ("Stalled", "False", "no")


@pytest.mark.parametrize(
    ("status", "expected"), [("True", True), ("False", False), ("Unknown", False)]
)
def test_a_node_is_ready_by_its_condition(status: str, expected: bool) -> None:
    assert is_ready(node(PRESSURE, ("Ready", status, ""), STALLED)) is expected


def test_the_reason_is_that_of_the_condition_ready_alone() -> None:
    late = node(STALLED, PRESSURE, ("Ready", "Unknown", ""))

    assert why_not_ready(late) == f"Ready is Unknown (R) since {SINCE}"
    assert why_not_ready(node(STALLED)) == "no Ready condition: kubelet has never reported"


@pytest.mark.parametrize(
    ("condition", "problems"),
    [
        (("NetworkUnavailable", "True", ""), [("NetworkUnavailable", f"True (R) since {SINCE}")]),
        (("NetworkUnavailable", "False", "CalicoIsUp"), []),
        (("NetworkUnavailable", "Unknown", ""), []),
        (("Ready", "False", NOT_READY), [("Ready", NOT_READY)]),
        (("Ready", "True", ""), []),
        (("Stalled", "True", NOT_READY), []),
        (("DiskPressure", "True", "full"), []),
    ],
)
def test_only_conditions_about_the_network_are_its_problems(
    condition: tuple[str, str, str], problems: list[tuple[str, str]]
) -> None:
    assert list(network_problems(node(PRESSURE, condition, STALLED))) == problems

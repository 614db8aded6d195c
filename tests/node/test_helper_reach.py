"""Large messages to the helper pods of the run, and nodes without one."""

from __future__ import annotations

import pytest

from tests.checks.helped_cluster import helped_cluster
from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.helper_reach import ENDED
from wirecheck.snapshot.index import HelperPodsRecord


@pytest.fixture
def helped() -> SmallCluster:
    return helped_cluster()


def keep(small: SmallCluster, purpose: str, number: int) -> None:
    """Keep only the first contacts of the purpose."""
    assert small.document
    kept = [each for each in small.document.contacts or () if each.purpose == purpose][:number]
    small.change_document(contacts=kept)


def test_messages_are_those_of_their_purpose(helped: SmallCluster) -> None:
    reach = helped.node.helpers

    assert len(list(reach.between_nodes)) == len(list(reach.within_node)) == 2
    assert reach.missing == {}


def test_other_nodes_without_a_helper_pod_have_their_reason(helped: SmallCluster) -> None:
    helped.helper_pods = HelperPodsRecord("run-1", {"n1": "", "n2": "", "n3": "No image."})
    assert helped.node.helpers.missing == {"n3": "No image."}

    del helped.api["pods"][-1]
    assert helped.node.helpers.missing == {"n2": ENDED, "n3": "No image."}
    del helped.api["pods"][-1]
    assert helped.node.helpers.missing == {"n2": ENDED, "n3": "No image."}


def test_messages_from_the_node_alone_do_not_prove_the_way_of_pods(helped: SmallCluster) -> None:
    keep(helped, "helper", 1)
    found = iter(helped.node.helpers.between_nodes)

    assert next(found)
    with pytest.raises(FactMissingError, match="No message was sent to or from the helper pod"):
        next(found)


def test_without_messages_nothing_passes(helped: SmallCluster) -> None:
    helped.change_document(contacts=[])

    for name in ("between_nodes", "within_node"):
        with pytest.raises(FactMissingError, match="No message was sent"):
            list(getattr(helped.node.helpers, name))


def test_one_message_within_the_node_is_enough(helped: SmallCluster) -> None:
    keep(helped, "own helper", 1)

    assert len(list(helped.node.helpers.within_node)) == 1


@pytest.mark.parametrize(
    ("nodes", "error", "match"),
    [
        ({"n2": ""}, NotApplicable, "no helper pod was requested"),
        ({"n1": "No image.", "n2": ""}, FactMissingError, r"No image\."),
    ],
)
def test_a_node_without_its_own_helper_pod_is_no_pass(
    helped: SmallCluster, nodes: dict[str, str], error: type[Exception], match: str
) -> None:
    helped.helper_pods = HelperPodsRecord("run-1", nodes)
    helped.api["pods"].pop(-2)
    helped.change_document(contacts=[])

    for name in ("between_nodes", "within_node"):
        with pytest.raises(error, match=match):
            list(getattr(helped.node.helpers, name))


@pytest.mark.parametrize(
    ("nodes", "error", "match"),
    [
        ({"n1": ""}, NotApplicable, "no other node with a helper pod"),
        ({"n1": "", "n2": "No image."}, FactMissingError, r"to connect to\. No image\."),
    ],
)
def test_without_another_helper_pod_nothing_between_nodes_passes(
    helped: SmallCluster, nodes: dict[str, str], error: type[Exception], match: str
) -> None:
    helped.helper_pods = HelperPodsRecord("run-1", nodes)
    helped.api["pods"].pop()
    helped.change_document(contacts=[])

    with pytest.raises(error, match=match):
        list(helped.node.helpers.between_nodes)


def test_a_run_without_helper_pods_sends_nothing(small: SmallCluster) -> None:
    for name in ("between_nodes", "within_node"):
        with pytest.raises(NotApplicable, match="--helper-pods creates them"):
            list(getattr(small.node.helpers, name))

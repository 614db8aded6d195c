"""Helper pods, which wirecheck creates to test connections between nodes.

Checks other than those of these connections ignore them: the verdict on a cluster must not depend
on whether a run created any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wirecheck.api_index.pod import is_ready
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL

NAME = "wirecheck-helper"
"""The value of the name label of every helper pod, of any run."""


def is_helper(pod: PodObject) -> bool:
    """Whether a wirecheck run created the pod."""
    labels = pod.metadata.labels
    return labels.get(NAME_LABEL) == NAME and labels.get(OWNER_LABEL) == OWNER


def without_helpers(pods: Iterable[PodObject]) -> list[PodObject]:
    """All pods except helper pods."""
    return [each for each in pods if not is_helper(each)]


def helpers_of(api: ApiObjects, run: str) -> Mapping[str, PodObject]:
    """The Ready helper pods of one run, by node."""
    return {
        each.spec.node_name: each
        for each in api.pods
        if run
        and is_helper(each)
        and each.metadata.labels.get(RUN_LABEL) == run
        and _is_usable(each)
    }


def addresses_of(pod: PodObject) -> Sequence[str]:
    """The pod's addresses, as the API writes them."""
    return [each.ip for each in pod.status.pod_ips if each.ip]


def _is_usable(pod: PodObject) -> bool:
    return is_ready(pod) and not pod.metadata.deletion_timestamp

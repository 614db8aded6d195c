"""Helper pods as the API shows them: looking connects to them, judging goes by who they are.

They are the run's own tools. Nothing else is asked of them, and no other check looks at them: what
a cluster is found to be must not depend on whether there were any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import is_true
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL

NAME = "wirecheck-helper"
"""The name that labels every helper pod, of whatever run."""


def is_helper(pod: PodObject) -> bool:
    """Whether some run has made it for large messages."""
    labels = pod.metadata.labels
    return labels.get(NAME_LABEL) == NAME and labels.get(OWNER_LABEL) == OWNER


def without_helpers(pods: Iterable[PodObject]) -> list[PodObject]:
    """The cluster's own pods."""
    return [each for each in pods if not is_helper(each)]


def helpers_of(api: ApiObjects, run: str) -> Mapping[str, PodObject]:
    """By node, the helper pods of one run that are Ready."""
    return {
        each.spec.node_name: each
        for each in api.pods
        if run and is_helper(each) and each.metadata.labels.get(RUN_LABEL) == run and _serves(each)
    }


def addresses_of(pod: PodObject) -> Sequence[str]:
    """Its addresses, as the API writes them."""
    return [each.ip for each in pod.status.pod_ips if each.ip]


def _serves(pod: PodObject) -> bool:
    return is_true(pod.status.conditions, "Ready") and not pod.metadata.deletion_timestamp

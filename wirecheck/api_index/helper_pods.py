"""Helper pods, which wirecheck creates to test connections between nodes.

Checks other than those of these connections ignore them: the verdict on a cluster must not depend
on whether a run created any. Anyone who may create a pod can give it the same labels, so they count
only with the id of the run and in the namespace of its helper pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wirecheck.api_index.pod import is_ready
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL

NAME = "wirecheck-helper"
"""The value of the name label of every helper pod, of any run."""


def is_helper(pod: PodObject, run: HelperPodsRecord | None) -> bool:
    """Whether the run created the pod; without a record it created none.

    Recordings of older versions do not have the namespace.
    """
    if run is None:
        return False
    labels, namespace = pod.metadata.labels, pod.metadata.namespace
    return (
        labels.get(RUN_LABEL) == run.run
        and labels.get(NAME_LABEL) == NAME
        and labels.get(OWNER_LABEL) == OWNER
        and run.namespace in ("", namespace)
    )


def without_helpers(pods: Iterable[PodObject], run: HelperPodsRecord | None) -> list[PodObject]:
    """All pods except the helper pods of the run."""
    return [each for each in pods if not is_helper(each, run)]


def helpers_of(api: ApiObjects, run: HelperPodsRecord | None) -> Mapping[str, PodObject]:
    """The Ready helper pods of the run, by node."""
    return {
        each.spec.node_name: each for each in api.pods if is_helper(each, run) and _is_usable(each)
    }


def addresses_of(pod: PodObject) -> Sequence[str]:
    """The pod's addresses, as the API writes them."""
    return [each.ip for each in pod.status.pod_ips if each.ip]


def _is_usable(pod: PodObject) -> bool:
    return is_ready(pod) and not pod.metadata.deletion_timestamp

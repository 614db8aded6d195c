"""The uid by which a node knows a static pod: the annotation of its mirror pod, if it is credible.

Anyone who may create a pod can set annotations. A forged hash would enter every plan, and could
claim the network namespace of another pod.
"""

from __future__ import annotations

import re
from collections import Counter

from msgspec.structs import replace

from wirecheck.api_index.odd_fields import odd_field
from wirecheck.snapshot.api_objects import OddField
from wirecheck.snapshot.objects.pod import PodObject

HASH, MIRROR = "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
UID = re.compile(r"[0-9A-Za-z-]{8,64}")
"""The kubelet's hash of the manifest (32 hexadecimal digits), or the uid in the manifest."""

Claim = tuple[str, str | None]
"""The node of a pod, and the hash that it claims."""


def with_credible_hashes(pods: list[PodObject], odd: list[OddField]) -> list[PodObject]:
    """The pods, without hashes that are not credible; these are noted in `odd`."""
    if not any(HASH in each.metadata.annotations for each in pods):
        return pods
    uids = {each.metadata.uid for each in pods}
    claims = Counter(map(_claim, pods))
    return [each if _is_credible(each, uids, claims) else _without_hash(each, odd) for each in pods]


def _is_credible(pod: PodObject, uids: set[str], claims: Counter[Claim]) -> bool:
    """Whether the kubelet can have set the hash.

    It marks every mirror pod with the same hash. A hash names one pod of a node, and never one of
    the API.
    """
    notes = pod.metadata.annotations
    found = notes.get(HASH)
    if found is None:
        return True
    return (
        notes.get(MIRROR) == found
        and UID.fullmatch(found) is not None
        and claims[_claim(pod)] == 1
        and (found not in uids or found == pod.metadata.uid)
    )


def _claim(pod: PodObject) -> Claim:
    return pod.spec.node_name, pod.metadata.annotations.get(HASH)


def _without_hash(pod: PodObject, odd: list[OddField]) -> PodObject:
    meta = pod.metadata
    field = f"metadata.annotations[{HASH}]"
    odd.append(odd_field("Pod", meta, field, meta.annotations[HASH]))
    kept = {key: value for key, value in meta.annotations.items() if key != HASH}
    return replace(pod, metadata=replace(meta, annotations=kept))

"""Services whose selector matches no pod, although pods with nearly those labels run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.api_index.cluster_dns import ClusterDns
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import selects
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.daemon_set import DaemonSetObject
from wirecheck.snapshot.objects.service import ServiceObject

LEAST_WORD = 5
"""Characters: shorter words that differ in one letter are often two names, such as dev and dex."""

DNS_LABELS: Mapping[str, frozenset[str]] = {
    "k8s-app": frozenset({"kube-dns", "coredns"}),
    "app.kubernetes.io/name": frozenset({"coredns", "kube-dns"}),
    "dns.operator.openshift.io/daemonset-dns": frozenset({"default"}),
}
"""Labels of DNS servers: kubeadm's and most installers', those of charts, OpenShift's."""

GROUPS = frozenset(
    [
        "instance",
        "part-of",
        "managed-by",
        "release",
        "cluster",
        "heritage",
        "chart",
        "team",
        "env",
        "environment",
        "namespace",
        "project",
        "stack",
    ]
)
"""Names of labels that the pods of several workloads share, such as a database and its exporter."""

SEPARATORS = re.compile(r"[-_./]")


@dataclass(frozen=True, slots=True)
class SelectorMismatch:
    """A Service that selects nothing, and a pod that it nearly selects."""

    service: ServiceObject
    pod: Pod
    labels: str
    """The labels of the pod that differ from the selector: `app=web`."""
    is_dns: bool

    @property
    def ref(self) -> Ref:
        meta = self.service.metadata
        return Ref("Service", meta.name, meta.namespace, uid=meta.uid)

    @property
    def selector(self) -> str:
        """`app=web,tier=front`."""
        return _joined(self.service.spec.selector)


def selector_mismatches(
    services: Iterable[ServiceObject],
    pods: Iterable[Pod],
    daemon_sets: Iterable[DaemonSetObject],
    dns: ClusterDns,
) -> Iterator[SelectorMismatch]:
    """Yield the Services without any pod that nearly select a running one.

    A Service is at zero on purpose if a DaemonSet has its labels. Other workloads are not read, so
    a label with an entirely different value proves nothing: it can be that of a workload with no
    replicas.
    """
    by_namespace = grouped((pod.namespace, pod) for pod in pods if not pod.is_terminating)
    daemons = grouped((each.metadata.namespace, each) for each in daemon_sets)
    dns_names = {(each.metadata.namespace, each.metadata.name) for each in dns.services}
    for service in services:
        meta = service.metadata
        there = by_namespace.get(meta.namespace, ())
        if not service.spec.selector or any(selects(service, pod.object) for pod in there):
            continue
        if any(_has(each, service.spec.selector) for each in daemons.get(meta.namespace, ())):
            continue
        is_dns = (meta.namespace, meta.name) in dns_names
        running = sorted((pod for pod in there if pod.is_running), key=lambda pod: pod.ref)
        if found := _nearly_selected(service, running, is_dns=is_dns):
            yield SelectorMismatch(service, *found, is_dns)


def _has(daemon_set: DaemonSetObject, selector: Mapping[str, str]) -> bool:
    return selector.items() <= daemon_set.spec.selector.match_labels.items()


def _nearly_selected(
    service: ServiceObject, pods: Sequence[Pod], *, is_dns: bool
) -> tuple[Pod, str] | None:
    for pod in pods:
        if labels := near_miss(service.spec.selector, pod.object.metadata.labels):
            return pod, labels
    for pod in pods if is_dns else ():
        own = pod.object.metadata.labels
        for key, values in DNS_LABELS.items():
            if own.get(key) in values:
                return pod, f"{key}={own[key]}"
    return None


def near_miss(selector: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """The label that differs, if it is the only one and looks like a mistake; otherwise empty.

    Either the key has a similar value, or another key has the same value.
    """
    missed = [(key, value) for key, value in selector.items() if labels.get(key) != value]
    if len(missed) != 1:
        return ""
    key, wanted = missed[0]
    if key in labels:
        return f"{key}={labels[key]}" if is_similar(wanted, labels[key]) else ""
    others = (
        k
        for k, v in labels.items()
        if v == wanted and len(v) > 1 and k not in selector and _is_group(k) <= _is_group(key)
    )
    other = next((each for each in sorted(others) if _is_a_name(wanted)), "")
    return f"{other}={wanted}" if other else ""


def _is_group(key: str) -> bool:
    """Whether a label names what several workloads belong to, and not one of them."""
    return key.rpartition("/")[2] in GROUPS


def _is_a_name(value: str) -> bool:
    """Whether a value identifies something: `true` and `v1` under another key prove nothing."""
    return value.lower() not in ("true", "false", "default") and not re.fullmatch(
        r"v?\d[\d.]*", value
    )


def is_similar(first: str, second: str) -> bool:
    """Whether two values differ only in case, separators or one mistyped letter."""
    words, others = (SEPARATORS.split(each.lower()) for each in (first, second))
    if "".join(words) == "".join(others):
        return True
    differing = [pair for pair in zip(words, others, strict=False) if pair[0] != pair[1]]
    return len(words) == len(others) and len(differing) == 1 and _is_mistyped(*differing[0])


def _is_mistyped(first: str, second: str) -> bool:
    """Whether one letter was added, left out or replaced, or two neighbours are swapped.

    Digits do not count as mistakes: `web1` and `web2` are two names.
    """
    if min(len(first), len(second)) < LEAST_WORD:
        return False
    if re.findall(r"\d", first) != re.findall(r"\d", second):
        return False
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if at is None:
        return abs(len(first) - len(second)) == 1
    one, other = first[at:], second[at:]
    swapped = one[:2] == other[:2][::-1] and one[2:] == other[2:]
    return swapped or one[1:] == other[1:] or one[1:] == other or one == other[1:]


def _joined(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())

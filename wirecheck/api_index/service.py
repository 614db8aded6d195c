"""What is asked about a Service object itself: its key, its addresses, the pods that it selects."""

from __future__ import annotations

from wirecheck.addresses import api_address
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
"""kube-proxy ignores a Service that has this label."""

ServiceKey = tuple[str, str]
"""Namespace and name of a Service."""


def service_key(service: ServiceObject) -> ServiceKey:
    """The Service's namespace and name."""
    return service.metadata.namespace, service.metadata.name


def cluster_ips(service: ServiceObject) -> tuple[str, ...]:
    """The Service's cluster IPs, in the API's order; none for headless and ExternalName.

    What is not an address is left out: `service_ports` names a Service that has one.
    """
    texts = dict.fromkeys([service.spec.cluster_ip, *service.spec.cluster_ips])
    return tuple(each for each in texts if each not in ("", "None") and api_address(each))


def has_cluster_ip(service: ServiceObject) -> bool:
    """Whether the Service has a cluster IP: neither headless nor ExternalName."""
    return service.spec.cluster_ip not in ("", "None")


def selects(service: ServiceObject, pod: PodObject) -> bool:
    """Whether the Service's selector matches the pod; a Service without one selects nothing."""
    selector = service.spec.selector
    return (
        bool(selector)
        and pod.metadata.namespace == service.metadata.namespace
        and selector.items() <= pod.metadata.labels.items()
    )

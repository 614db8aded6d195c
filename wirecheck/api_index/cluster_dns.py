"""Which Services and pods serve the cluster's DNS.

Collecting sends queries to them, and checks compare the answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wirecheck.api_index.domain_names import is_domain_name
from wirecheck.api_index.pod import is_running
from wirecheck.api_index.service import cluster_ips, has_cluster_ip, selects, service_key
from wirecheck.parse.corefile import cluster_zones, expansion, other_zones, unknown_zones
from wirecheck.parse.corefile_rewrites import rewritten_zones, templated_zones
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

DEFAULT_DOMAIN = "cluster.local"
KNOWN_NAMES = frozenset(
    {("kube-system", "kube-dns"), ("kube-system", "coredns"), ("openshift-dns", "dns-default")}
)
"""Of kubeadm and most other distributions, of k3s before 1.12, of OpenShift."""

NAMING_LABELS = ("k8s-app", "app.kubernetes.io/name")


@dataclass(frozen=True, slots=True)
class ClusterDns:
    """The cluster's DNS as the API shows it. Addresses are text, as in the API."""

    domain: str
    """The domain to query names in: the first that the Corefile serves, or the usual one."""
    zones: tuple[str, ...]
    """Every domain that the Corefile serves; empty if that is not known."""
    services: tuple[ServiceObject, ...]
    replicas: tuple[PodObject, ...]
    """The running pods that the Services select, Ready or not, except terminating ones."""
    answered_otherwise: Mapping[str, str] = field(default_factory=dict)
    """The domains that the Corefile answers for without the API, each with how."""
    config_map: str = ""
    """The ConfigMap that the Corefile was read from; empty if it was not read."""
    is_at_zero: bool = False
    """Whether the Services select no pod at all, not even one that does not run."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The Services' cluster IPs of every family, in the API's order."""
        return tuple(
            dict.fromkeys(address for service in self.services for address in cluster_ips(service))
        )

    @property
    def namespace(self) -> str:
        """The namespace of the DNS; empty without one."""
        return next((each.metadata.namespace for each in self.services), "")

    @property
    def selector(self) -> str:
        """The labels of the replicas, as `kubectl -l` takes them."""
        found = next((each.spec.selector for each in self.services), {})
        return ",".join(f"{key}={value}" for key, value in sorted(found.items()))

    def port_of(self, replica: PodObject, protocol: str) -> int:
        """The port that a replica listens on: the Service's target port, by number or by name."""
        for service in self.services:
            if not selects(service, replica):
                continue
            for port in service.spec.ports:
                if (port.port, port.protocol) == (53, protocol):
                    return _target(replica, port)
        return 53


def _target(replica: PodObject, port: ServicePortSpec) -> int:
    if isinstance(port.target_port, int):
        return port.target_port or port.port
    for container in replica.spec.containers:
        for each in container.ports:
            if (each.name, each.protocol) == (port.target_port, port.protocol):
                return each.container_port
    return port.port


def cluster_dns(api: ApiObjects) -> ClusterDns:
    """Find the DNS Services by label or well-known name, and the pods that they select."""
    usual = tuple(
        service
        for service in api.services
        if service.metadata.namespace in ("kube-system", "openshift-dns") and _is_dns(service)
    )
    # A DNS in another namespace counts only without that: virtual clusters have their own there.
    services = usual or tuple(filter(_is_dns_elsewhere, api.services))
    replicas = {pod.metadata.uid: pod for service in services for pod in _selected(api, service)}
    config_map, corefile = _corefile(api) or ("", "")
    zones = served_zones(corefile)
    return ClusterDns(
        domain=next(iter(zones), DEFAULT_DOMAIN),
        zones=zones,
        services=services,
        replicas=tuple(sorted(replicas.values(), key=lambda pod: pod.metadata.name)),
        answered_otherwise=answered_otherwise(corefile),
        config_map=config_map,
        is_at_zero=not any(selects(each, pod) for each in services for pod in api.pods),
    )


def corefile_in(api: ApiObjects) -> str | None:
    """The Corefile that was read, with its snippets in their places; None if there is none."""
    found = _corefile(api)
    return found[1] if found else None


def _corefile(api: ApiObjects) -> tuple[str, str] | None:
    """(name of the ConfigMap, the Corefile)."""
    for each in api.config_maps:
        if "Corefile" in each.data:
            text = expansion(each.data["Corefile"], {}, "Corefile").text
            return each.metadata.name, text
    return None


def answered_otherwise(corefile: str) -> dict[str, str]:
    """Return the domains that the Corefile answers for without the API, each with how."""
    templates = dict.fromkeys(templated_zones(corefile), "by a template")
    return {**dict.fromkeys(other_zones(corefile), "in a server block of its own"), **templates}


def served_zones(corefile: str) -> tuple[str, ...]:
    """The domains that the Corefile serves, those last that it rewrites to others.

    Empty if a variable of its process has one.
    """
    if unknown_zones(corefile):
        return ()
    zones = dict.fromkeys((*cluster_zones(corefile), *rewritten_zones(corefile)))
    return tuple(each for each in zones if is_domain_name(each))


def _is_dns(service: ServiceObject) -> bool:
    named = service_key(service) in KNOWN_NAMES
    labelled = service.metadata.labels.get("k8s-app") == "kube-dns"
    return (named or labelled) and _serves_dns(service)


def _is_dns_elsewhere(service: ServiceObject) -> bool:
    meta = service.metadata
    words = {meta.name, *(meta.labels.get(label, "") for label in NAMING_LABELS)}
    return bool(words & {name for _, name in KNOWN_NAMES}) and _serves_dns(service)


def _serves_dns(service: ServiceObject) -> bool:
    return any(port.port == 53 for port in service.spec.ports) and has_cluster_ip(service)


def _selected(api: ApiObjects, service: ServiceObject) -> Iterator[PodObject]:
    for pod in api.pods:
        if is_running(pod) and selects(service, pod):
            yield pod

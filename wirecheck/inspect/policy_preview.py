"""Makes the view of what a manifest of NetworkPolicies would change."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.inspect.policy_parts import PeersView, peers_view
from wirecheck.inspect.policy_preview_view import EffectView, PreviewedPolicyView, PreviewView
from wirecheck.inspect.scene import Scene
from wirecheck.model.cluster import Cluster
from wirecheck.policy.isolation import types_of
from wirecheck.policy.manifest import Manifest
from wirecheck.policy.pairs import merged
from wirecheck.policy.peers import Peer, PodClass
from wirecheck.policy.preview import Preview
from wirecheck.policy.reach import Direction
from wirecheck.policy.rules import HOST_NETWORK
from wirecheck.policy.service_backends import ServiceBackends
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject


def preview_view(scene: Scene, manifest: Manifest) -> PreviewView:
    """What the policies of the manifest would change in the cluster."""
    cluster = scene.cluster
    pods = tuple(cluster.pods)
    preview = Preview(cluster.api, pods, manifest.policies, cluster.unread_policies)
    by_name = {(pod.namespace, pod.name): pod for pod in pods}
    backends = ServiceBackends(cluster.services, cluster.slices, by_name, preview.class_of)
    return PreviewView(
        source=scene.source,
        policies=[_policy(preview, each) for each in manifest.policies],
        ignored=dict(manifest.others),
        changes=list(_changes(preview, backends)),
        dns=[_peers(preview, each) for each in _without_dns(preview, cluster)],
        decided=preview.is_decided,
        remaining=list(preview.remaining_doubts),
        undefined=list(dict.fromkeys(_undefined(preview))),
    )


def _policy(preview: Preview, policy: NetworkPolicyObject) -> PreviewedPolicyView:
    meta = policy.metadata
    types = types_of(policy)
    return PreviewedPolicyView(
        namespace=meta.namespace,
        name=meta.name,
        types=[str(each) for each in Direction if each in types],
        action=preview.action(policy),
        selected=[_peers(preview, each) for each in preview.selected(policy)],
    )


def _peers(preview: Preview, peer: Peer) -> PeersView:
    return peers_view(peer, preview.classes, preview.outsides)


def _changes(preview: Preview, backends: ServiceBackends) -> Iterator[EffectView]:
    for sources, targets, effect in merged(preview.effects):
        parts = {"possible": effect.possible, "cut": effect.cut, "inconclusive": effect.unclear}
        yield EffectView(
            sources=[_peers(preview, each) for each in sources],
            targets=[_peers(preview, each) for each in targets],
            possible=str(effect.possible),
            cut=str(effect.cut),
            inconclusive=str(effect.unclear),
            reasons=list(effect.reasons),
            services={
                part: sorted({str(e) for to in targets for e in backends.concerned(to, ports)})
                for part, ports in parts.items()
            },
        )


def _without_dns(preview: Preview, cluster: Cluster) -> list[PodClass]:
    """The classes of pods that can no longer query a replica of the cluster's DNS."""
    ports = {
        (preview.class_of(each), cluster.cluster_dns.port_of(each.object, "UDP"))
        for each in cluster.dns.replicas
    }
    return list(
        dict.fromkeys(
            source
            for source, target, effect in preview.effects
            if isinstance(source, PodClass) and source in preview.classes
            if any(target == replica and effect.cut.has("UDP", port) for replica, port in ports)
        )
    )


def _undefined(preview: Preview) -> Iterator[str]:
    for policy in preview.applied:
        for each in preview.selected(policy):
            if each.on_host_network:
                yield HOST_NETWORK
            for direction in Direction:
                if reason := preview.after.isolation.beside(each, direction)[0]:
                    yield reason

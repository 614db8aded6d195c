"""The fields of a DaemonSet that may enter a snapshot: those that decide on which nodes it runs."""

from __future__ import annotations

from msgspec import field

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata
from wirecheck.snapshot.objects.network_policy import LabelExpression, LabelSelector


class Toleration(ApiStruct, frozen=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class NodeSelectorTerm(ApiStruct, frozen=True):
    match_expressions: list[LabelExpression] = []
    match_fields: list[LabelExpression] = []


class NodeSelector(ApiStruct, frozen=True):
    node_selector_terms: list[NodeSelectorTerm] = []


class NodeAffinity(ApiStruct, frozen=True):
    required: NodeSelector | None = field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(ApiStruct, frozen=True):
    node_affinity: NodeAffinity | None = None


class DaemonPodSpec(ApiStruct, frozen=True):
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: list[Toleration] = []
    host_network: bool = False


class DaemonPodTemplate(ApiStruct, frozen=True):
    spec: DaemonPodSpec = DaemonPodSpec()


class DaemonSetSpec(ApiStruct, frozen=True):
    selector: LabelSelector = LabelSelector()
    template: DaemonPodTemplate = DaemonPodTemplate()


class DaemonSetObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: DaemonSetSpec = DaemonSetSpec()

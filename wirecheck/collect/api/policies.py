"""Policies of other kinds than NetworkPolicy: which are read, and how each writes its selector.

Only the selected pods and the directions are kept. What is not recognised selects everything that
it could select, so that a pod is rather inconclusive than failing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from wirecheck.api_index.policies import ABSENT, READ, UNREADABLE
from wirecheck.collect.api.admin_policies import admin_spec
from wirecheck.collect.api.blocking_policies import can_block
from wirecheck.collect.api.connection import Connection
from wirecheck.collect.api.errors import ApiError, ApiStatusError
from wirecheck.collect.api.resources import Resource
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.network_policy import LabelExpression, LabelSelector
from wirecheck.snapshot.objects.other_policy import OtherPolicyObject, PodChoice

NAMESPACE_NAME = "kubernetes.io/metadata.name"
CALICO_NAME, CALICO_NAMESPACE = "projectcalico.org/name", "projectcalico.org/namespace"
CALICO_LABELS = ("projectcalico.org/", "pcns.", "pcsa.")

GROUPS: Mapping[str, Mapping[str, str]] = {
    "cilium.io": {
        "ciliumnetworkpolicies": "CiliumNetworkPolicy",
        "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
    },
    "crd.projectcalico.org": {
        "networkpolicies": "Calico NetworkPolicy",
        "globalnetworkpolicies": "GlobalNetworkPolicy",
    },
    "policy.networking.k8s.io": {
        "adminnetworkpolicies": "AdminNetworkPolicy",
        "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy",
        "clusternetworkpolicies": "ClusterNetworkPolicy",
    },
    "crd.antrea.io": {
        "networkpolicies": "Antrea NetworkPolicy",
        "clusternetworkpolicies": "Antrea ClusterNetworkPolicy",
    },
    "k8s.ovn.org": {"egressfirewalls": "EgressFirewall"},
}
"""By API group: the kind of each resource. A cluster has the groups of its network plugin."""


OF_ADMINS = "policy.networking.k8s.io"
CALICO_KINDS = frozenset(GROUPS["crd.projectcalico.org"].values())
CILIUM_KINDS = frozenset(GROUPS["cilium.io"].values())


class RawPolicy(Struct, frozen=True):
    """A policy as the API has it."""

    metadata: Metadata
    spec: Any = None
    specs: Any = None


class OddPolicyError(Exception):
    """A cluster-wide policy does not have the form of its kind."""


class _Version(Struct, frozen=True):
    version: str = ""


class _Group(Struct, frozen=True, rename="camel"):
    name: str = ""
    preferred_version: _Version = _Version()


class ApiGroups(Struct, frozen=True):
    """The API groups that the server has."""

    groups: list[_Group] = []

    @property
    def resources(self) -> Iterator[Resource]:
        """The resources of policies in the groups that the server has."""
        for group in self.groups:
            for plural, kind in GROUPS.get(group.name, {}).items():
                yield resource_of(group.name, group.preferred_version.version, plural, kind)


def resource_of(group: str, version: str, plural: str, kind: str) -> Resource:
    """The resource in the version that the server prefers."""
    path = f"/apis/{group}/{version}/{plural}"
    return Resource(
        plural, kind, group, path, RawPolicy, "other_policies", required=False, watched=False
    )


def rules() -> Iterator[str]:
    """The RBAC rules that allow reading them."""
    for group, kinds in GROUPS.items():
        names = ", ".join(f'"{each}"' for each in kinds)
        yield f'{{apiGroups: ["{group}"], resources: [{names}], verbs: ["list"]}}'


def read_policies(
    connection: Connection,
    objects: Callable[[Resource], tuple[Sequence[Any], str]],
    note: Callable[[ApiError], None],
) -> dict[str, Any]:
    """The fields of ApiObjects with these policies, and with the kinds that the cluster has.

    What could not be read is noted, and its kind is unreadable.
    """
    try:
        raw = connection.get("/apis", "the API groups")
        groups = connection.decoded(raw, ApiGroups, "the API groups")
    except ApiError as error:
        if isinstance(error, ApiStatusError) and error.status == 404:
            return {}
        note(error)
        return {"policy_kinds": {"policies of any kind but NetworkPolicy": UNREADABLE}}
    kinds: dict[str, str] = {"any": ABSENT}
    found: list[OtherPolicyObject] = []
    for resource in groups.resources:
        try:
            listed, _ = objects(resource)
        except ApiError as error:
            # The kind is newer or older than the server's version of the group.
            if isinstance(error, ApiStatusError) and error.status == 404:
                continue
            note(error)
            kinds[resource.kind] = UNREADABLE
        else:
            kinds[resource.kind] = READ
            for each in listed:
                try:
                    found.append(projected_policy(each, resource.group, resource.kind))
                except OddPolicyError:
                    kinds[resource.kind] = UNREADABLE
    return {"policy_kinds": kinds, "other_policies": found}


def has_calico(policies: Mapping[str, Any]) -> bool:
    """Whether the server has Calico's API group, by what `read_policies` returned."""
    return not CALICO_KINDS.isdisjoint(policies.get("policy_kinds", ()))


def has_cilium(policies: Mapping[str, Any]) -> bool:
    """Whether the server has Cilium's API group."""
    return not CILIUM_KINDS.isdisjoint(policies.get("policy_kinds", ()))


def projected_policy(raw: RawPolicy, group: str, kind: str) -> OtherPolicyObject:
    """The pods that the policy selects, and the directions of the traffic that it can block.

    A policy that does not have the form of its kind counts as selecting all pods of its namespace.
    Raises OddPolicyError if it has no namespace.
    """
    specs = [each for each in (raw.spec, *_listed(raw.specs)) if each is not None]
    if not all(isinstance(each, Mapping) for each in specs):
        if not raw.metadata.namespace:
            raise OddPolicyError
        return OtherPolicyObject(raw.metadata, kind, [PodChoice()], ["Egress", "Ingress"])
    choices = [each for spec in specs for each in _choices(spec, group)]
    directions = {
        each for spec in specs for each in _directions(spec, group) if can_block(spec, group, each)
    }
    admin = admin_spec(specs[0], kind) if group == OF_ADMINS and len(specs) == 1 else None
    if any(each.is_partial for each in choices):
        admin = None
    return OtherPolicyObject(raw.metadata, kind, choices, sorted(directions), admin)


def _listed(specs: Any) -> Sequence[Any]:
    if specs is None:
        return ()
    return specs if isinstance(specs, list) else [specs]


def _directions(spec: Mapping[str, Any], group: str) -> Iterator[str]:
    types = spec.get("types")
    if isinstance(types, list) and types:
        yield from (each for each in types if each in ("Ingress", "Egress"))
        return
    if group == "k8s.ovn.org":
        yield "Egress"
        return
    for direction in ("Ingress", "Egress"):
        key = direction.lower()
        if spec.get(key) is not None or spec.get(f"{key}Deny") is not None:
            yield direction
    if group == "crd.projectcalico.org" and spec.get("egress") is None:
        # Without types, a Calico policy without egress rules is for ingress.
        yield "Ingress"


def _choices(spec: Mapping[str, Any], group: str) -> Iterator[PodChoice]:
    try:
        yield from _READERS[group](spec)
    except (msgspec.ValidationError, ValueError, TypeError, KeyError, AttributeError):
        yield PodChoice(is_partial=True)


def _of_cilium(spec: Mapping[str, Any]) -> Iterator[PodChoice]:
    """`endpointSelector`; the labels have a source, as in `k8s:app`. Host policies select nodes."""
    if "endpointSelector" not in spec:
        return
    selector = _selector(spec["endpointSelector"])
    pods, namespaces, partial = [], [], False
    for each in _expressions(selector):
        key = re.sub(r"^(k8s|any)[.:]", "", each.key)
        if key == "io.kubernetes.pod.namespace":
            namespaces.append(msgspec.structs.replace(each, key=NAMESPACE_NAME))
        elif key.startswith(("io.cilium.", "io.kubernetes.", "reserved")):
            partial = True
        else:
            pods.append(msgspec.structs.replace(each, key=key))
    yield PodChoice(
        LabelSelector(match_expressions=pods),
        LabelSelector(match_expressions=namespaces) if namespaces else None,
        partial,
    )


def _of_calico(spec: Mapping[str, Any]) -> Iterator[PodChoice]:
    """`selector` and, in a GlobalNetworkPolicy, `namespaceSelector`: texts such as `app == 'a'`."""
    own, partial = calico_selector(str(spec.get("selector") or ""))
    of_namespaces, is_partial_too = calico_selector(str(spec.get("namespaceSelector") or ""))
    names = [each for each in of_namespaces if each.key in (CALICO_NAME, NAMESPACE_NAME)]
    # Calico's own labels of a pod, such as that of its namespace, are not labels in the API.
    names += [each for each in own if each.key == CALICO_NAMESPACE]
    pods = [each for each in own if not each.key.startswith(CALICO_LABELS)]
    by_name = [msgspec.structs.replace(each, key=NAMESPACE_NAME) for each in names]
    yield PodChoice(
        LabelSelector(match_expressions=pods),
        LabelSelector(match_expressions=by_name) if by_name else None,
        partial
        or is_partial_too
        or bool(spec.get("serviceAccountSelector"))
        or len(pods) + len(names) < len(own) + len(of_namespaces),
    )


_TERMS = (
    (re.compile(r"has\(\s*([\w./-]+)\s*\)"), "Exists"),
    (re.compile(r"!\s*has\(\s*([\w./-]+)\s*\)"), "DoesNotExist"),
    (re.compile(r"([\w./-]+)\s*==\s*(.+)"), "In"),
    (re.compile(r"([\w./-]+)\s*!=\s*(.+)"), "NotIn"),
    (re.compile(r"([\w./-]+)\s+in\s*\{(.*)\}"), "In"),
    (re.compile(r"([\w./-]+)\s+not\s+in\s*\{(.*)\}"), "NotIn"),
)
_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")


def calico_selector(text: str) -> tuple[list[LabelExpression], bool]:
    """The expressions of a selector that are all needed, and whether it has more than those.

    A selector with `||`, negated groups or comparisons of parts selects what the rest selects.
    """
    masked = _TEXT.sub(lambda match: "'" * len(match[0]), text)
    if "||" in masked:
        return [], True
    found, partial, start = [], False, 0
    cuts = [match.span() for match in re.finditer("&&", masked)]
    for first, last in [*cuts, (len(text), len(text))]:
        term, start = text[start:first].strip(), last
        if term in ("", "all()"):
            continue
        expression = _calico_term(term)
        partial = partial or expression is None
        found += [expression] if expression else []
    return found, partial


def _calico_term(term: str) -> LabelExpression | None:
    for pattern, operator in _TERMS:
        if match := pattern.fullmatch(term):
            key, *rest = match.groups()
            return LabelExpression(key, operator, _texts(rest))
    return None


def _texts(parts: Iterable[str]) -> list[str]:
    return [each[1:-1] for part in parts for each in _TEXT.findall(part)]


def _of_admin(spec: Mapping[str, Any]) -> Iterator[PodChoice]:
    """`subject`: either `namespaces`, or `pods` with one selector for each."""
    subject = spec["subject"]
    if pods := subject.get("pods"):
        yield PodChoice(_selector(pods["podSelector"]), _selector(pods["namespaceSelector"]))
    else:
        yield PodChoice(namespaces=_selector(subject["namespaces"]))


def _of_antrea(spec: Mapping[str, Any]) -> Iterator[PodChoice]:
    """`appliedTo`, of the policy or of each rule."""
    listed = list(spec.get("appliedTo") or ())
    for direction in ("ingress", "egress"):
        for each in spec.get(direction) or ():
            listed += each.get("appliedTo") or ()
    for each in listed:
        namespaces = each.get("namespaceSelector")
        yield PodChoice(
            _selector(each.get("podSelector") or {}),
            _selector(namespaces) if namespaces is not None else None,
            is_partial=not each.keys() <= {"podSelector", "namespaceSelector"},
        )


def _of_namespace(_spec: Mapping[str, Any]) -> Iterator[PodChoice]:
    yield PodChoice()


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[PodChoice]]] = {
    "cilium.io": _of_cilium,
    "crd.projectcalico.org": _of_calico,
    "policy.networking.k8s.io": _of_admin,
    "crd.antrea.io": _of_antrea,
    "k8s.ovn.org": _of_namespace,
}


def _selector(value: Any) -> LabelSelector:
    return msgspec.convert(value or {}, LabelSelector)


def _expressions(selector: LabelSelector) -> Iterator[LabelExpression]:
    for key, value in selector.match_labels.items():
        yield LabelExpression(key, "In", [value])
    yield from selector.match_expressions

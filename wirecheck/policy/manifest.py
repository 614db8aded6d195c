"""NetworkPolicies and Services from the documents of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from wirecheck.policy.validation import problems_of
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject, NetworkPolicySpec
from wirecheck.snapshot.objects.service import ServiceObject, ServiceSpec
from wirecheck.text import harmless, shortened

API_VERSION, KIND = "networking.k8s.io/v1", "NetworkPolicy"
SERVICE = "Service"


class ManifestError(Exception):
    """The manifest cannot be used: one sentence with the object and the cause."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The policies of a manifest, the number of objects of each other kind, and the Services."""

    policies: tuple[NetworkPolicyObject, ...]
    others: Mapping[str, int]
    services: tuple[ServiceObject, ...] = ()


def policies_in(documents: Sequence[Any], namespace: str = "") -> Manifest:
    """The NetworkPolicies of the documents; `namespace` is that of policies without one.

    Raises ManifestError for a policy that the API server would not accept, for a policy of
    another kind, and if there is no NetworkPolicy.
    """
    found = objects_in(documents, namespace)
    if not found.policies:
        raise ManifestError(f"There is no {KIND} in it.")
    return found


def objects_in(
    documents: Sequence[Any], namespace: str = "", *, with_services: bool = False
) -> Manifest:
    """The NetworkPolicies of the documents, and the Services if they are wanted.

    Policies are read as strictly as the API server does, and of Services the fields that decide
    where they forward to. Raises ManifestError as `policies_in`, and for objects that occur twice.
    """
    found: dict[tuple[str, str, str], NetworkPolicyObject | ServiceObject] = {}
    others: Counter[str] = Counter()
    for place, each in _objects(documents):
        kind = each.get("kind")
        if not isinstance(kind, str) or not kind:
            raise ManifestError(f"{place} has no kind.")
        new: NetworkPolicyObject | ServiceObject
        if kind == KIND and each.get("apiVersion") == API_VERSION:
            new = _policy(place, each, namespace)
        elif with_services and kind == SERVICE and each.get("apiVersion") == "v1":
            new = _service(place, each, namespace)
        elif kind.endswith("Policy"):
            version = _shown(each.get("apiVersion"))
            raise ManifestError(
                f"{place} is a {_shown(kind)} of {version}; only {KIND} of {API_VERSION} can be "
                "previewed."
            )
        else:
            others[_shown(kind)] += 1
            continue
        key = (kind, new.metadata.namespace, new.metadata.name)
        if key in found:
            raise ManifestError(f"{kind} {'/'.join(key[1:])} is there twice.")
        found[key] = new
    return Manifest(
        tuple(each for each in found.values() if isinstance(each, NetworkPolicyObject)),
        dict(others),
        tuple(each for each in found.values() if isinstance(each, ServiceObject)),
    )


def _objects(documents: Sequence[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects with their places. A List has its objects in `items`, as kubectl prints them."""
    for number, document in enumerate(documents, start=1):
        place = f"Document {number}"
        if not isinstance(document, Mapping):
            raise ManifestError(f"{place} is not an object.")
        items = document.get("items")
        if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
            for position, item in enumerate(items, start=1):
                if not isinstance(item, Mapping):
                    raise ManifestError(f"Item {position} of document {number} is not an object.")
                yield f"Item {position} of document {number}", item
        else:
            yield place, document


def _policy(place: str, document: Mapping[str, Any], namespace: str) -> NetworkPolicyObject:
    metadata = _metadata(place, document.get("metadata"), namespace)
    name = f"NetworkPolicy {_shown(metadata.namespace)}/{_shown(metadata.name)}"
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        raise ManifestError(f"{name} has no spec.")
    spec = _without_nulls(spec)
    for field in _unknown_fields(spec, NetworkPolicySpec, "spec"):
        raise ManifestError(f"{name} has the unknown field {_shown(field)}.")
    converted = _converted(name, {"podSelector": {}, **spec}, NetworkPolicySpec)
    policy = NetworkPolicyObject(metadata, converted)
    for problem in problems_of(policy):
        raise ManifestError(f"{name} would not be accepted by the API server: {_shown(problem)}.")
    return policy


def _service(place: str, document: Mapping[str, Any], namespace: str) -> ServiceObject:
    metadata = _metadata(place, document.get("metadata"), namespace, SERVICE)
    name = f"{SERVICE} {_shown(metadata.namespace)}/{_shown(metadata.name)}"
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        raise ManifestError(f"{name} has no spec.")
    return ServiceObject(metadata, _converted(name, _without_nulls(spec), ServiceSpec))


Spec = TypeVar("Spec", NetworkPolicySpec, ServiceSpec)


def _converted(name: str, spec: Mapping[str, Any], kind: type[Spec]) -> Spec:
    try:
        return msgspec.convert(spec, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        what = shortened(str(error).replace("$", "spec", 1), 200)
        raise ManifestError(f"{name} cannot be used: {_shown(what)}.") from None


def _metadata(place: str, found: Any, namespace: str, kind: str = KIND) -> Metadata:
    metadata = found if isinstance(found, Mapping) else {}
    name, own = metadata.get("name"), metadata.get("namespace") or namespace
    if not isinstance(name, str) or not name:
        raise ManifestError(f"{place} has no name.")
    if not isinstance(own, str) or not own:
        raise ManifestError(
            f"{kind} {_shown(name)} has no namespace; add metadata.namespace or use -n."
        )
    if namespace and own != namespace:
        raise ManifestError(
            f"{kind} {_shown(name)} is in namespace {_shown(own)}, not in {namespace}; "
            "leave out -n."
        )
    return Metadata(name, namespace=own)


def _without_nulls(value: Any) -> Any:
    """The value without fields that are null: to the API server they are missing."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def _unknown_fields(value: Any, struct: type[Struct], place: str) -> Iterator[str]:
    """The paths of fields that the types of a policy do not have."""
    hints = get_type_hints(struct)
    known = {each.encode_name: hints[each.name] for each in msgspec.structs.fields(struct)}
    for key, member in value.items():
        path = f"{place}.{key}"
        if key not in known:
            yield path
        elif (inner := _struct_in(known[key])) is not None:
            members = member if isinstance(member, list) else [member]
            for number, each in enumerate(members):
                if isinstance(each, Mapping):
                    at = f"{path}[{number}]" if isinstance(member, list) else path
                    yield from _unknown_fields(each, inner, at)


def _struct_in(hint: Any) -> type[Struct] | None:
    """The struct that a field has: itself, in a list, or optionally."""
    if isinstance(hint, type) and not get_origin(hint) and issubclass(hint, Struct):
        return hint
    if get_origin(hint) is list or isinstance(hint, UnionType):
        return next((s for each in get_args(hint) if (s := _struct_in(each))), None)
    return None


def _shown(value: object) -> str:
    return harmless(shortened(str(value), 120))

"""The fields of a ClusterRole and of its binding that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class PolicyRule(ApiStruct, frozen=True):
    api_groups: list[str] = []
    resources: list[str] = []
    verbs: list[str] = []


class ClusterRoleObject(ApiStruct, frozen=True):
    """Only those of CoreDNS, see `collect/api/resources.py`."""

    metadata: Metadata
    rules: list[PolicyRule] | None = None


class RoleSubject(ApiStruct, frozen=True):
    kind: str
    name: str
    namespace: str = ""


class RoleRef(ApiStruct, frozen=True):
    kind: str = ""
    name: str = ""


class ClusterRoleBindingObject(ApiStruct, frozen=True):
    """Only those of CoreDNS, see `collect/api/resources.py`."""

    metadata: Metadata
    role_ref: RoleRef = RoleRef()
    subjects: list[RoleSubject] | None = None

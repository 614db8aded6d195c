"""Refuses a selection of nodes or namespaces that the cluster does not have."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from wirecheck.evaluation.selection import Selection
from wirecheck.run.request import RequestError
from wirecheck.snapshot.api_objects import ApiObjects


def refuse_unmatched(selection: Selection, objects: ApiObjects) -> None:
    """Raise RequestError for a glob that no node, or no namespace with objects, matches."""
    refuse_unmatched_nodes(selection, [node.metadata.name for node in objects.nodes])
    if selection.namespaces:
        known = {each.metadata.namespace for each in objects.pods}
        known |= {each.metadata.namespace for each in objects.services}
        for glob in selection.namespaces:
            _refuse(glob, known, f"No pod or Service is in a namespace `{glob}`")


def refuse_unmatched_nodes(selection: Selection, names: Collection[str]) -> None:
    """Raise RequestError for a glob that none of the nodes `names` matches."""
    for glob in selection.nodes:
        _refuse(glob, names, f"No node matches `{glob}`")


def _refuse(glob: str, known: Iterable[str], what: str) -> None:
    names = sorted(known)
    if any(fnmatchcase(name, glob) for name in names):
        return
    near = difflib.get_close_matches(glob, names, n=3)
    hint = f"did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else ""
    raise RequestError(f"{what}; {hint or f'there are {len(names):,} others.'}")

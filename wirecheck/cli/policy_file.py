"""Reads the manifests of `wirecheck policy preview` and `wirecheck trace --assume`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wirecheck.parse.errors import ParseError
from wirecheck.parse.plain_yaml import MOST_CHARACTERS, parse_manifests
from wirecheck.policy.manifest import Manifest, ManifestError, objects_in, policies_in
from wirecheck.run.request import RequestError


def read_policies(file: Path, namespace: str) -> Manifest:
    """The policies of the file; `namespace` is that of policies without one.

    Raises RequestError if the file cannot be read or has none that can be evaluated.
    """
    with _named(file):
        return policies_in(_documents(file), namespace)


def read_assumed(file: Path, namespace: str) -> Manifest:
    """The policies and Services of the file, as above; at least one of them."""
    with _named(file):
        found = objects_in(_documents(file), namespace, with_services=True)
        if not found.policies and not found.services:
            raise ManifestError("There is neither a NetworkPolicy nor a Service in it.")
        return found


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """What is wrong with the manifest is reported with the name of its file."""
    try:
        yield
    except ParseError as error:
        raise RequestError(f"{file}: {error}.") from None
    except ManifestError as error:
        raise RequestError(f"{file}: {error}") from None


def _documents(file: Path) -> Sequence[Any]:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise RequestError(f"{file} is not UTF-8 text; name a manifest in YAML or JSON.") from None
    return parse_manifests(text)

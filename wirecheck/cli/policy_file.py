"""Reads the manifest of `wirecheck policy preview`."""

from __future__ import annotations

from pathlib import Path

from wirecheck.parse.errors import ParseError
from wirecheck.parse.plain_yaml import MOST_CHARACTERS, parse_manifests
from wirecheck.policy.manifest import Manifest, ManifestError, policies_in
from wirecheck.run.request import RequestError


def read_policies(file: Path, namespace: str) -> Manifest:
    """The policies of the file; `namespace` is that of policies without one.

    Raises RequestError if the file cannot be read or has none that can be evaluated.
    """
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise RequestError(f"{file} is not UTF-8 text; name a manifest in YAML or JSON.") from None
    try:
        return policies_in(parse_manifests(text), namespace)
    except ParseError as error:
        raise RequestError(f"{file}: {error}.") from None
    except ManifestError as error:
        raise RequestError(f"{file}: {error}") from None

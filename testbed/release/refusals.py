"""Why a commit cannot be released as it is: sentences with the cause and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.release.source import Published, Source

_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_SHOWN = 5
"""Changed files that a refusal names."""


def refusals(source: Source, published: Published, base_image: str | None) -> list[str]:
    """Return every reason at once. `base_image` is None if no image is asked for."""
    return [
        *_of_the_tree(source),
        *_of_the_version(source, published),
        *_of_the_names(published),
        *_of_the_base(base_image),
    ]


def _of_the_tree(source: Source) -> Iterator[str]:
    if source.changed:
        shown = ", ".join(source.changed[:_SHOWN])
        more = len(source.changed) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        yield (
            f"The checkout differs from commit {source.commit[:12]}: {shown}{rest}. "
            "Commit or remove these files."
        )


def _of_the_version(source: Source, published: Published) -> Iterator[str]:
    versions = source.versions
    if len(versions) != 1:
        found = ", ".join(source.tags) or "none"
        yield (
            f"Commit {source.commit[:12]} needs exactly one tag such as "
            f"v{published.package_version}; its tags: {found}. "
            f"Tag it: git tag --sign v{published.package_version}"
        )
        return
    (version,) = versions
    for where, stated in (
        ("pyproject.toml", published.package_version),
        ("wirecheck/__init__.py", published.code_version),
    ):
        if stated != version:
            yield (
                f"The tag names version {version}, {where} has {stated or 'none'}. "
                "Change the file, commit, and tag that commit."
            )
    if version not in published.changelog:
        yield (
            f"CHANGELOG.md has no section for {version}. "
            f"Move the entries of Unreleased to `## {version} - DATE`."
        )


def _of_the_names(published: Published) -> Iterator[str]:
    if published.placeholders:
        yield (
            "publishing.toml has placeholders: nothing can be published at "
            f"{published.repository} or as {published.image}. Enter the real names and set "
            "`placeholders = false`."
        )


def _of_the_base(base_image: str | None) -> Iterator[str]:
    if base_image is not None and not _DIGEST.fullmatch(base_image):
        yield (
            f"The base image {base_image} is not named by its digest, so the tag could be moved to "
            "another image. Find the digest with `docker buildx imagetools inspect "
            f"{base_image.partition('@')[0]}` and enter NAME@sha256:… as `base_image` in "
            "publishing.toml."
        )

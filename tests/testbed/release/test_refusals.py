"""What may not be released, and that every reason is reported at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.release.refusals import refusals
from testbed.release.source import Published, Source

DIGEST = "sha256:" + 64 * "a"
BASE = f"debian:trixie-slim@{DIGEST}"
SOURCE = Source(commit=40 * "c", time=1_790_000_000, tags=("v0.2.0",))
PUBLISHED = Published(
    placeholders=False,
    repository="https://git.real.test/owner/wirecheck",
    image="registry.real.test/wirecheck",
    base_image=BASE,
    package_version="0.2.0",
    code_version="0.2.0",
    changelog=("Unreleased", "0.2.0", "0.1.0"),
)


def test_a_tagged_commit_with_real_names_and_a_digest_is_released() -> None:
    assert refusals(SOURCE, PUBLISHED, BASE) == []
    assert refusals(replace(SOURCE, tags=("v0.2.0", "nightly")), PUBLISHED, BASE) == []


def test_placeholders_are_refused() -> None:
    (reason,) = refusals(SOURCE, replace(PUBLISHED, placeholders=True), BASE)

    assert "publishing.toml" in reason
    assert "registry.real.test/wirecheck" in reason


def test_a_changed_file_is_refused_and_named() -> None:
    changed = tuple(f"file-{number}" for number in range(7))
    (reason,) = refusals(replace(SOURCE, changed=changed), PUBLISHED, BASE)

    assert "file-0, file-1" in reason
    assert "and 2 more" in reason
    assert "file-6" not in reason


@pytest.mark.parametrize(
    "tags",
    [
        (),
        ("nightly",),
        ("0.2.0",),
        ("v0.2",),
        ("v0.2.0-dirty",),
        ("v0.2.0", "v0.2.1"),
        ("xv0.2.0",),
    ],
)
def test_a_commit_without_exactly_one_version_is_refused(tags: tuple[str, ...]) -> None:
    (reason,) = refusals(replace(SOURCE, tags=tags), PUBLISHED, BASE)

    assert "exactly one tag" in reason
    assert (", ".join(tags) or "none") in reason
    assert "git tag --sign v0.2.0" in reason


@pytest.mark.parametrize("tag", ["v0.2.0rc1", "v1.0.0b2", "v10.20.30"])
def test_tags_of_versions_before_and_after_are_versions(tag: str) -> None:
    version = tag.removeprefix("v")
    published = replace(
        PUBLISHED, package_version=version, code_version=version, changelog=(version,)
    )

    assert refusals(replace(SOURCE, tags=(tag,)), published, BASE) == []


@pytest.mark.parametrize(
    ("change", "file"),
    [
        ({"package_version": "0.1.0"}, "pyproject.toml has 0.1.0"),
        ({"code_version": "0.1.0"}, "wirecheck/__init__.py has 0.1.0"),
        ({"code_version": ""}, "wirecheck/__init__.py has none"),
        ({"changelog": ("Unreleased", "0.1.0")}, "CHANGELOG.md has no section for 0.2.0"),
    ],
)
def test_a_file_with_another_version_is_refused(change: dict[str, object], file: str) -> None:
    (reason,) = refusals(SOURCE, replace(PUBLISHED, **change), BASE)  # type: ignore[arg-type]

    assert file in reason


@pytest.mark.parametrize(
    "base",
    [
        "debian:trixie-slim",
        "debian@sha256:" + 63 * "a",
        "debian@sha256:" + 64 * "A",
        "debian@sha512:" + 64 * "a",
        f"@{DIGEST}",
        f"debian:trixie-slim@{DIGEST} --privileged",
        "",
    ],
)
def test_a_base_without_its_digest_is_refused(base: str) -> None:
    (reason,) = refusals(SOURCE, PUBLISHED, base)

    assert "is not named by its digest" in reason
    assert "docker buildx imagetools inspect" in reason


def test_no_base_is_needed_without_an_image() -> None:
    assert refusals(SOURCE, replace(PUBLISHED, base_image="debian:trixie-slim"), None) == []


def test_all_reasons_are_reported_at_once() -> None:
    source = replace(SOURCE, tags=(), changed=("README.md",))
    found = refusals(source, replace(PUBLISHED, placeholders=True), "debian:trixie-slim")

    assert len(found) == 4

"""What contributors find: pages, templates and hooks, and one file for every name and address."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PUBLISHING = tomllib.loads((ROOT / "publishing.toml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = [
    ROOT / name
    for name in (
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
        "CHANGELOG.md",
        "deploy/README.md",
        ".github/pull_request_template.md",
    )
]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
MAKE = re.compile(r"(?:`|^\$ )make ([a-z-]+)", re.MULTILINE)
CODE = re.compile(r"`([^`\s]+/[^`\s]*)`")

RESERVED = (".example", ".invalid", ".test")
"""Top-level domains that nobody can own (RFC 2606)."""

SHIPPED = (
    *("docs", "deploy", "ci", "templates", "inventories", "examples"),
    *(".github", "wirecheck", "checks"),
)
"""What users read or copy. Tests and the test cluster have names of their own."""

# An address with a scheme is a page and not an image.
IMAGE = re.compile(
    r"(?<![\w/.-])((?:[\w-]+\.)+[\w-]+(?::\d+)?(?:/[\w-]+)*/wirecheck)(?::([\w.-]+))?"
)
UNQUALIFIED = re.compile(r"(?:image:|value:|=)\s*(wirecheck)(?::([\w.-]+))?\s*$", re.MULTILINE)
WHEEL = re.compile(r"wirecheck-([\w.]+)-py3-none-any\.whl")
BY_NAME = re.compile(
    r"(?:pipx?|uv(?: tool)?)\s+(?:install|run|wheel|download)\s+(?:--?\S+\s+)*"
    r"['\"]?wirecheck(?![\w/.-])|\buvx\s+(?:--?\S+\s+)*wirecheck\b"
    r"|\bWIRECHECK\s*[:=]\s*['\"]?wirecheck\b"
)
"""Installing from a registry, by the name of the project."""
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def shipped() -> Iterator[Path]:
    """Yield every text that users read or copy."""
    yield from ROOT.glob("*.md")
    yield ROOT / "action.yml"
    for folder in SHIPPED:
        for path in sorted((ROOT / folder).rglob("*")):
            if (
                path.suffix in {".md", ".yml", ".yaml", ".tpl", ".txt", ".py", ".toml", ""}
                and path.is_file()
            ):
                yield path


def text_of(path: Path) -> str:
    return path.read_text(errors="replace")


def host_of(value: str) -> str:
    if "://" in value:
        return urlsplit(value).hostname or ""
    return value.rpartition("@")[2].partition("/")[0]


def test_values_are_placeholders_exactly_as_long_as_the_file_says_so():
    contacts = ("security_contact", "conduct_contact", "signing_identity", "signing_issuer")
    for name in ("repository", "documentation", "image", *contacts):
        reserved = host_of(PUBLISHING[name]).endswith(RESERVED)
        assert reserved == PUBLISHING["placeholders"], name
    assert PUBLISHING["owner"].startswith("example-") == PUBLISHING["placeholders"]
    assert f"/{PUBLISHING['owner']}/" in PUBLISHING["repository"]


def test_the_package_names_the_addresses_of_the_file():
    repository, branch = PUBLISHING["repository"], PUBLISHING["branch"]

    assert PROJECT["urls"] == {
        "Homepage": repository,
        "Documentation": PUBLISHING["documentation"],
        "Changelog": f"{repository}/blob/{branch}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Source": repository,
    }


def test_the_image_has_the_name_of_the_file_and_the_version_of_the_package():
    found = {
        (str(path.relative_to(ROOT)), name, tag)
        for path in shipped()
        for name, tag in IMAGE.findall(text_of(path))
    }

    assert len({path for path, _, _ in found}) >= 3
    assert {name for _, name, _ in found} == {PUBLISHING["image"]}, found
    assert {tag for _, _, tag in found} == {PROJECT["version"]}, found


def test_the_dockerfile_builds_on_the_base_image_of_the_file():
    """A release takes it from there with its digest; the default is for builds of one's own."""
    default = re.search(r"^ARG BASE=(\S+)$", text_of(ROOT / "deploy/Dockerfile"), re.MULTILINE)

    assert default
    assert PUBLISHING["base_image"].partition("@")[0] == default[1]
    assert ("@sha256:" in PUBLISHING["base_image"]) != PUBLISHING["placeholders"]


def test_a_release_is_verified_by_the_identity_of_the_file():
    text = re.sub(r"\\\n\s*", "", text_of(ROOT / "docs/releasing.md"))
    calls = [line for line in text.splitlines() if line.startswith("cosign verify")]

    assert len(calls) == 2
    for call in calls:
        assert f"--certificate-identity {PUBLISHING['signing_identity']} " in call
        assert call.endswith(f"--certificate-oidc-issuer {PUBLISHING['signing_issuer']}")


def test_an_image_without_a_registry_has_no_tag():
    """`kustomize edit set image` replaces `wirecheck` alone; with a tag it would be pulled."""
    tagged = [
        f"{path.relative_to(ROOT)}: {name}:{tag}"
        for path in shipped()
        for name, tag in UNQUALIFIED.findall(text_of(path))
        if tag
    ]

    assert tagged == []


def test_every_address_of_a_person_is_one_of_the_file():
    ours = {PUBLISHING["security_contact"], PUBLISHING["conduct_contact"]}
    shown = {page.name: set(ADDRESS.findall(text_of(page))) for page in PAGES + FORMS}

    assert {name: found for name, found in shown.items() if found} == {
        "SECURITY.md": {PUBLISHING["security_contact"]},
        "CODE_OF_CONDUCT.md": {PUBLISHING["conduct_contact"]},
    }
    assert len(ours) == 2


@pytest.mark.parametrize(
    ("text", "is_by_name"),
    [
        ("pip install wirecheck", True),
        ("pip install --quiet 'wirecheck[mcp]'", True),
        ("pipx install wirecheck==0.1.0", True),
        ("uv tool install wirecheck", True),
        ("uvx wirecheck demo", True),
        ("WIRECHECK: wirecheck", True),
        ("pip install .", False),
        ("pip install '.[ansible]'", False),
        ('pip install "$WIRECHECK"', False),
        ("pipx install ./wheels/wirecheck-0.1.0-py3-none-any.whl", False),
        ("pip install wirecheck-0.1.0-py3-none-any.whl", False),
    ],
)
def test_an_installation_by_name_is_noticed(text: str, is_by_name: bool):
    assert bool(BY_NAME.search(text)) == is_by_name


def test_nothing_is_installed_by_a_name_that_is_not_published():
    """As long as the name is free, anybody could publish something else under it."""
    if not PUBLISHING["placeholders"]:
        return
    by_name = {
        str(path.relative_to(ROOT)): found
        for path in shipped()
        # What is in the package advises people who have installed it: pip keeps that.
        if path.suffix != ".py"
        if (found := BY_NAME.findall(text_of(path)))
    }

    assert by_name == {}


def test_a_wheel_that_is_named_is_the_one_of_this_version():
    found = {
        (str(path.relative_to(ROOT)), version)
        for path in shipped()
        for version in WHEEL.findall(text_of(path))
    }

    assert len(found) >= 5
    assert {version for _, version in found} == {PROJECT["version"]}, found


def test_nothing_else_names_the_repository_the_site_or_the_owner():
    allowed = {"publishing.toml", "pyproject.toml", "config.yml"}
    values = (host_of(PUBLISHING["repository"]), host_of(PUBLISHING["documentation"]))
    naming = {
        path.name
        for path in [*shipped(), ROOT / "pyproject.toml", ROOT / "mkdocs.yml"]
        if any(value in text_of(path) for value in (*values, PUBLISHING["owner"]))
    }

    assert naming <= allowed


def test_the_links_beside_the_issue_forms_are_those_of_the_file():
    config = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text())
    repository, branch = PUBLISHING["repository"], PUBLISHING["branch"]

    assert [link["url"] for link in config["contact_links"]] == [
        f"{repository}/blob/{branch}/SECURITY.md",
        PUBLISHING["documentation"],
    ]


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_github_would_take_the_issue_forms(form: Path, tmp_path: Path):
    kind = "github-issue-config" if form.name == "config.yml" else "github-issue-forms"
    broken = tmp_path / form.name
    broken.write_text(form.read_text().replace("about:", "abuot:").replace("body:", "bdoy:"))
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}"]

    good, bad = (
        subprocess.run([*check, each], capture_output=True, text=True, timeout=120, check=False)
        for each in (form, broken)
    )

    assert good.returncode == 0, good.stdout
    assert bad.returncode == 1


def test_every_hook_calls_a_make_target_and_fetches_nothing():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    makefile = (ROOT / "Makefile").read_text()
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]

    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert [hook["id"] for hook in hooks] == ["lint", "types", "test"]
    for hook in hooks:
        program, *_, target = hook["entry"].split()
        assert (program, hook["language"]) == ("make", "system")
        assert hook["pass_filenames"] is False
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_targets_exist(page: Path):
    text = page.read_text()
    makefile = (ROOT / "Makefile").read_text()

    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []
    assert [name for name in MAKE.findall(text) if f"\n{name}:" not in makefile] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_folders_that_are_named_exist(name: str):
    places = {each.partition("*")[0] for each in CODE.findall((ROOT / name).read_text())}
    ours = {each for each in places if not each.startswith(("~", "pods/", "nodes/"))}

    assert ours
    assert [each for each in ours if not (ROOT / each).exists()] == []


def test_the_changelog_has_a_section_for_each_version_with_known_headings():
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

    assert versions[0] == "Unreleased"
    assert PROJECT["version"] in [version.partition(" ")[0] for version in versions]
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_coverage_is_measured_by_branches_and_by_test():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
    recipe = (ROOT / "Makefile").read_text().partition("\ncoverage:")[2].partition("\n\n")[0]

    assert options["branch"] is True
    assert options["source"] == ["wirecheck", "checks"]
    assert "--cov-context=test" in recipe
    # In the cache, so that the checkout stays clean.
    assert "COVERAGE_FILE=$(CACHE)" in recipe
    assert "html:$(CACHE)" in recipe


def test_ci_builds_the_site():
    assert "make docs" in (ROOT / ".ci/run").read_text()

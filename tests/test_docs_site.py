"""The documentation site builds without a warning, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed (dependency group `docs`)")

from testbed.docs_site import ADDED, publishing, rewritten

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel="?(?:stylesheet|preload|preconnect))[^>]*\bhref="?(?:https?:)?//"""
    r"""|@import|url\(["']?(?:https?:)?//"""
)
REPOSITORY = re.compile(r'href="?([^"\s>]+)')


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        # The theme advertises its successor otherwise.
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    ended = build(ROOT, folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_every_page_is_on_the_site(site: Path):
    pages = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    pages |= {Path(name) for name in ADDED.values()}
    built = {page.relative_to(site).parent for page in site.rglob("index.html")}

    # README.md and index.md are the page of their folder.
    expected = {p.parent if p.stem in ("README", "index") else p.with_suffix("") for p in pages}
    assert expected == built
    assert "wirecheck" in (site / "index.html").read_text()


def test_no_page_loads_anything_from_elsewhere(site: Path):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]

    assert len(pages) > 50
    assert [str(page) for page in pages if LOADED.search(page.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js">',
        "<img src=//cdn.example/x.png>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        "@font-face {src: url(https://fonts.example/x.woff2)}",
    ],
)
def test_loading_from_elsewhere_is_noticed(text: str):
    assert LOADED.search(text)


def test_links_into_the_repository_lead_to_files_that_exist(site: Path):
    base = f"{publishing()['repository']}/"
    links = {
        link
        for page in site.rglob("*.html")
        for link in REPOSITORY.findall(page.read_text())
        if link.startswith(base)
    }
    paths = {link.removeprefix(base).partition("#")[0].rstrip("/") for link in links} - {""}

    assert len(paths) > 10
    for path in paths:
        kind, branch, file = path.split("/", 2)
        assert branch == publishing()["branch"]
        assert (ROOT / file).is_dir() if kind == "tree" else (ROOT / file).is_file(), path


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("[page](no-such-page.md)", "no-such-page.md"),
        ("[file](../no-such-file)", "../no-such-file"),
        ("[part](gates.md#no-such-part)", "no-such-part"),
    ],
)
def test_a_broken_link_is_an_error(tmp_path: Path, text: str, target: str):
    (tmp_path / "docs").mkdir()
    (tmp_path / "testbed").mkdir()
    for name in ("mkdocs.yml", "publishing.toml", "testbed/docs_site.py", *ADDED):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ADDED:
        (tmp_path / name).write_text("# Page\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(config.read_text().partition("\nnav:")[0] + "\nnav: [index.md, gates.md]\n")
    config.write_text(config.read_text().replace("omitted_files: warn", "omitted_files: ignore"))
    (tmp_path / "docs/gates.md").write_text(f"# Gates\n\n{text}\n")

    ended = build(tmp_path, tmp_path / "site")

    # Nothing else is wrong with these pages.
    assert ended.returncode == 1
    assert [target in line for line in ended.stderr.splitlines() if "WARNING" in line] == [True]


def test_links_are_rewritten_for_the_page_that_they_are_on():
    outside = f"{publishing()['repository']}/blob/{publishing()['branch']}/Makefile"

    assert rewritten("[a](docs/gates.md#x)", "index.md") == "[a](gates.md#x)"
    assert rewritten('<img src="docs/report.png">', "index.md") == '<img src="report.png">'
    assert rewritten("[a](../gates.md)", "checks/README.md") == "[a](../gates.md)"
    assert rewritten("[a](../README.md)", "gates.md") == "[a](index.md)"
    assert rewritten("[a](../../SECURITY.md)", "checks/README.md") == "[a](../security.md)"
    assert rewritten("[a](../Makefile)", "gates.md") == f"[a]({outside})"
    assert rewritten("[a]: ../Makefile", "gates.md") == f"[a]: {outside}"


def test_what_is_no_link_to_a_file_stays():
    for text in (
        "[a](https://example.com/x)",
        "[a](#part)",
        "```text\n[a](../Makefile)\n```\n",
        "[a](../no-such-file)",
    ):
        assert rewritten(text, "gates.md") == text

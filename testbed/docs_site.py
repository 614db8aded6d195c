"""The hook that makes one set of Markdown files work on the site as well as in the repository.

mkdocs loads it by its path (see mkdocs.yml). README.md becomes the front page, other pages of the
repository's top level join the site, and links to any other file point to the repository. Owner and
addresses come from publishing.toml.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ADDED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository's top level, and their names on the site."""

CHECKS = "checks/README.md"
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"""(?P<before>\]\(|^\[[^\]]+\]:[ ]|(?:src|href|srcset)=")"""
    r"""(?!\w+:|\#|/)(?P<path>[^)\s"#]+)(?P<anchor>\#[^)\s"]*)?""",
    re.MULTILINE,
)


def publishing() -> dict[str, Any]:
    """Return the values of publishing.toml."""
    return tomllib.loads((ROOT / "publishing.toml").read_text())


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Enter the addresses, and the check pages into the navigation."""
    values = publishing()
    config.site_url = values["documentation"]
    config.repo_url = values["repository"]
    nav = config.nav or []
    config.nav = [
        {"Checks": check_pages(Path(config.docs_dir))} if each == "CHECKS" else each for each in nav
    ]
    return config


def check_pages(docs: Path) -> list[Any]:
    """Return the navigation of the generated check pages, group by group."""
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for page in sorted(docs.glob("checks/*.*.md")):
        group, _, name = page.stem.partition(".")
        groups[group].append({name: f"checks/{page.name}"})
    return [CHECKS, *({group: pages} for group, pages in groups.items())]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's top level."""
    for source, name in ADDED.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite the links of a page for the site, and add the list of checks to theirs."""
    name = page.file.src_uri
    if name == CHECKS:
        markdown = f"{markdown}\n{check_list(ROOT / 'docs')}"
    return rewritten(markdown, name)


def check_list(docs: Path) -> str:
    """Return a table of all check pages. In the repository, the folder itself is the list."""
    rows = ["## All checks", "", "| check | assertion |", "|---|---|"]
    for page in sorted(docs.glob("checks/*.*.md")):
        found = re.search(r"^\*\*(.+)\*\*$", page.read_text(), re.MULTILINE)
        rows.append(f"| [{page.stem}]({page.name}) | {found[1] if found else ''} |")
    return "\n".join(rows)


def rewritten(markdown: str, name: str) -> str:
    """Return the text with its links as they must be in the page of that name on the site."""
    sources = {name: source for source, name in ADDED.items()}
    source = sources.get(name, f"docs/{name}")

    def replace(link: re.Match[str]) -> str:
        return f"{link['before']}{_target(link['path'], source, name)}{link['anchor'] or ''}"

    parts = _FENCED.split(markdown)
    return "".join(part if n % 2 else _LINK.sub(replace, part) for n, part in enumerate(parts))


def _target(path: str, source: str, page: str) -> str:
    """Return where a link of a file of the repository leads on the site.

    A link to a file that does not exist stays as it is, and mkdocs complains about it.
    """
    target = os.path.normpath(f"{Path(source).parent}/{path}")
    if target.startswith("docs/"):
        return _relative(target.removeprefix("docs/"), page)
    if target in ADDED:
        return _relative(ADDED[target], page)
    if not (ROOT / target).exists():
        return path
    values = publishing()
    kind = "tree" if (ROOT / target).is_dir() else "blob"
    return f"{values['repository']}/{kind}/{values['branch']}/{target}"


def _relative(target: str, page: str) -> str:
    return os.path.relpath(target, Path(page).parent)

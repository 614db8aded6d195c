"""A page as a real browser sees it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=20000",
)


def opened(page: Path, fragment: str, profile: Path, *flags: str) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what they and the browser complained about."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    run = subprocess.run(
        [
            browser,
            *FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            "--dump-dom",
            f"{page.as_uri()}{fragment}",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return run.stdout, re.findall(r"CONSOLE.*", run.stderr)

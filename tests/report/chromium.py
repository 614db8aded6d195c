"""A page as a real browser sees it."""

import re
import subprocess
from pathlib import Path

from tests.needs import PROGRAMS, find, need

(BROWSER,) = PROGRAMS["browser"]
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
    need("browser")
    run = subprocess.run(
        [
            str(find(BROWSER)),
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

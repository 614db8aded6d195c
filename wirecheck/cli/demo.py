"""Recorded clusters that come with the package, to try wirecheck without a cluster."""

from __future__ import annotations

from pathlib import Path

from wirecheck.run.request import RequestError
from wirecheck.snapshot.folder import INDEX

CLUSTERS = ("broken", "healthy")
FOLDER = Path(__file__).parents[1] / "recorded"


def recorded(name: str) -> Path:
    """The snapshot of a recorded cluster. Raises RequestError where it was not installed."""
    folder = FOLDER / name
    if not (folder / INDEX).is_file():
        raise RequestError(
            f"The recorded cluster {folder} is missing from this installation. Reinstall "
            "wirecheck, or evaluate a snapshot of your own with `wirecheck run --snapshot`."
        )
    return folder

"""`--target-version 1.40`: the version of Kubernetes of the next upgrade."""

from __future__ import annotations

import re


def read_target_version(text: str) -> str:
    """Read `1.40`, `v1.40` or `1.40.2`. Raises ValueError with a sentence."""
    if not re.fullmatch(r"v?1\.\d{1,3}(\.\d{1,3})?", text):
        raise ValueError(f"{text!r} is not a version of Kubernetes; write 1.40.")
    return text

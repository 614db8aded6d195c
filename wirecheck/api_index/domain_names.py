"""Which texts are domain names that can be queried (RFC 1035, 2.3.4)."""

from __future__ import annotations

import re

LONGEST = 253
_NAME = re.compile(r"(?:[A-Za-z0-9_*-]{1,63}\.)*[A-Za-z0-9_*-]{1,63}\.?")


def is_domain_name(text: str) -> bool:
    """Whether a DNS query can contain the name: the lengths, and characters without a meaning."""
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None

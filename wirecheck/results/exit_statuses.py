"""The exit statuses of every command, as docs/gates.md lists them."""

from __future__ import annotations

HEALTHY, FAILED, INCOMPLETE, INTERNAL_ERROR, USAGE, NOTHING_TO_DO = range(6)

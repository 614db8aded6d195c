"""The names of the report formats, for `--help` and completion: their modules are not loaded.

`registry.FORMATS` and `webhook.CHATS` have the formats themselves; a test compares them.
"""

from __future__ import annotations

PAGE_FORMATS = ("text", "json", "html")
"""Those of commands that print text, JSON or a page."""
CHAT_NAMES = ("webhook", "slack", "teams")
FORMAT_NAMES = (
    "html",
    "junit",
    "jsonl",
    "markdown",
    "nagios",
    "prometheus",
    "sonobuoy",
    *CHAT_NAMES,
)

"""A message for Microsoft Teams: an Adaptive Card, as Workflows post it to a channel.

The template "Post to a channel when a webhook request is received" takes it. Connectors and their
MessageCard, the former way, are retired.
"""

from __future__ import annotations

import json
from typing import Any

from wirecheck.report.message import WORDS, with_report

VERSION = "1.4"
"""The version of Adaptive Cards that Teams shows on desktops and phones."""

LARGEST = 28_000
"""Bytes that Teams accepts."""

STYLES = {
    WORDS["fail"]: "attention",
    WORDS["error"]: "warning",
    WORDS["flaky"]: "warning",
    WORDS["warn"]: "warning",
    WORDS["pass"]: "good",
}
"""By the first word of the message."""


def body(text: str, page: str = "") -> str:
    """The document to post."""
    title, *lines = with_report(text, page)
    word = title.partition(" ")[0]
    style = STYLES.get(word, "accent")
    heading = {
        "type": "Container",
        "style": style,
        "bleed": True,
        "items": [_text(title, size="Large", weight="Bolder")],
    }
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": VERSION,
        "fallbackText": title,
        "msteams": {"width": "Full"},
        "body": [heading, *(_text(line) for line in lines)],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return json.dumps({"type": "message", "attachments": [attachment]}, ensure_ascii=False)


def _text(line: str, **look: str) -> dict[str, Any]:
    """One line. A TextBlock would make links of names, as it reads Markdown; a TextRun does not."""
    run = {"type": "TextRun", "text": line, **look}
    return {"type": "RichTextBlock", "inlines": [run]}

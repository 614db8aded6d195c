"""A message for Slack's incoming webhooks, in blocks within their limits of length.

Slack refuses the complete message if one of its texts is too long.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wirecheck.report.message import escaped_for_slack, with_report
from wirecheck.text import shortened

LONGEST_HEADER = 150
LONGEST_TEXT = 3000
MOST_BLOCKS = 50


def body(text: str, page: str = "") -> str:
    """The document to post. Its `text` is what notifications show, and old clients."""
    title, *lines = with_report(text, page)
    blocks = [_header(title), *map(_section, lines[: MOST_BLOCKS - 1])]
    plain = "\n".join(map(escaped_for_slack, [title, *lines])).replace("@", "(at)")
    return json.dumps({"text": plain, "blocks": blocks}, ensure_ascii=False)


def _header(title: str) -> dict[str, Any]:
    # Slack does not document whether entities are decoded in plain text.
    harmless = re.sub("[<>&]", "_", title)
    if len(harmless) > LONGEST_HEADER:
        harmless = f"{harmless[: LONGEST_HEADER - 1]}…"
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": harmless or "wirecheck", "emoji": False},
    }


def _section(line: str) -> dict[str, Any]:
    """One line. With `verbatim`, Slack makes no links or mentions of plain text."""
    # An entity of five characters stands for one.
    text = escaped_for_slack(shortened(line, LONGEST_TEXT // 5 - 50)).replace("`", "'")
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}

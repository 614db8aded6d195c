"""All report formats. A new format needs its module and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from wirecheck.report import (
    html,
    junit,
    markdown,
    message,
    nagios,
    prometheus,
    sonobuoy,
    webhook,
)
from wirecheck.report.format import Format
from wirecheck.results import jsonl

_ALL = (
    Format("html", html.render),
    Format("junit", junit.render),
    Format("jsonl", jsonl.render),
    Format("markdown", markdown.render),
    Format(
        "nagios",
        nagios.render,
        render_failure=nagios.render_failure,
        exit_status=nagios.exit_status,
    ),
    Format("prometheus", prometheus.render),
    Format(
        sonobuoy.NAME,
        sonobuoy.render,
        render_failure=sonobuoy.render_failure,
        write=sonobuoy.write,
        refuse=sonobuoy.refuse,
        has_default_place=True,
    ),
    *(
        Format(
            name,
            message.render,
            write=webhook.writer(name),
            refuse=webhook.refuse,
            has_default_place=True,
            only_changes=True,
        )
        for name in webhook.CHATS
    ),
)

FORMATS: Mapping[str, Format] = {each.name: each for each in _ALL}
"""By name, in the order in which `--help` lists them."""

"""The JSON schema of a line of `results.jsonl`, generated from the types in `records`.

`python -m wirecheck.results.schema` writes it again after they change.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from wirecheck.results.jsonl import Line

FILE = Path(__file__).with_name("results.schema.json")


def results_schema() -> str:
    """The schema as text."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of wirecheck's results.jsonl",
        **msgspec.json.schema(Line),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(results_schema())

"""JSON as commands print it."""

from __future__ import annotations


def json_text(value: object) -> str:
    """The value as indented JSON."""
    import msgspec  # `--help` needs none of it

    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode()

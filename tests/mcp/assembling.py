"""What a client makes of the parts of a result."""

from __future__ import annotations

from typing import Any


def assembled(pages: list[Any]) -> Any:
    """What a client makes of the parts."""
    document: Any = None
    for page in pages:
        if "result" in page:
            return page["result"]
        for part in page["parts"]:
            document = put(document, part)
    return document


def put(document: Any, part: dict[str, Any]) -> Any:
    """Add a part at its JSON Pointer."""
    words = [w.replace("~1", "/").replace("~0", "~") for w in part["at"].split("/")[1:]]
    value = part["value"]
    if not words:
        if document is None:
            return value
        return {**document, **value} if isinstance(value, dict) else document + value
    inner = {**part, "at": part["at"][part["at"].index("/", 1) :] if words[1:] else ""}
    if isinstance(document, list):
        index = int(words[0])
        rest = document[index] if index < len(document) else None
        return [*document[:index], put(rest, inner), *document[index + 1 :]]
    if document is None:
        document = [] if words[0] == "0" else {}
        return put(document, part)
    return {**document, words[0]: put(document.get(words[0]), inner)}

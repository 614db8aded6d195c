"""Commands for the person who started the run: they reach the cluster that was checked.

Somebody who named a kubeconfig or a context has another default in the shell: a remedy without them
would change the wrong cluster. Files keep the plain commands, because their readers are elsewhere.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r"`[^`]*`")
_CALL = re.compile(r"(?<![\w/.-])kubectl\s(?=[-a-z])(?!--(?:context|kubeconfig)\b)")


def with_options(text: str, options: str) -> str:
    """The text with the options in every call of kubectl that stands between backticks."""
    if not options or "kubectl" not in text:
        return text
    return _QUOTED.sub(lambda q: _CALL.sub(lambda call: f"{call[0]}{options} ", q[0]), text)

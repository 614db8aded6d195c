"""Credential plugins of a kubeconfig: announced if they take long, and ended at a limit.

The client starts them without a limit. A plugin that waits for a login prompt that nobody sees, or
for a server that does not answer, would silently stall the run.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

from kubernetes.config import exec_provider, kube_config

LIMIT = 120.0
"""Seconds, long enough for a person to log in."""
SAID_AFTER = 3.0
"""Seconds after which the plugin is announced."""


class PluginTimeoutError(Exception):
    """The plugin did not finish; begins with `exec:` as the client's own messages do."""


class _LimitedPopen(subprocess.Popen[str]):
    """A plugin's process."""

    def communicate(
        self,
        input: str | None = None,  # noqa: A002 - the name in subprocess
        timeout: float | None = None,
    ) -> tuple[str, str]:
        """The output. Raises PluginTimeoutError, and ends the process, at the limit."""
        name = _name(self.args)
        announcing = threading.Timer(SAID_AFTER, _announce, [name])
        announcing.daemon = True
        announcing.start()
        try:
            return super().communicate(input, LIMIT if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            # A child of it may keep the pipes open: they are not read to their end.
            for pipe in (self.stdout, self.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            raise PluginTimeoutError(
                f"exec: {name} did not finish within {LIMIT:.0f} s; log in first, or run it by hand"
            ) from None
        finally:
            announcing.cancel()


def limit_plugins() -> None:
    """Let the client start its plugins with a limit."""
    limited: Any = SimpleNamespace(PIPE=subprocess.PIPE, Popen=_LimitedPopen)
    for module in (exec_provider, kube_config):
        vars(module)["subprocess"] = limited


def _announce(name: str) -> None:
    print(f"Waiting for the credential plugin {name}, at most {LIMIT:.0f} s.", file=sys.stderr)


def _name(arguments: Any) -> str:
    """The program without its arguments, which may contain secrets."""
    return str(arguments if isinstance(arguments, str) else arguments[0])[:200]

"""Credential plugins of a kubeconfig: announced if they take long, and ended at a limit.

The client starts them without a limit. A plugin that waits for a login prompt that nobody sees, or
for a server that does not answer, would silently stall the run; one that never stops writing would
fill the memory.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

from kubernetes.config import exec_provider, kube_config

LIMIT = 120.0
"""Seconds, long enough for a person to log in."""
SAID_AFTER = 3.0
"""Seconds after which the plugin is announced."""
LARGEST_OUTPUT = 1 << 20
"""Bytes of an ExecCredential: tokens and certificate chains have some kilobytes."""
MOST_ERROR_BYTES = 16 << 10
"""Of standard error: the rest is read and dropped, so that a talkative plugin can go on."""


class PluginTimeoutError(Exception):
    """The plugin did not finish; begins with `exec:` as the client's own messages do."""


class PluginOutputError(Exception):
    """The plugin wrote more than a credential; begins with `exec:` as well."""


class _LimitedPopen(subprocess.Popen[str]):
    """A plugin's process, whose output is read here: the client would read all of it."""

    def communicate(
        self,
        input: str | None = None,  # noqa: A002, ARG002 - the name in subprocess; never given
        timeout: float | None = None,
    ) -> tuple[str, str]:
        """The output.

        Raises PluginTimeoutError or PluginOutputError, and ends the process, at its limits.
        """
        name = _name(self.args)
        announcing = threading.Timer(SAID_AFTER, _announce, [name])
        announcing.daemon = True
        announcing.start()
        try:
            return self._read(time.monotonic() + (LIMIT if timeout is None else timeout))
        except subprocess.TimeoutExpired:
            raise PluginTimeoutError(
                f"exec: {name} did not finish within {LIMIT:.0f} s; log in first, or run it by hand"
            ) from None
        except OverflowError:
            raise PluginOutputError(
                f"exec: {name} wrote more than {LARGEST_OUTPUT >> 20} MiB, which cannot be a "
                "credential; run it by hand"
            ) from None
        finally:
            announcing.cancel()
            if self.poll() is None:
                self.kill()
            # A child of it may keep the pipes open: they are not read to their end.
            for pipe in (self.stdout, self.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _read(self, end: float) -> tuple[str, str]:
        output, errors = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            for pipe, read in ((self.stdout, output), (self.stderr, errors)):
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ, read)
            while selector.get_map():
                left = end - time.monotonic()
                if left <= 0:
                    raise subprocess.TimeoutExpired(self.args, LIMIT)
                for key, _ in selector.select(left):
                    part = os.read(key.fd, 1 << 16)
                    if not part:
                        selector.unregister(key.fileobj)
                    key.data.extend(part)
                if len(output) > LARGEST_OUTPUT:
                    raise OverflowError
                del errors[MOST_ERROR_BYTES:]
        self.wait(max(0.0, end - time.monotonic()))
        return _text(output), _text(errors)


def limit_plugins() -> None:
    """Let the client start its plugins with a limit."""
    limited: Any = SimpleNamespace(PIPE=subprocess.PIPE, Popen=_LimitedPopen)
    for module in (exec_provider, kube_config):
        vars(module)["subprocess"] = limited


def _text(output: bytearray) -> str:
    return output.decode(errors="replace")


def _announce(name: str) -> None:
    print(f"Waiting for the credential plugin {name}, at most {LIMIT:.0f} s.", file=sys.stderr)


def _name(arguments: Any) -> str:
    """The program without its arguments, which may contain secrets."""
    return str(arguments if isinstance(arguments, str) else arguments[0])[:200]

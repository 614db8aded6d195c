"""A credential plugin that hangs or writes without end is ended at its limits."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.collect.conftest import ApiServer, write_kubeconfig
from wirecheck.collect.api import credential_plugins
from wirecheck.collect.api.client import Api, ApiError


def kubeconfig(folder: Path, url: str, script: str) -> Path:
    plugin = folder / "plugin"
    plugin.write_text(f"#!/bin/sh\n{script}\n")
    plugin.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "args": ["--secret=of-nobody"],
        }
    }
    return write_kubeconfig(folder / "config", url, user)


CREDENTIAL = (
    '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
    '"status": {"token": "of-the-plugin"}}'
)


@pytest.mark.parametrize(
    "script",
    ["exec sleep 90", "sleep 90 & wait", "yes >&2", "exec >&- 2>&-; exec sleep 90"],
)
def test_a_plugin_that_hangs_is_ended(
    server: ApiServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
) -> None:
    monkeypatch.setattr(credential_plugins, "LIMIT", 0.4)
    monkeypatch.setattr(credential_plugins, "SAID_AFTER", 0.05)
    began = time.monotonic()

    with pytest.raises(ApiError, match=r"plugin of context test failed: .* did not finish within"):
        Api.connect(kubeconfig(tmp_path, server.url, script))

    assert time.monotonic() - began < 60
    said = capsys.readouterr().err
    assert f"Waiting for the credential plugin {tmp_path}/plugin, at most" in said
    assert "of-nobody" not in said


def test_a_plugin_that_answers_is_not_announced(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Api.connect(kubeconfig(tmp_path, server.url, f"echo '{CREDENTIAL}'"))

    api.read()
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer of-the-plugin"}
    assert "Waiting" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "script",
    [
        "exec yes",
        "head -c 1048577 /dev/zero; exec sleep 90",
        f"echo '{CREDENTIAL}'; exec yes ''",
        # The plugin itself has ended; what it started writes on.
        "yes & exit 0",
    ],
)
def test_a_plugin_that_writes_without_end_is_ended(
    server: ApiServer, tmp_path: Path, script: str
) -> None:
    began = time.monotonic()

    with pytest.raises(ApiError, match=r"plugin of context test failed: .*wrote more than 1 MiB"):
        Api.connect(kubeconfig(tmp_path, server.url, script))

    assert time.monotonic() - began < 60


def test_what_a_plugin_writes_to_standard_error_is_dropped_beyond_a_bound(
    server: ApiServer, tmp_path: Path
) -> None:
    noise = "head -c 3000000 /dev/zero >&2"
    api = Api.connect(kubeconfig(tmp_path, server.url, f"{noise}; echo '{CREDENTIAL}'"))

    api.read()
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer of-the-plugin"}

    with pytest.raises(ApiError) as failed:
        Api.connect(kubeconfig(tmp_path, server.url, "yes no >&2 & sleep 0.1; kill $!; exit 3"))
    assert "process returned 3. no" in str(failed.value)

    process = credential_plugins._LimitedPopen(
        ["sh", "-c", f"{noise}; echo out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = process.communicate()
    assert (output, len(errors)) == ("out\n", credential_plugins.MOST_ERROR_BYTES)

"""A credential plugin that hangs is announced, and ended at its limit."""

from __future__ import annotations

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


@pytest.mark.parametrize("script", ["exec sleep 90", "sleep 90 & wait", "yes >&2"])
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
    credential = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        '"status": {"token": "of-the-plugin"}}'
    )
    api = Api.connect(kubeconfig(tmp_path, server.url, f"echo '{credential}'"))

    api.read()
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer of-the-plugin"}
    assert "Waiting" not in capsys.readouterr().err

"""The requests that only a large cluster causes: a short list is read again instead of watched."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from testbed.cluster import kubectl
from testbed.deploy.overlay import NAMESPACE
from testbed.state import State, write_atomically
from wirecheck.collect.api import changes
from wirecheck.collect.api.client import Api


def watch_as_account(here: State) -> None:
    """Read the API with the rights of the service account, as if every list were long."""
    token = kubectl("--namespace", NAMESPACE, "create", "token", "wirecheck").strip()
    config = yaml.safe_load(here.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    short = changes.SHORT
    with tempfile.TemporaryDirectory(prefix="wirecheck-deploy-") as folder:
        file = Path(folder) / "kubeconfig"
        write_atomically(file, yaml.safe_dump(config), mode=0o600)
        api = Api.connect(file)
        changes.SHORT = -1
        try:
            before = api.read()
            # Nothing is watched where nothing at all has changed in the cluster.
            kubectl("annotate", "namespace", NAMESPACE, "wirecheck.example/changed=once")
            changes.changes_since(api, before)
        finally:
            changes.SHORT = short

"""What helper pods need on the test cluster: an image with Python on each node, and a namespace."""

from __future__ import annotations

import time

import yaml

from testbed.cluster import kubectl
from testbed.commands import TestbedError
from testbed.deploy.image import PROJECT, bring_archive
from testbed.deploy.overlay import HELPERS as NAMESPACE
from testbed.images import build_image_of_packages, image
from testbed.layout import Layout
from testbed.state import State, write_atomically

INVENTORY = "inventory-helper-pods.yaml"
"""As the first one, with helper pods in every run."""
IMAGE = image("python", "1")
"""Any image with a Python will do, and this one is made in seconds."""
PATIENCE = 60.0


def prepare(here: State) -> None:
    """Bring the image to the nodes, make the namespace, and write the inventory."""
    record = here.running()
    archive = here.images / "python.tar"
    build_image_of_packages(here, IMAGE, ["python3"], archive)
    bring_archive(IMAGE, archive, [node.name for node in Layout(record.subnet).containers])
    kubectl("apply", "--kustomize", str(PROJECT / "deploy/helper-pods"))
    _wait_for_account()
    content = yaml.safe_load(here.inventory.read_text())
    content["helper_pods"] = {"always": True, "image": IMAGE}
    write_atomically(here.root / INVENTORY, yaml.safe_dump(content, sort_keys=False))


def pods() -> list[str]:
    """Those that are there now."""
    return kubectl("--namespace", NAMESPACE, "get", "pods", "-o", "name").split()


def _wait_for_account() -> None:
    """No pod is admitted before the namespace has its default service account."""
    end = time.monotonic() + PATIENCE
    account = ("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name")
    while not kubectl("--namespace", NAMESPACE, *account):
        if time.monotonic() > end:
            raise TestbedError(f"namespace {NAMESPACE} has no service account")
        time.sleep(0.5)

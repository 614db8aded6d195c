"""The disk of the virtual machine node: a node's file system, with all images in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from testbed import access, uml
from testbed.access import host_key
from testbed.commands import StoppedByUserError, run, shield
from testbed.images import archive
from testbed.layout import LABEL, VM
from testbed.nodes import CONFINEMENT, node_image
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

_SIZE = "8G"
_INIT = SOURCE / "virtual/vm-init"
_IMPORT = """
set -e
mount --make-rshared /
containerd >/tmp/containerd.log 2>&1 &
daemon=$!
until ctr version >/dev/null 2>&1; do sleep 0.2; done
ctr -n k8s.io images import /images.tar
kill "$daemon"
wait "$daemon" || true
"""


def disk(here: State) -> Path:
    """The disk, which running machines only read."""
    return here.vm / "disk.img"


def make_disk(here: State) -> None:
    """Make the disk, or find it made."""
    images_key = archive(here).with_name("images.tar.key").read_text()
    public_key = host_key(here, VM).with_suffix(".pub").read_text()
    uml.make(here)
    key = key_of([uml.root_key(here), images_key, public_key, _INIT, SOURCE / "vm_disk.py"])
    if is_fresh(disk(here), key):
        return
    mark_stale(disk(here))
    here.vm.mkdir(parents=True, exist_ok=True)
    containerd = _import_images(here)
    tree = _tree(here, containerd)
    draft = disk(here).with_suffix(".draft")
    draft.unlink(missing_ok=True)
    run(["mkfs.ext4", "-q", "-L", VM, "-d", str(tree), str(draft), _SIZE], timeout=600)
    draft.replace(disk(here))
    for folder in (tree, containerd):
        shutil.rmtree(folder)
    mark_fresh(disk(here), key)


def _import_images(here: State) -> Path:
    """containerd's folder with all images in it: importing them in the machine is slow."""
    folder = here.vm / "containerd"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mounts = ["-v", f"{folder}:/var/lib/containerd", "-v", f"{archive(here)}:/images.tar:ro"]
    container = f"{VM}-images"
    name = ["--name", container, "--label", LABEL, "--network", "none"]
    start = ["docker", "run", *name, *CONFINEMENT, *mounts, node_image(here), "sh", "-c", _IMPORT]
    run(["docker", "rm", "--force", container])
    try:
        run(start, timeout=600, log=here.log / "vm-images.log")
    except StoppedByUserError:
        shield()
        raise
    finally:
        run(["docker", "rm", "--force", container])
    return folder


def _tree(here: State, containerd: Path) -> Path:
    tree = here.vm / "root"
    shutil.rmtree(tree, ignore_errors=True)
    run(["cp", "--archive", "--link", str(uml.root(here)), str(tree)], timeout=300)
    shutil.rmtree(tree / "var/lib/containerd", ignore_errors=True)
    run(["cp", "--archive", "--link", str(containerd), str(tree / "var/lib/containerd")])
    marker = tree / "var/lib/wirecheck-testbed/imported"
    marker.parent.mkdir(parents=True)
    marker.touch()
    shutil.copy(_INIT, tree / "usr/local/sbin/wc-vm-init")
    access.install_host_key(here, VM, tree)
    return tree

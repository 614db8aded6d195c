"""The disk, kernel and initial RAM disk of the virtual machine node."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

from testbed.access import host_key
from testbed.commands import StoppedByUserError, TestbedError, run, shield
from testbed.images import archive
from testbed.layout import LABEL, VM
from testbed.nodes import CONFINEMENT, node_image
from testbed.rootfs import overlay_key
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

_SIZE = "8G"
_FIRST_MODULES = (
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
)
"""What is needed to see the disk, in the order of dependency."""

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


def kernel(here: State) -> Path:
    """The kernel."""
    return here.vm / "vmlinuz"


def initramfs(here: State) -> Path:
    """The initial RAM disk."""
    return here.vm / "initramfs.gz"


def make_disk(here: State) -> None:
    """Make kernel, initial RAM disk and disk, or find them made."""
    package = _kernel_package()
    images_key = archive(here).with_name("images.tar.key").read_text()
    public_key = host_key(here, VM).with_suffix(".pub").read_text()
    key = key_of([package, overlay_key(here), images_key, public_key, SOURCE / "virtual"])
    if is_fresh(disk(here), key):
        return
    mark_stale(disk(here))
    here.vm.mkdir(parents=True, exist_ok=True)
    unpacked = _unpack_kernel(here, package)
    _write_initramfs(here, unpacked)
    containerd = _import_images(here)
    tree = _tree(here, unpacked, containerd)
    draft = disk(here).with_suffix(".draft")
    draft.unlink(missing_ok=True)
    run(["mkfs.ext4", "-q", "-L", VM, "-d", str(tree), str(draft), _SIZE], timeout=600)
    draft.replace(disk(here))
    for folder in (tree, containerd, unpacked):
        shutil.rmtree(folder)
    mark_fresh(disk(here), key)


def _kernel_package() -> str:
    """Debian's kernel for virtual machines: its meta package names the present one."""
    listed = run(["apt-cache", "depends", "linux-image-cloud-amd64"])
    found = re.search(r"Depends: (linux-image-\S+)", listed)
    if not found:
        raise TestbedError("apt does not know linux-image-cloud-amd64: run `apt-get update`")
    return found[1]


def _unpack_kernel(here: State, package: str) -> Path:
    folder = here.vm / "kernel"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run(["apt-get", "download", package], cwd=folder, timeout=600)
    (deb,) = folder.glob("*.deb")
    unpacked = folder / "unpacked"
    run(["dpkg-deb", "--extract", str(deb), str(unpacked)], timeout=120)
    (image,) = (unpacked / "boot").glob("vmlinuz-*")
    shutil.copyfile(image, kernel(here))
    return folder


def _modules(unpacked: Path) -> Path:
    (folder,) = (unpacked / "unpacked/lib/modules").iterdir()
    return folder


def _write_initramfs(here: State, unpacked: Path) -> None:
    tree = here.vm / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "dev", "proc", "sys", "root", "modules"):
        (tree / folder).mkdir(parents=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, tree / "bin/busybox")
    shutil.copy(SOURCE / "virtual/initramfs-init", tree / "init")
    for name in _FIRST_MODULES:
        shutil.copy(_modules(unpacked) / f"kernel/drivers/{name}.ko", tree / "modules")
    names = "".join(f"{p.relative_to(tree)}\n" for p in sorted(tree.rglob("*")))
    packed = here.vm / "initramfs.cpio"
    pack = ["cpio", "--quiet", "--create", "--format=newc", f"--file={packed}"]
    run(pack, cwd=tree, stdin=names)
    initramfs(here).write_bytes(gzip.compress(packed.read_bytes(), 1))
    packed.unlink()
    shutil.rmtree(tree)


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


def _tree(here: State, unpacked: Path, containerd: Path) -> Path:
    tree = here.vm / "root"
    shutil.rmtree(tree, ignore_errors=True)
    run(["cp", "--archive", "--link", str(here.rootfs), str(tree)], timeout=300)
    modules = tree / "usr/lib/modules" / _modules(unpacked).name
    shutil.copytree(_modules(unpacked), modules, symlinks=True)
    run(["chroot", str(tree), "depmod", modules.name], timeout=120)
    shutil.rmtree(tree / "var/lib/containerd", ignore_errors=True)
    run(["cp", "--archive", "--link", str(containerd), str(tree / "var/lib/containerd")])
    marker = tree / "var/lib/wirecheck-testbed/imported"
    marker.parent.mkdir(parents=True)
    marker.touch()
    shutil.copy(SOURCE / "virtual/vm-init", tree / "usr/local/sbin/wc-vm-init")
    key = tree / "etc/wirecheck-testbed/host_key"
    shutil.copy(host_key(here, VM), key)
    key.chmod(0o600)
    return tree

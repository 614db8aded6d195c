"""The root file system of a node: Debian, with what a node needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from testbed.commands import StoppedByUserError, TestbedError, attempt, run, shield
from testbed.components import PROGRAMS_OF_KUBERNETES
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dnsutils",
    "ethtool",
    "ipset",
    "iproute2",
    "iptables",
    "iputils-ping",
    "ipvsadm",
    "kmod",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "runc",
    "socat",
    "sudo",
    "tcpdump",
)
USER = "ops"
"""The user who is not root, but may become root without a password."""

_NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists")


def base_key() -> str:
    """What the Debian part depends on."""
    return key_of([SUITE, *PACKAGES, USER, *_NEEDLESS, "1"])


def bootstrap(here: State) -> None:
    """Install Debian into the folder of the root file system, or find it there."""
    key = base_key()
    if is_fresh(here.rootfs, key):
        return
    mark_stale(here.rootfs)
    mark_stale(_furnished(here))
    draft = here.rootfs.with_name("rootfs.draft")
    for old in (draft, here.rootfs):
        remove_tree(old)
    log = here.log / "debootstrap.log"
    choice = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    try:
        run(["nice", "debootstrap", *choice, SUITE, str(draft), mirror()], timeout=1800, log=log)
    except StoppedByUserError:
        shield()
        remove_tree(draft)
        raise
    _settle(draft)
    draft.replace(here.rootfs)
    mark_fresh(here.rootfs, key)


def _settle(root: Path) -> None:
    """Turn a fresh Debian into a node's file system: no keys, no caches, one more user."""
    run(["chroot", str(root), "useradd", "-m", "-s", "/bin/bash", "-p", "*", USER])
    (root / "etc/sudoers.d/ops").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    for folder in _NEEDLESS:
        shutil.rmtree(root / folder, ignore_errors=True)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    (root / "opt/cni").mkdir(parents=True, exist_ok=True)
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")


def mirror() -> str:
    """The Debian mirror that this machine's own package manager uses."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    )
    for line in listed.splitlines():
        uri, _, codename = line.partition(" ")
        if codename == SUITE:
            return uri
    raise TestbedError(
        f"apt's sources name no mirror of Debian {SUITE}: add one to /etc/apt/sources.list.d"
        " and run `apt-get update`"
    )


def overlay_key(here: State) -> str:
    """What the node's own files depend on."""
    stamp = (here.bin / "kubernetes.key").read_text()
    return key_of([base_key(), stamp, _authorized(here), SOURCE / "node"])


def _furnished(here: State) -> Path:
    return here.root / "furnished"


def furnish(here: State) -> None:
    """Put programs, configuration and keys into the root file system."""
    key = overlay_key(here)
    stamp = _furnished(here)
    if is_fresh(stamp, key):
        return
    mark_stale(stamp)
    root = here.rootfs
    _install(here.bin / "kubernetes", root / "usr/local/bin/kubernetes", 0o755)
    for name in PROGRAMS_OF_KUBERNETES:
        link = root / "usr/local/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("kubernetes")
    _install(SOURCE / "node/init", root / "usr/local/sbin/wc-init", 0o755)
    _install(SOURCE / "node/k3s", root / "usr/local/lib/wirecheck-testbed/k3s", 0o644)
    _install(SOURCE / "node/containerd.toml", root / "etc/containerd/config.toml", 0o644)
    _install(SOURCE / "node/sshd_config", root / "etc/ssh/sshd_config", 0o644)
    (root / "etc/wirecheck-testbed").mkdir(exist_ok=True)
    (root / "etc/crictl.yaml").unlink(missing_ok=True)
    for home, owner in (("root", "root"), (f"home/{USER}", USER)):
        _authorize(root, home, owner, here)
    stamp.write_text("")
    mark_fresh(stamp, key)


def _install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hard links from earlier trees must not change with it.
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _authorized(here: State) -> str:
    return (here.ssh / "id_ed25519.pub").read_text()


def _authorize(root: Path, home: str, owner: str, here: State) -> None:
    folder = root / home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "authorized_keys").write_text(_authorized(here))
    run(["chroot", str(root), "chown", "-R", f"{owner}:{owner}", f"/{home}/.ssh"])


def remove_tree(folder: Path) -> None:
    """Delete a root file system, after unmounting what an interrupted debootstrap left in it."""
    for mount in sorted(_mounts_below(folder), reverse=True):
        attempt(["umount", mount])
    if _mounts_below(folder):
        raise TestbedError(f"something is still mounted below {folder}: unmount it first")
    shutil.rmtree(folder, ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [m for m in (line.split(" ")[1] for line in lines) if m.startswith(f"{folder}/")]

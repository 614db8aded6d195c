"""Container images made from local files: one OCI archive for the nodes' containerd."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import TestbedError, run
from testbed.components import KUBERNETES, PROGRAMS_OF_KUBERNETES
from testbed.packages import files_with_dependencies
from testbed.rootfs import base_key
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

REPOSITORY = "testbed.test"
COREDNS_TAG = "v1.14.7"
ETCD_TAG = "3.6.16"

_NET_TOOLS = (
    "iptables",
    "nftables",
    "conntrack",
    "ipset",
    "ipvsadm",
    "kmod",
    "iproute2",
    "dash",
    "coreutils",
    "sed",
)
"""What kube-proxy and flannel call, and a shell to write files with."""

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its name, the layers from the lowest to the highest, what it starts."""

    name: str
    layers: tuple[str, ...]
    command: tuple[str, ...] = ()


def image(name: str, tag: str) -> str:
    """The full name of one of the bed's images."""
    return f"{REPOSITORY}/{name}:{tag}"


IMAGES = (
    Image(image("kube-apiserver", KUBERNETES), ("kubernetes",)),
    Image(image("kube-controller-manager", KUBERNETES), ("kubernetes",)),
    Image(image("kube-scheduler", KUBERNETES), ("kubernetes",)),
    # iptables loads its matches as shared libraries, and those need more (libm for `statistic`):
    # whole packages with all that they depend on, never a hand-picked list of files.
    Image(image("kube-proxy", KUBERNETES), ("kubernetes", "net-tools")),
    Image(image("etcd", ETCD_TAG), ("etcd",)),
    Image(image("coredns", COREDNS_TAG), ("coredns",), ("/coredns",)),
    Image(image("flannel", "v0.28.10"), ("net-tools", "flannel")),
    Image(image("agnhost", KUBERNETES), ("net-tools", "agnhost"), ("/agnhost",)),
    Image(image("pause", "3.10.1"), ("pause",), ("/pause",)),
)


def archive(here: State) -> Path:
    """The archive with all images."""
    return here.images / "images.tar"


def _images_key(here: State) -> str:
    names = ("kubernetes", "etcd", "coredns", "flanneld", "agnhost")
    stamps = [(here.bin / f"{name}.key").read_text() for name in names]
    return key_of([base_key(), repr(IMAGES), *stamps, *_NET_TOOLS, SOURCE / "components/pause"])


def build_images(here: State) -> Path:
    """Make the archive, or find it made."""
    target = archive(here)
    key = _images_key(here)
    if is_fresh(target, key):
        return target
    mark_stale(target)
    here.images.mkdir(parents=True, exist_ok=True)
    _check_names(here)
    _write_archive(target, IMAGES, _layers(here))
    mark_fresh(target, key)
    return target


def build_further_images(
    here: State,
    images: Mapping[Image, Path],
    target: Path,
    tools: Sequence[str] = (),
    beside: Mapping[str, Path] | None = None,
) -> None:
    """Make an archive with images of one program each, or find it made.

    A program goes where its layer is named for, with the files of `beside`; the other layers of
    an image are the bed's own. `tools` are further packages of the nodes' file system.
    """
    others = beside or {}
    packages = [*_NET_TOOLS, *tools]
    programs = [*images.values(), *others.values()]
    key = key_of([base_key(), repr(sorted(map(repr, images))), *packages, *others, *programs])
    if is_fresh(target, key):
        return
    mark_stale(target)
    here.images.mkdir(parents=True, exist_ok=True)
    layers = {"net-tools": _write_rootfs_layer(here, packages)}
    more = [(file, path) for path, file in others.items()]
    for made, program in images.items():
        own = [(program, made.layers[0]), *more]
        layers[made.layers[0]] = _write_layer(here, program.name, own)
    _write_archive(target, tuple(images), layers)
    mark_fresh(target, key)


def build_image_of_packages(here: State, name: str, packages: Sequence[str], target: Path) -> None:
    """Make an archive with one image, of packages of the nodes' file system, or find it made."""
    key = key_of([base_key(), name, *packages])
    if is_fresh(target, key):
        return
    mark_stale(target)
    layers = {"packages": _write_rootfs_layer(here, packages, "packages")}
    _write_archive(target, (Image(name, ("packages",)),), layers)
    mark_fresh(target, key)


def _check_names(here: State) -> None:
    """kubeadm decides how its images are called; a name that we do not make is found here."""
    asked = run(
        [
            str(here.bin / "kubeadm"),
            "config",
            "images",
            "list",
            "--kubernetes-version",
            KUBERNETES,
            "--image-repository",
            REPOSITORY,
        ]
    )
    ours = {i.name for i in IMAGES}
    # The versions of these two are set in kubeadm's configuration.
    chosen = (f"{REPOSITORY}/coredns:", f"{REPOSITORY}/etcd:")
    unmade = [n for n in asked.split() if n not in ours and not n.startswith(chosen)]
    if unmade:
        raise TestbedError(f"kubeadm wants images that testbed/images.py does not make: {unmade}")


def _layers(here: State) -> dict[str, tuple[Path, str]]:
    """Each layer as a file, with its digest."""
    pause = here.bin / "pause"
    run(["gcc", "-static", "-Os", "-o", str(pause), str(SOURCE / "components/pause/pause.c")])
    single = {
        "etcd": (here.bin / "etcd", "usr/local/bin/etcd"),
        "coredns": (here.bin / "coredns", "coredns"),
        "flannel": (here.bin / "flanneld", "opt/bin/flanneld"),
        "agnhost": (here.bin / "agnhost", "agnhost"),
        "pause": (pause, "pause"),
    }
    made = {}
    for name, (source, path) in single.items():
        made[name] = _write_layer(here, name, [(source, path)])
    programs = [("kubernetes", f"usr/local/bin/{name}") for name in PROGRAMS_OF_KUBERNETES]
    made["kubernetes"] = _write_layer(
        here, "kubernetes", [(here.bin / "kubernetes", "usr/local/bin/kubernetes")], programs
    )
    made["net-tools"] = _write_rootfs_layer(here)
    return made


def _write_layer(
    here: State,
    name: str,
    files: Iterable[tuple[Path, str]],
    links: Iterable[tuple[str, str]] = (),
) -> tuple[Path, str]:
    target = here.images / f"layer-{name}.tar"
    with tarfile.open(target, "w") as out:
        for source, path in files:
            out.add(source, path, filter=_anonymous)
        for destination, path in links:
            out.addfile(_symlink(destination, path))
    return target, _digest(target)


def _write_rootfs_layer(
    here: State, packages: Sequence[str] = _NET_TOOLS, name: str = "net-tools"
) -> tuple[Path, str]:
    target = here.images / f"layer-{name}.tar"
    with tarfile.open(target, "w") as out:
        for path in files_with_dependencies(here.rootfs, packages):
            out.add(here.rootfs / path, path, recursive=False, filter=_anonymous)
    return target, _digest(target)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Equal content gives an equal layer, whoever made it and whenever."""
    member.mtime = 0
    return member


def _symlink(destination: str, path: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type = tarfile.SYMTYPE
    member.linkname = destination
    return member


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _write_archive(
    target: Path, images: Sequence[Image], layers: dict[str, tuple[Path, str]]
) -> None:
    """Write the images, and remove the layers' files."""
    draft = target.with_name(f"{target.name}.draft")
    with tarfile.open(draft, "w") as out:
        _write_layout(out, layers, images)
    for file, _ in layers.values():
        file.unlink()
    draft.replace(target)


def _write_layout(
    out: tarfile.TarFile, layers: dict[str, tuple[Path, str]], images: Sequence[Image] = IMAGES
) -> None:
    for file, digest in layers.values():
        out.add(file, f"blobs/sha256/{digest}")
    manifests = [_write_image(out, made, layers) for made in images]
    _write_bytes(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    _write_bytes(out, "index.json", _json({"schemaVersion": 2, "manifests": manifests}))


def _write_image(
    out: tarfile.TarFile, made: Image, layers: dict[str, tuple[Path, str]]
) -> dict[str, object]:
    digests = [f"sha256:{layers[name][1]}" for name in made.layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": [_PATH], "Entrypoint": list(made.command)},
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    blobs = [
        {"mediaType": _LAYER, "digest": digest, "size": layers[name][0].stat().st_size}
        for name, digest in zip(made.layers, digests, strict=True)
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _write_blob(out, _CONFIG, config),
        "layers": blobs,
    }
    entry = _write_blob(out, _MANIFEST, manifest)
    return {**entry, "annotations": {"io.containerd.image.name": made.name}}


def _write_blob(out: tarfile.TarFile, kind: str, content: object) -> dict[str, object]:
    data = _json(content)
    digest = hashlib.sha256(data).hexdigest()
    path = f"blobs/sha256/{digest}"
    # Images that differ in name alone share their configuration.
    if path not in out.getnames():
        _write_bytes(out, path, data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _write_bytes(out: tarfile.TarFile, path: str, data: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size = len(data)
    out.addfile(member, io.BytesIO(data))


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True).encode()

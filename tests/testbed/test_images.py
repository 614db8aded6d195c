import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from testbed import images
from testbed.images import IMAGES, REPOSITORY
from testbed.state import SOURCE

LAYERS = {name for image in IMAGES for name in image.layers}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layers = {}
    for name in LAYERS:
        file = tmp_path / name
        file.write_text(name)
        layers[name] = (file, hashlib.sha256(name.encode()).hexdigest())
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as out:
        images._write_layout(out, layers)
    return path


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        names = [member.name for member in members]
        assert len(names) == len(set(names))
        found = {}
        for member in members:
            file = packed.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def test_every_blob_is_what_its_name_says(archive: Path) -> None:
    for path, data in contents(archive).items():
        if path.startswith("blobs/sha256/"):
            assert path == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_every_image_can_be_followed_from_the_index_to_its_layers(archive: Path) -> None:
    files = contents(archive)

    def blob(reference: dict[str, object]) -> bytes:
        data = files[f"blobs/{str(reference['digest']).replace(':', '/')}"]
        assert len(data) == reference["size"]
        return data

    found = {}
    for entry in json.loads(files["index.json"])["manifests"]:
        manifest = json.loads(blob(entry))
        config = json.loads(blob(manifest["config"]))
        assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
        name = entry["annotations"]["io.containerd.image.name"]
        found[name] = tuple(blob(layer).decode() for layer in manifest["layers"])
    assert found == {image.name: image.layers for image in IMAGES}


def test_containerd_is_told_the_pause_image_that_is_made() -> None:
    (pause,) = (i.name for i in IMAGES if i.name.startswith(f"{REPOSITORY}/pause:"))
    assert f'sandbox_image = "{pause}"' in (SOURCE / "node/containerd.toml").read_text()


def test_kube_proxys_iptables_comes_as_whole_packages() -> None:
    (layers,) = (i.layers for i in IMAGES if "/kube-proxy:" in i.name)
    assert "net-tools" in layers
    assert {"iptables", "nftables", "conntrack", "ipset", "kmod"} <= set(images._NET_TOOLS)

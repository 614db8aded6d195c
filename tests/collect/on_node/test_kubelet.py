"""The folder of files that a kubelet merges its settings from."""

import json
import os
from pathlib import Path

import pytest

from wirecheck.collect.on_node.kubelet import MOST_FILES, _configuration, _of_kubelite

OWN = str(os.getpid())
FILES = {
    "10-own.conf": json.dumps({"clusterDNS": ["10.96.0.11"], "authentication": "secret"}),
    "00-defaults.conf": "clusterDomain: a.b\nclusterDNS:\n- 10.96.0.10\nstaticPodPath: /etc\n",
    "20.d/more.conf": "clusterDomain: c.d\n",
    "30-not-read.yaml": "clusterDomain: e.f\n",
}


def test_a_setting_of_a_later_file_replaces_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("clusterDNS: [10.96.0.9]\n")
    folder = tmp_path / "conf.d"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    flags = {"config": f"{tmp_path}/config.yaml", "config-dir": str(folder)}

    assert _configuration(OWN, flags) == {
        "lines": ['clusterDNS: ["10.96.0.11"]', "clusterDomain: c.d"],
        "merged": True,
    }


def test_a_folder_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    found = _configuration(OWN, {"config-dir": f"{tmp_path}/none"})

    assert found["problem"].startswith(f"{tmp_path}/none: ")
    assert "merged" not in found


def test_a_folder_of_very_many_files_is_not_read(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.conf").write_text("clusterDomain: a.b\n")

    assert _configuration(OWN, {"config-dir": str(tmp_path)}) == {
        "problem": f"{tmp_path}: more than 50 files"
    }


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (
            "--resolv-conf=/run/x\n--cluster-domain=cluster.local\n--cluster-dns=10.152.183.10\n",
            {"cluster-domain": "cluster.local", "cluster-dns": "10.152.183.10"},
        ),
        ("--cluster-dns 10.0.0.2\n", {"cluster-dns": "10.0.0.2"}),
        ('--cluster-domain="a.b"\n', {"cluster-domain": "a.b"}),
        ("# --cluster-dns=10.0.0.3\n\n", {}),
    ],
)
def test_the_kubelet_within_kubelite_has_its_flags_in_a_file(
    tmp_path: Path, text: str, flags: dict[str, str]
) -> None:
    (tmp_path / "kubelet").write_text(text)
    words = ["/snap/microk8s/1/kubelite", f"--kubelet-args-file={tmp_path}/kubelet", "--x=y"]

    assert _of_kubelite(OWN, words) == {"flags": flags}


def test_a_file_of_flags_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    found = _of_kubelite(OWN, ["kubelite", f"--kubelet-args-file={tmp_path}/none"])

    assert found["problem"].startswith(f"{tmp_path}/none: ")

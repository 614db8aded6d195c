"""What is read of the CNI plugins' files."""

import base64
import json
import os
import time

import pytest

from wirecheck.collect.on_node import cni_files

SECRET = "eyJhbGciOi"
CONFLIST = {
    "name": "cbr0",
    "plugins": [
        {"type": "bridge", "ipam": {"type": "host-local"}, "policy": {"k8s_auth_token": SECRET}},
        {"type": "portmap"},
    ],
}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    for name in ("CONFIGURATIONS", "BINARIES", "RESERVATIONS"):
        monkeypatch.setattr(cni_files, name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    return tmp_path


def test_of_configurations_only_names_and_types_are_read(folders):
    (folders / "CONFIGURATIONS/10-flannel.conflist").write_text(json.dumps(CONFLIST))
    (folders / "CONFIGURATIONS/README").write_text("no configuration")

    assert cni_files.read_all()["configurations"] == [
        {
            "file": "10-flannel.conflist",
            "network": "cbr0",
            "plugins": ["bridge", "portmap"],
            "ipam": ["host-local"],
        }
    ]
    assert SECRET not in json.dumps(cni_files.read_all())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plugins": 3}', '{"plugins": [{}]}'])
def test_what_is_not_understood_is_said(folders, text):
    (folders / "CONFIGURATIONS/10.conflist").write_text(text)
    (record,) = cni_files.read_all()["configurations"]
    assert record["problem"]


def test_a_single_plugin_has_a_file_of_its_own_kind(folders):
    (folders / "CONFIGURATIONS/10.conf").write_text('{"name": "n", "type": "ptp"}')
    (record,) = cni_files.read_all()["configurations"]
    assert (record["plugins"], record["ipam"]) == (["ptp"], [])


def test_programs_that_cannot_be_executed_are_none(folders):
    for name, mode in (("bridge", 0o755), ("portmap", 0o644)):
        (folders / "BINARIES" / name).write_text("")
        (folders / "BINARIES" / name).chmod(mode)
    assert cni_files.read_all()["binaries"] == ["bridge"]


def test_reservations_have_an_age_and_bookkeeping_is_left_out(folders):
    (folders / "RESERVATIONS/cbr0").mkdir()
    for name in ("10.244.0.2", "lock", "last_reserved_ip.0"):
        (folders / "RESERVATIONS/cbr0" / name).write_text("sandbox")
    hour_ago = time.time() - 3600
    os.utime(folders / "RESERVATIONS/cbr0/10.244.0.2", (hour_ago, hour_ago))

    (held,) = cni_files.read_all()["reservations"]
    assert (held["network"], held["address"]) == ("cbr0", "10.244.0.2")
    assert held["age"] >= 3600


def test_folders_that_are_not_there_are_left_out(folders):
    for name in ("CONFIGURATIONS", "BINARIES", "RESERVATIONS"):
        (folders / name).rmdir()
    assert cni_files.read_all() == {}


def kubeconfig(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f'users:\n- user:\n    token: "{SECRET}.{body}.sIgNaTuRe-_"\n'


def test_of_a_token_only_its_end_is_read(folders):
    (folders / "CONFIGURATIONS/calico-kubeconfig").write_text(kubeconfig({"exp": 1700000000}))
    (folders / "CONFIGURATIONS/multus.d").mkdir()
    (folders / "CONFIGURATIONS/multus.d/multus.kubeconfig").write_text(kubeconfig({"exp": 5}))

    record = cni_files.read_all()
    assert record["tokens"] == [
        {"file": "calico-kubeconfig", "expires": 1700000000.0},
        {"file": "multus.d/multus.kubeconfig", "expires": 5.0},
    ]
    assert SECRET not in json.dumps(record)
    assert "sIgNaTuRe" not in json.dumps(record)


@pytest.mark.parametrize(
    "text", ["", "token: plain", "token: a.b.c", kubeconfig({}), kubeconfig([])]
)
def test_a_token_without_an_end_is_left_out(folders, text):
    (folders / "CONFIGURATIONS/x-kubeconfig").write_text(text)
    assert cni_files.read_all()["tokens"] == []

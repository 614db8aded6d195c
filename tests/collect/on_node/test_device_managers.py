"""What is kept of files about devices, and in which order they count."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wirecheck.collect.on_node import device_managers

DEFAULT = "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel\nMACAddressPolicy=persistent\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def read(root: Path, key: str) -> list[tuple[str, list[str]]]:
    return [(each["file"], each["lines"]) for each in device_managers.read_all(str(root))[key]]


def test_of_link_files_only_whom_they_match_and_their_macs_are_kept(root):
    put(root, "/usr/lib/systemd/network/99-default.link", DEFAULT)

    expected = ["[Match]", "OriginalName=*", "[Link]", "MACAddressPolicy=persistent"]
    assert read(root, "links") == [("/usr/lib/systemd/network/99-default.link", expected)]


def test_link_files_go_by_name_with_drop_ins_and_masks(root):
    put(root, "/usr/lib/systemd/network/99-default.link", DEFAULT)
    put(root, "/usr/lib/systemd/network/50-vendor.link", DEFAULT)
    put(root, "/etc/systemd/network/10-cni.link", "[Match]\nKind=veth\n[Link]\nMTUBytes=1400\n")
    put(root, "/etc/systemd/network/99-default.link.d/mac.conf", "[Link]\nMACAddressPolicy=none\n")
    (root / "etc/systemd/network/50-vendor.link").symlink_to("/dev/null")

    first, last = read(root, "links")
    assert first == ("/etc/systemd/network/10-cni.link", ["[Match]", "Kind=veth", "[Link]"])
    assert last[1][-2:] == ["[Link]", "MACAddressPolicy=none"]


def test_networkd_is_told_by_its_main_file_and_drop_ins(root):
    put(root, "/etc/systemd/networkd.conf", "[Network]\n#ManageForeignRoutingPolicyRules=yes\n")
    put(
        root,
        "/usr/lib/systemd/networkd.conf.d/80-cni.conf",
        "[Network]\nSpeedMeter=no\nManageForeignRoutingPolicyRules=no\n",
    )

    assert read(root, "networkd") == [
        (
            "/usr/lib/systemd/networkd.conf.d/80-cni.conf",
            ["[Network]", "ManageForeignRoutingPolicyRules=no"],
        )
    ]


def test_networkmanager_reads_what_is_shipped_first_and_keeps_no_secret(root):
    put(root, "/usr/lib/NetworkManager/conf.d/10-a.conf", "[keyfile]\nunmanaged-devices=*\n")
    put(root, "/run/NetworkManager/conf.d/20-b.conf", "[keyfile]\nunmanaged-devices=*\n")
    put(root, "/etc/NetworkManager/conf.d/20-b.conf", "[keyfile]\nunmanaged-devices=\\\n  x\n")
    put(
        root,
        "/etc/NetworkManager/NetworkManager.conf",
        "[main]\nplugins=keyfile\n[device-cni]\nmatch-device=driver:veth\nmanaged=0\n"
        "[connectivity]\nuri=http://user:t0k3n@example.test\n",
    )

    found = read(root, "network_manager")
    assert [file.rpartition("/")[2] for file, _ in found] == [
        "10-a.conf",
        "NetworkManager.conf",
        "20-b.conf",
    ]
    assert "match-device=driver:veth" in found[1][1]
    assert "t0k3n" not in repr(found)


def test_no_files_are_nothing(root):
    record = device_managers.read_all(str(root))

    assert record == {"running": [], "links": [], "networkd": [], "network_manager": []}


@pytest.mark.parametrize(("inside", "is_told"), [((), True), (("unshare", "--net"), False)])
def test_a_program_is_told_that_runs_in_the_same_netns(can_make_nodes, tmp_path, inside, is_told):
    program = tmp_path / "NetworkManager"
    shutil.copy(shutil.which("sleep") or "sleep", program)
    script = f"echo ready; exec {program} 60"
    started = subprocess.Popen([*inside, "sh", "-c", script], stdout=subprocess.PIPE)
    try:
        assert started.stdout
        started.stdout.readline()
        comm = Path(f"/proc/{started.pid}/comm")
        while comm.read_text().strip() != "NetworkManager":
            assert started.poll() is None
        assert ("NetworkManager" in device_managers.running()) is is_told
    finally:
        started.kill()
        started.communicate()

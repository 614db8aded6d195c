"""What is read of the files that set sysctls at boot."""

import pytest

from wirecheck.collect.on_node import boot_settings


@pytest.fixture
def write(tmp_path):
    def write(path: str, text: str) -> None:
        (tmp_path / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.lstrip("/")).write_text(text)

    return write


def test_files_come_in_the_order_of_their_names_whatever_their_folder(tmp_path, write):
    write("/usr/lib/sysctl.d/90-b.conf", "net.ipv4.ip_forward=1\n")
    write("/etc/sysctl.d/50-a.conf", "# net.ipv4.ip_forward=3\n;x\n\n net.ipv4.ip_forward = 0 \n")
    write("/run/sysctl.d/70-c.conf", "kernel.pid_max=7\n")
    write("/etc/sysctl.d/README.sysctl", "net.ipv4.ip_forward=9\n")

    assert boot_settings.read_all(str(tmp_path)) == [
        {"file": "/etc/sysctl.d/50-a.conf", "lines": ["net.ipv4.ip_forward = 0"]},
        {"file": "/usr/lib/sysctl.d/90-b.conf", "lines": ["net.ipv4.ip_forward=1"]},
    ]


def test_a_file_takes_the_place_of_one_with_its_name_and_a_link_to_nothing_hides_it(
    tmp_path, write
):
    write("/usr/lib/sysctl.d/50-a.conf", "net.ipv4.ip_forward=0\n")
    write("/etc/sysctl.d/50-a.conf", "net.ipv4.ip_forward=1\n")
    write("/usr/lib/sysctl.d/60-b.conf", "net.ipv4.conf.all.rp_filter=1\n")
    (tmp_path / "etc/sysctl.d/60-b.conf").symlink_to("/dev/null")

    (only,) = boot_settings.read_all(str(tmp_path))
    assert only["lines"] == ["net.ipv4.ip_forward=1"]


def test_a_node_without_such_folders_has_none(tmp_path):
    assert boot_settings.read_all(str(tmp_path)) == []

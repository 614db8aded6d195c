from pathlib import Path

import pytest

from testbed.commands import TestbedError
from testbed.packages import dependencies, files_with_dependencies

pytestmark = pytest.mark.needs("dpkg-query")

STATUS = """\
Package: iptables
Status: install ok installed
Version: 1
Architecture: amd64
Maintainer: nobody
Description: tables
Depends: libxtables12 (= 1.8.9), netbase, missing | libc6 (>= 2.36)

Package: libxtables12
Status: install ok installed
Version: 1
Architecture: amd64
Maintainer: nobody
Description: library
Pre-Depends: libc6 (>= 2.14)

Package: netbase
Status: install ok installed
Version: 1
Architecture: all
Maintainer: nobody
Description: names

Package: libc6
Status: install ok installed
Version: 1
Architecture: amd64
Maintainer: nobody
Description: library

Package: python3
Status: install ok installed
Version: 1
Architecture: amd64
Maintainer: nobody
Description: language
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    lists = {
        "iptables": "/.\n/usr\n/usr/sbin\n/usr/sbin/iptables-nft\n/usr/share/doc/iptables/README\n",
        "libxtables12": "/.\n/usr\n/usr/lib/libxtables.so.12\n",
        "netbase": "/.\n/etc\n/etc/protocols\n",
        "libc6:amd64": "/.\n/lib\n/lib/libm.so.6\n",
        "python3": "/.\n/usr/bin/python3\n",
    }
    for name, text in lists.items():
        (info / f"{name}.list").write_text(text)
    files = (
        "usr/sbin/iptables-nft",
        "usr/share/doc/iptables/README",
        "etc/protocols",
        "usr/lib/libxtables.so.12",
        "usr/lib/libm.so.6",
        "usr/bin/python3",
    )
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "etc/alternatives").mkdir()
    (tmp_path / "etc/alternatives/iptables").symlink_to("/usr/sbin/iptables-nft")
    (tmp_path / "etc/alternatives/awk").symlink_to("/usr/bin/mawk")
    (tmp_path / "usr/sbin/iptables").symlink_to("/etc/alternatives/iptables")
    return tmp_path


def test_a_package_comes_with_all_that_it_depends_on(root: Path) -> None:
    assert dependencies(root, ["iptables"]) == {"iptables", "libxtables12", "netbase", "libc6"}


def test_a_library_of_a_library_is_there(root: Path) -> None:
    assert "usr/lib/libm.so.6" in files_with_dependencies(root, ["iptables"])


def test_the_links_that_choose_a_variant_are_there(root: Path) -> None:
    found = files_with_dependencies(root, ["iptables"])
    assert {"usr/sbin/iptables", "etc/alternatives/iptables", "lib"} <= set(found)
    assert "etc/alternatives/awk" not in found


def test_other_packages_and_documentation_are_not_there(root: Path) -> None:
    found = files_with_dependencies(root, ["iptables"])
    assert "usr/bin/python3" not in found
    assert not any("share/doc" in path for path in found)


def test_a_folder_comes_before_what_is_in_it(root: Path) -> None:
    found = files_with_dependencies(root, ["iptables"])
    assert found.index("usr/sbin") < found.index("usr/sbin/iptables-nft")


def test_a_package_that_is_not_installed_is_an_error(root: Path) -> None:
    with pytest.raises(TestbedError, match="nginx is not installed"):
        dependencies(root, ["nginx"])

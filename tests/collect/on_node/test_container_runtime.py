"""The container runtime's folders, from the command lines and files of several distributions."""

from pathlib import Path

import pytest

from wirecheck.collect.on_node import container_runtime

K3S = """
version = 3
root = "/var/lib/rancher/k3s/agent/containerd"

[plugins.'io.containerd.cri.v1.runtime']
  enable_selinux = false # [not a section]

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/var/lib/rancher/k3s/data/cni'] # was bin_dir
  conf_dir = '/var/lib/rancher/k3s/agent/etc/cni/net.d'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  bin_dir = "/not/this/one"
"""
GKE = """version = 2
required_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/home/kubernetes/bin"
  conf_dir = "/etc/cni/net.d"
  conf_template = ""
"""
OLD = '[plugins.cri.cni]\n  bin_dir = "/usr/lib/cni"\n  conf_dir = "/etc/cni/other.d/"\n'
OPENSHIFT = """[crio.runtime]
conmon = ""
[crio.network]
network_dir = "/etc/kubernetes/cni/net.d/"
plugin_dirs = [
    "/var/lib/cni/bin", # from a comment: "/no"
    "/usr/libexec/cni",
]
[crio.metrics]
enable_metrics = true
"""
DOCKERS = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
POD = "0::/kubepods.slice/kubepods-pod12345678_1234_1234_1234_123456789012.slice/cri-containerd-a\n"


class Host:
    """A made-up /proc and the files of a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("proc/self/ns", "proc/1"):
            (root / name).mkdir(parents=True)
        (root / "proc/self/ns/net").symlink_to("net:[1]")
        (root / "proc/1/cgroup").write_text("0::/init.scope\n")

    def run(self, line: str, *, netns: int = 1, cgroup: str = "0::/system.slice\n") -> None:
        words = line.split()
        folder = self.root / "proc" / str(100 + len(list((self.root / "proc").iterdir())))
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/net").symlink_to(f"net:[{netns}]")
        (folder / "comm").write_text(words[0].rpartition("/")[2][:15] + "\n")
        (folder / "cmdline").write_text("\0".join([*words, ""]))
        (folder / "cgroup").write_text(cgroup)

    def write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @property
    def found(self) -> tuple[str, str, list[str]] | None:
        record = container_runtime.find(f"{self.root}/proc", str(self.root))
        if record is None:
            return None
        return record["program"], record["configuration_folder"], record["plugin_folders"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_no_runtime_is_none(host):
    host.run("/usr/sbin/sshd -D")
    assert host.found is None


def test_without_a_file_the_defaults_apply(host):
    host.run("/usr/bin/containerd")
    assert host.found == ("containerd", "/etc/cni/net.d", ["/opt/cni/bin"])


@pytest.mark.parametrize(
    ("line", "file", "folder", "plugins"),
    [
        (
            "containerd -c /var/lib/rancher/k3s/agent/etc/containerd/config.toml -a /run/c.sock",
            ("/var/lib/rancher/k3s/agent/etc/containerd/config.toml", K3S),
            "/var/lib/rancher/k3s/agent/etc/cni/net.d",
            ["/var/lib/rancher/k3s/data/cni"],
        ),
        (
            "/usr/bin/containerd",
            ("/etc/containerd/config.toml", GKE),
            "/etc/cni/net.d",
            ["/home/kubernetes/bin"],
        ),
        (
            "/snap/bin/containerd --config=/var/snap/microk8s/1/args/containerd.toml",
            ("/var/snap/microk8s/1/args/containerd.toml", OLD),
            "/etc/cni/other.d",
            ["/usr/lib/cni"],
        ),
        (
            "/usr/bin/crio",
            ("/etc/crio/crio.conf.d/00-default", OPENSHIFT),
            "/etc/kubernetes/cni/net.d",
            ["/var/lib/cni/bin", "/usr/libexec/cni"],
        ),
        (
            "/usr/bin/crio --config-dir /etc/other.d --cni-plugin-dir=/a/bin,/b/bin",
            ("/etc/other.d/10.conf", OPENSHIFT),
            "/etc/kubernetes/cni/net.d",
            ["/a/bin", "/b/bin"],
        ),
        (
            "/usr/bin/cri-dockerd --cni-bin-dir=/opt/b --cni-conf-dir /etc/c",
            ("/etc/containerd/config.toml", DOCKERS),
            "/etc/c",
            ["/opt/b"],
        ),
    ],
    ids=["k3s", "GKE", "MicroK8s", "OpenShift", "CRI-O's flags", "cri-dockerd"],
)
def test_the_folders_are_those_of_the_file(host, line, file, folder, plugins):
    host.run(line)
    host.write(*file)
    program = line.split()[0].rpartition("/")[2]

    assert host.found == (program, folder, plugins)


def test_a_later_drop_in_replaces_the_setting_of_an_earlier_one(host):
    host.run("/usr/bin/crio")
    host.write("/etc/crio/crio.conf", '[crio.network]\nplugin_dirs = ["/a"]\n')
    host.write("/etc/crio/crio.conf.d/01-b.conf", '[crio.network]\nplugin_dirs = [\n "/b" ]\n')
    host.write("/etc/crio/crio.conf.d/02-c.conf", "[crio.network]\nplugin_dirs = []\n")

    assert host.found == ("crio", "/etc/cni/net.d", ["/b"])


def test_imports_of_containerd_are_read(host):
    host.run("/usr/bin/containerd --config /etc/containerd/config.toml")
    host.write("/etc/containerd/config.toml", 'version = 2\nimports = ["conf.d/*.toml"]\n' + GKE)
    host.write("/etc/containerd/conf.d/cni.toml", OLD)

    assert host.found == ("containerd", "/etc/cni/other.d", ["/usr/lib/cni"])


def test_dockers_own_containerd_serves_no_kubelet(host):
    host.run("/usr/bin/containerd")
    host.write("/etc/containerd/config.toml", DOCKERS)
    assert host.found is None

    host.run("containerd -c /etc/k3s.toml -a /run/k3s.sock")
    host.write("/etc/k3s.toml", K3S)
    assert host.found == (
        "containerd",
        "/var/lib/rancher/k3s/agent/etc/cni/net.d",
        ["/var/lib/rancher/k3s/data/cni"],
    )


def test_a_process_of_a_pod_is_not_the_runtime(host):
    host.run("/usr/bin/containerd -c /evil.toml", cgroup=POD)
    host.run("/usr/bin/crio", netns=2)
    host.write("/evil.toml", K3S)

    assert host.found is None


def test_a_file_that_cannot_be_read_is_a_problem_and_not_the_defaults(host, monkeypatch):
    host.run("/usr/bin/containerd")
    (host.root / "etc/containerd/config.toml").mkdir(parents=True)

    record = container_runtime.find(f"{host.root}/proc", str(host.root))
    assert record is not None
    assert "Is a directory" in record["problem"]


@pytest.mark.parametrize(
    "text", ["", "[", "[[", "x = [", 'a = "', "= =\n]\n", "[.cni]\nbin_dir = 3"]
)
def test_a_damaged_file_leaves_the_defaults(host, text):
    host.run("/usr/bin/containerd")
    host.write("/etc/containerd/config.toml", text)

    assert host.found == ("containerd", "/etc/cni/net.d", ["/opt/cni/bin"])

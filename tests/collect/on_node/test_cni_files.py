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
    monkeypatch.setattr(cni_files, "find_runtime", lambda: None)
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


@pytest.fixture
def runtime(folders, monkeypatch):
    """A runtime with folders of its own, one of which does not exist."""
    found = {
        "program": "crio",
        "configuration_folder": str(folders / "conf"),
        "plugin_folders": [str(folders / "bin"), str(folders / "libexec"), str(folders / "none")],
    }
    for name in ("conf", "bin", "libexec"):
        (folders / name).mkdir()
    monkeypatch.setattr(cni_files, "find_runtime", lambda: found)
    return folders


def program(path) -> None:
    path.write_text("")
    path.chmod(0o755)


def test_the_folders_of_the_runtime_are_read(runtime):
    (runtime / "conf/10.conflist").write_text(json.dumps(CONFLIST))
    (runtime / "conf/10.conflist.bak").write_text("no")
    (runtime / "conf/20.conf.disabled").write_text("no")
    program(runtime / "bin/bridge")
    program(runtime / "libexec/portmap")
    program(runtime / "BINARIES/other")

    record = cni_files.read_all()
    assert [each["file"] for each in record["configurations"]] == ["10.conflist"]
    assert record["binaries"] == ["bridge", "portmap"]
    assert record["runtime"]["program"] == "crio"


def test_folders_of_the_runtime_that_do_not_exist_are_empty(runtime):
    for name in ("conf", "bin", "libexec"):
        (runtime / name).rmdir()

    record = cni_files.read_all()
    assert (record["configurations"], record["binaries"]) == ([], [])


def test_a_runtime_that_could_not_be_read_leaves_the_defaults(runtime, monkeypatch):
    problem = {
        "program": "containerd",
        "configuration_folder": str(runtime / "CONFIGURATIONS"),
        "plugin_folders": [str(runtime / "BINARIES")],
        "problem": "/etc/containerd/config.toml: Permission denied",
    }
    monkeypatch.setattr(cni_files, "find_runtime", lambda: problem)
    (runtime / "CONFIGURATIONS").rmdir()

    assert "configurations" not in cni_files.read_all()


def test_reservations_are_read_where_the_configuration_says(runtime):
    state = runtime / "run/cni-ipam-state"
    ipam = {"type": "host-local", "dataDir": f"{state}/"}
    content = {"name": "kindnet", "plugins": [{"type": "ptp", "ipam": ipam}]}
    (runtime / "conf/10-kindnet.conflist").write_text(json.dumps(content))
    (state / "kindnet").mkdir(parents=True)
    (state / "kindnet/10.244.0.2").write_text("")

    record = cni_files.read_all()
    assert record["data_folders"][1:] == [str(state)]
    (held,) = record["reservations"]
    assert (held["network"], held["folder"]) == ("kindnet", str(state))


@pytest.mark.parametrize(
    ("plugin", "found"),
    [
        ({"type": "bridge", "ipMasq": True}, True),
        ({"type": "ptp", "ipMasq": False}, False),
        ({"type": "flannel", "delegate": {"ipMasq": True}}, True),
        ({"type": "flannel", "delegate": "damaged"}, None),
        ({"type": "bridge", "ipMasq": "yes"}, None),
        ({"type": "bridge"}, None),
    ],
)
def test_whether_a_plugin_masquerades_is_read(runtime, plugin, found):
    content = {"name": "cbr0", "plugins": [plugin, {"type": "portmap"}]}
    (runtime / "conf/10-cbr0.conflist").write_text(json.dumps(content))

    (configuration,) = cni_files.read_all()["configurations"]
    assert configuration.get("ip_masq") is found


def test_kubeconfigs_are_named_at_any_depth(runtime):
    calico = {"type": "calico", "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}}
    plugins = [calico, {"type": "istio-cni", "kubeconfig": "/etc/cni/net.d/ZZZ-istio"}]
    content = {"name": "k", "plugins": plugins, "disableCheck": True}
    (runtime / "conf/10.conflist").write_text(json.dumps(content))

    (record,) = cni_files.read_all()["configurations"]
    assert record["kubeconfigs"] == ["/etc/cni/net.d/ZZZ-istio", "/etc/cni/net.d/calico-kubeconfig"]


def test_delegates_of_multus_are_read(runtime):
    delegate = {"name": "cbr0", "plugins": [{"type": "flannel"}, {"type": "portmap"}]}
    single = {"name": "x", "type": "macvlan", "ipam": {"type": "whereabouts"}}
    content = {"name": "multus", "type": "multus", "delegates": [delegate, single]}
    (runtime / "conf/00-multus.conf").write_text(json.dumps(content))

    (record,) = cni_files.read_all()["configurations"]
    assert [(e["plugins"], e["ipam"]) for e in record["delegates"]] == [
        (["flannel", "portmap"], []),
        (["macvlan"], ["whereabouts"]),
    ]


def test_the_configuration_that_multus_calls_is_read_outside_of_the_folder(runtime):
    outside = runtime / "run/multus"
    outside.mkdir(parents=True)
    (outside / "10-ovn.conf").write_text('{"name": "ovn", "type": "ovn-k8s-cni-overlay"}')
    content = {
        "name": "multus",
        "type": "multus-shim",
        "clusterNetwork": f"/host{outside}/10-ovn.conf",
    }
    (runtime / "conf/00-multus.conf").write_text(json.dumps(content))

    record = cni_files.read_all()
    (configuration,) = record["configurations"]
    assert configuration["calls"] == "10-ovn.conf"
    assert [each["plugins"] for each in record["delegated"]] == [["ovn-k8s-cni-overlay"]]
    assert "path" not in configuration


@pytest.mark.parametrize("delegates", ['"x"', "[3]", "[[]]", "{}", "[{}]"])
def test_odd_delegates_cost_nothing_else(runtime, delegates):
    text = f'{{"name": "m", "type": "multus", "delegates": {delegates}}}'
    (runtime / "conf/00-multus.conf").write_text(text)
    (runtime / "conf/10.conf").write_text('{"name": "n", "type": "ptp"}')

    first, second = cni_files.read_all()["configurations"]
    assert first["plugins"] == ["multus"]
    assert second["plugins"] == ["ptp"]

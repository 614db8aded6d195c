"""Which ConfigMaps are read: those that a DNS replica mounts, of whatever name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks import small_cluster
from tests.collect.conftest import ApiServer, status
from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.api_index.mounted_corefile import MOST_CONFIG_MAPS
from wirecheck.collect.api.client import Api

PODS = "/api/v1/pods"
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps/"
COREFILE = """.:53 {
    kubernetes prod.name in-addr.arpa ip6.arpa
    import custom/*.override
}
import custom/*.server
"""


def volume(name: str, config_map: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "configMap": {"name": config_map, **fields}}


def mount(name: str, path: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path, **fields}


@pytest.fixture
def replica(server: ApiServer) -> dict[str, Any]:
    """The spec of the only DNS replica, in a cluster that the server serves."""
    api = small_cluster.api()
    server.lists[PODS] = api["pods"]
    server.lists["/api/v1/services"] = api["services"]
    spec: dict[str, Any] = api["pods"][0]["spec"]
    return spec


def put(server: ApiServer, name: str, **data: str) -> None:
    server.objects[CONFIG_MAPS + name] = {
        "metadata": {"name": name, "namespace": "kube-system"},
        "data": data,
    }


def corefiles(api: Api) -> dict[str, dict[str, str]]:
    """What is kept of ConfigMaps with a Corefile, by name."""
    return {each.metadata.name: each.data for each in api.read().config_maps}


def asked(server: ApiServer) -> list[str]:
    return [each.removeprefix(CONFIG_MAPS) for each in server.paths() if CONFIG_MAPS in each]


def test_the_mounted_corefile_counts_and_not_the_usual_one(
    server: ApiServer, api: Api, replica: dict[str, Any]
) -> None:
    replica["volumes"] = [
        volume(
            "config", "rke2-coredns-rke2-coredns", items=[{"key": "Corefile", "path": "Corefile"}]
        ),
        volume("custom", "coredns-custom", optional=True),
        {"name": "token", "secret": {"secretName": "s"}},
    ]
    mounts = [mount("config", "/etc/coredns"), mount("custom", "/etc/coredns/custom")]
    replica["containers"] = [{"name": "c", "volumeMounts": [*mounts, mount("token", "/var/run")]}]
    put(
        server, "rke2-coredns-rke2-coredns", Corefile=COREFILE, other="not kept: mounted by no item"
    )
    put(
        server,
        "coredns-custom",
        **{
            "a.server": "example.org {\n    forward . 192.0.2.1\n    token abc\n}\n",
            "b.override": "    cache 30\n",
            "c.txt": "not imported",
        },
    )
    put(server, "coredns", Corefile=".:53 {\n    kubernetes old.local\n}\n")

    objects = api.read()

    (kept,) = objects.config_maps
    assert (kept.metadata.name, [*kept.data]) == ("rke2-coredns-rke2-coredns", ["Corefile"])
    text = kept.data["Corefile"]
    assert "cache 30" in text
    assert "token [not kept]" in text
    assert "import" not in text
    assert "not imported" not in text
    assert cluster_dns(objects).domain == "prod.name"
    assert "coredns" not in asked(server)
    assert objects.mounts_read
    assert objects.pods[0].spec.volumes == []
    assert objects.pods[0].spec.containers[0].volume_mounts == []


@pytest.mark.parametrize(
    ("volumes", "mounts", "data"),
    [
        ([volume("v", "m")], [mount("v", "/etc/coredns/Corefile", subPath="Corefile")],
         {"Corefile": COREFILE}),
        ([volume("v", "m", items=[{"key": "x.conf", "path": "Corefile"}])],
         [mount("v", "/config/")], {"x.conf": COREFILE, "Corefile": ".:53 {\n}\n"}),
        ([volume("v", "m")], [mount("v", "/config")], {"coredns.conf": COREFILE, "hosts": "x"}),
        ([{"name": "v", "projected": {"sources": [{"secret": {}}, {"configMap": {"name": "m"}}]}}],
         [mount("v", "/etc/coredns")], {"Corefile": COREFILE}),
    ],
)  # fmt: skip
def test_every_way_to_mount_a_corefile(  # noqa: PLR0917 - fixtures and cases
    server: ApiServer,
    api: Api,
    replica: dict[str, Any],
    volumes: list[Any],
    mounts: list[Any],
    data: dict[str, str],
) -> None:
    replica["volumes"] = volumes
    replica["containers"] = [{"name": "c", "volumeMounts": mounts}]
    put(server, "m", **data)

    assert "kubernetes prod.name" in corefiles(api)["m"]["Corefile"]


def test_a_mounted_corefile_that_may_not_be_read_is_not_replaced_by_another(
    server: ApiServer, api: Api, replica: dict[str, Any]
) -> None:
    replica["volumes"] = [volume("v", "mine")]
    replica["containers"] = [{"name": "c", "volumeMounts": [mount("v", "/etc/coredns")]}]
    put(server, "coredns", Corefile=COREFILE)
    server.script(CONFIG_MAPS + "mine", status(403, "no"))

    objects = api.read()

    assert objects.config_maps == []
    assert cluster_dns(objects).zones == ()
    assert 'resourceNames: ["mine"], verbs: ["get"]' in api.problems[0]


def test_without_mounts_the_usual_one_is_read(
    server: ApiServer, api: Api, replica: dict[str, Any]
) -> None:
    put(server, "coredns", Corefile=COREFILE)

    assert [*corefiles(api)] == ["coredns"]


def test_few_config_maps_are_read_whatever_a_pod_mounts(
    server: ApiServer, api: Api, replica: dict[str, Any]
) -> None:
    names = [f"m{number}" for number in range(50)]
    replica["volumes"] = [volume(name, name) for name in names] + [volume("odd", "../../secrets/x")]
    mounts = [mount(name, f"/etc/{name}") for name in ("odd", *names)]
    replica["containers"] = [{"name": "c", "volumeMounts": mounts}]

    assert corefiles(api) == {}

    mounted = [each for each in asked(server) if each.startswith("m")]
    assert len(mounted) == MOST_CONFIG_MAPS - 1
    assert not any("/api/v1/namespaces/kube-system/secrets" in each for each in server.paths())


def test_mounts_over_resolv_conf_are_kept(
    server: ApiServer, api: Api, replica: dict[str, Any]
) -> None:
    paths = ["/etc/resolv.conf", "/etc/", "/etc/coredns", "/data"]
    web = server.lists[PODS][1]["spec"]
    web["containers"] = [{"name": "c", "volumeMounts": [mount("v", each) for each in paths]}]

    (container,) = api.read().pods[1].spec.containers

    assert [each.mount_path for each in container.volume_mounts] == ["/etc/resolv.conf", "/etc/"]


def test_the_certificate_of_the_service_account_is_not_read(
    server: ApiServer, api: Api, replica: dict[str, Any]
) -> None:
    """Every pod mounts ConfigMap kube-root-ca.crt, and the role of a run does not grant it."""
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt"}},
    ]
    replica["volumes"] = [
        volume("config", "coredns"),
        {"name": "kube-api-access-x7k2p", "projected": {"sources": sources}},
    ]
    replica["containers"] = [
        {
            "name": "coredns",
            "volumeMounts": [
                mount("config", "/etc/coredns"),
                mount("kube-api-access-x7k2p", "/var/run/secrets/kubernetes.io/serviceaccount"),
            ],
        }
    ]
    put(server, "coredns", Corefile=".:53 {\n    kubernetes prod.name\n}\n")

    assert "coredns" in corefiles(api)
    assert not [each for each in asked(server) if "kube-root-ca.crt" in each]

"""What is known about a node's kube-proxy, from itself and from other sources."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Since
from wirecheck.dataplane.proxy import Mode
from wirecheck.node.kube_proxy import LAST_SYNC, KubeProxy
from wirecheck.snapshot.node_document import HttpAnswer

BUILD = 'kubernetes_build_info{build_date="x",git_version="v1.34.4",major="1"} 1\n'
QUEUED, DONE = (
    f"kubeproxy_sync_proxy_rules_last_{each}timestamp_seconds" for each in ("queued_", "")
)
IPVS = "kind: KubeProxyConfiguration\nmode: ipvs\n"


def proxy(configured: str = "", **fields: Any) -> KubeProxy:
    """A kube-proxy; each further field is the body of an endpoint, or a field of the record."""
    names = ("metrics", "proxyMode", "configz", "healthz")
    http = {
        name: each if isinstance(each, HttpAnswer) else HttpAnswer(200, each)
        for name, each in fields.items()
        if name in names
    }
    known = {"programmed": (), "image": "", "kubelet_version": "v1.33.0", "seen_at": 1000.0}
    known |= {name: each for name, each in fields.items() if name not in names}
    return KubeProxy("n1", http, configured, **known)


@pytest.mark.parametrize(
    ("known", "version"),
    [
        (proxy(), "v1.33.0"),
        (proxy(image="registry.test:5000/kube-proxy:v1.32.1"), "v1.32.1"),
        (proxy(image="registry.test/kube-proxy:v1.32.1", metrics=BUILD), "v1.34.4"),
        (proxy(metrics="# no build\n"), "v1.33.0"),
    ],
)
def test_its_own_version_counts_before_the_images_and_the_kubelets(
    known: KubeProxy, version: str
) -> None:
    assert known.version == version


@pytest.mark.parametrize(
    ("known", "mode"),
    [
        (proxy(), "iptables"),
        (proxy(proxyMode="nftables\n"), "nftables"),
        (proxy(IPVS), "ipvs"),
        (proxy(IPVS, proxyMode="iptables"), "iptables"),
        (proxy(IPVS, proxyMode=HttpAnswer(404, "nftables")), "ipvs"),
        (proxy(IPVS, configz='{"mode": "nftables"}'), "nftables"),
        (proxy(programmed=(Mode.NFTABLES,)), "nftables"),
        (proxy(IPVS, programmed=(Mode.NFTABLES,)), "ipvs"),
        (proxy(programmed=(Mode.NFTABLES,), proxyMode="ipvs"), "ipvs"),
    ],
)
def test_its_mode_is_what_it_reports_or_else_what_is_configured_or_programmed(
    known: KubeProxy, mode: str
) -> None:
    assert known.mode == mode


def test_rules_of_two_modes_leave_the_mode_unknown() -> None:
    two = (Mode.IPTABLES, Mode.IPVS)

    with pytest.raises(FactMissingError, match="rules of iptables and ipvs"):
        _ = proxy(programmed=two).mode
    assert proxy(programmed=two, proxyMode="ipvs").mode == "ipvs"
    assert proxy(IPVS, programmed=two).mode == "ipvs"


@pytest.mark.parametrize(
    "known",
    [
        proxy(configz="{"),
        proxy(configz="[" * 100_000),
        proxy("mode: ["),
        proxy(proxyMode="userspace"),
        proxy(kubelet_version="newest"),
    ],
)
def test_settings_that_are_unrecognised_are_an_error(known: KubeProxy) -> None:
    with pytest.raises(FactMissingError, match="kube-proxy on n1 is unrecognised"):
        _ = known.facts


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(HttpAnswer(error="refused"), "refused"), (HttpAnswer(503, "ipvs"), "status 503")],
)
def test_a_mode_that_it_does_not_report_is_not_known(answer: HttpAnswer, problem: str) -> None:
    with pytest.raises(NotApplicable, match=problem):
        _ = proxy(IPVS, proxyMode=answer).actual_mode
    assert proxy(IPVS, proxyMode="nftables").actual_mode is Mode.NFTABLES


def test_the_configured_mode_is_that_of_the_config_map() -> None:
    assert proxy(IPVS, proxyMode="iptables").configured_mode is Mode.IPVS
    with pytest.raises(NotApplicable):
        _ = proxy().configured_mode
    with pytest.raises(FactMissingError, match="ConfigMap"):
        _ = proxy("mode: [").configured_mode
    with pytest.raises(FactMissingError, match="ConfigMap"):
        _ = proxy("mode: unknown").configured_mode


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("mode: ipvs", {"mode": "ipvs"}), ("[1]", None)]
)
def test_its_own_configuration_has_no_defaults(text: str, value: object) -> None:
    assert proxy(text).own_configuration == value


def test_a_damaged_configuration_is_an_error() -> None:
    with pytest.raises(FactMissingError, match="ConfigMap kube-system/kube-proxy: "):
        _ = proxy("mode: [").own_configuration


@pytest.mark.parametrize(
    ("known", "is_configured"),
    [
        (proxy(), False),
        (proxy(IPVS), True),
        (proxy(configz="{}"), True),
        (proxy(configz=""), False),
    ],
)
def test_its_configuration_is_known_from_either_source(
    known: KubeProxy, is_configured: bool
) -> None:
    assert known.is_configured is is_configured


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (HttpAnswer(200, "ok"), ""),
        (HttpAnswer(error="refused"), "no answer at http://127.0.0.1:10256/healthz: refused"),
        (HttpAnswer(503, "not\n healthy"), "status 503 at /healthz: not healthy"),
        (HttpAnswer(503, "x" * 400), f"status 503 at /healthz: {'x' * 300}"),
    ],
)
def test_a_health_problem_is_what_healthz_answers(answer: HttpAnswer, problem: str) -> None:
    assert proxy(healthz=answer).health_problem == problem


def syncs(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_a_change_waits_since_it_was_queued() -> None:
    waiting = proxy(metrics=syncs(f"{QUEUED} 700", f"{DONE} 600"), seen_at=1000.0)
    (sync,) = waiting.syncs
    assert waiting.seconds_waiting(sync) == 300.0
    assert waiting.last_sync == waiting.last_sync_of(sync) == Since(600.0, LAST_SYNC)

    ahead = proxy(metrics=syncs(f"{QUEUED} 1200", f"{DONE} 600"), seen_at=1000.0)
    assert ahead.seconds_waiting(ahead.syncs[0]) == 0.0

    synced = proxy(metrics=syncs(f"{QUEUED} 600", f"{DONE} 700"), seen_at=1000.0)
    assert synced.seconds_waiting(synced.syncs[0]) == 0.0


def test_the_last_sync_is_that_of_the_family_that_waits_longest() -> None:
    of_two = syncs(
        *(f'{QUEUED}{{ip_family="IPv{of}"}} 950' for of in (4, 6)),
        *(f'{DONE}{{ip_family="IPv{of}"}} {at}' for of, at in ((4, 900), (6, 800))),
    )
    assert proxy(metrics=of_two).last_sync == Since(800.0, LAST_SYNC)

    never = proxy(metrics=syncs(f"{QUEUED} 700", f"{DONE} 0"))
    assert never.last_sync is None
    assert never.last_sync_of(never.syncs[0]) is None
    early = proxy(metrics=syncs(f"{QUEUED} 700", f"{DONE} 1"))
    assert early.last_sync == early.last_sync_of(early.syncs[0]) == Since(1.0, LAST_SYNC)
    assert proxy().last_sync is None


def test_the_evidence_about_syncs_has_their_metrics_without_comments() -> None:
    failures = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 2"
    text = syncs(f"# HELP {DONE} The last", BUILD.strip(), failures, f"{DONE} 1", f"{QUEUED} 2")

    assert proxy(metrics=text).sync_evidence == [failures, f"{DONE} 1", f"{QUEUED} 2"]

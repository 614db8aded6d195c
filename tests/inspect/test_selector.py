"""Names as kubectl takes them: with -n, and pods by their labels."""

import json

import pytest


def test_a_namespace_beside_the_name(inspect, healthy):
    whole = inspect("pod", "shop/db-0", "--snapshot", healthy)

    assert inspect("pod", "db-0", "-n", "shop", "--snapshot", healthy) == whole
    assert inspect("pod", "shop/db-0", "-n", "shop", "--snapshot", healthy) == whole
    assert whole[0] == 0
    assert inspect("service", "web", "-n", "shop", "--snapshot", healthy)[0] == 0


def test_two_namespaces_are_refused(inspect, healthy):
    status, _, err = inspect("pod", "shop/db-0", "-n", "ops", "--snapshot", healthy)

    assert status == 4
    assert "names another namespace than -n ops" in err


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=db", {"db-0", "db-1", "db-2"}),
        ("app=db,apps.kubernetes.io/pod-index!=1", {"db-0", "db-2"}),
        ("app==db,!no-such-label,app", {"db-0", "db-1", "db-2"}),
    ],
)
def test_pods_by_their_labels(inspect, healthy, selector, names):
    _, out, _ = inspect("pod", "-n", "shop", "-l", selector, "--snapshot", healthy, "-o", "json")
    _, text, _ = inspect("pod", "-n", "shop", "-l", selector, "--snapshot", healthy)

    assert {view["name"] for view in json.loads(out)} == names
    assert all(f"Pod shop/{name} on " in text for name in names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-l", "app=nobody"], "No pod has the labels app=nobody"),
        (["-l", "app in (a, b)"], "is not a selector"),
        ([], "Name one pod"),
        (["shop/db-0", "-l", "app=db"], "Name one pod"),
    ],
)
def test_what_cannot_be_is_refused(inspect, healthy, words, said):
    status, _, err = inspect("pod", *words, "--snapshot", healthy)

    assert status == 4
    assert said in err

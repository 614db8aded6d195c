"""Commands that messages suggest repeat the options that name the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirecheck.collect.api.client import Api
from wirecheck.collect.api.connection import Connection
from wirecheck.collect.api.errors import Server
from wirecheck.collect.pods.run_pods import removed_at_last
from wirecheck.report.pasted_commands import with_options
from wirecheck.run.request import Request


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        (Request(), ""),
        (Request(context="prod"), "--context prod"),
        (
            Request(inventory=Path("my inventory.yaml"), kubeconfig=Path("k"), context="a b"),
            "--inventory 'my inventory.yaml' --kubeconfig k --context 'a b'",
        ),
    ],
)
def test_the_options_of_a_request_can_be_pasted(request_, options):
    assert request_.cluster_options == options


@pytest.mark.parametrize(
    ("text", "pasted"),
    [
        ("Do `kubectl -n a delete pod b`.", "Do `kubectl --context c -n a delete pod b`."),
        (
            "`kubectl drain n`, then `kubectl uncordon n`",
            "`kubectl --context c drain n`, then `kubectl --context c uncordon n`",
        ),
        (
            "`kubectl get a | kubectl apply -f -`",
            "`kubectl --context c get a | kubectl --context c apply -f -`",
        ),
        ("Access by `kubectl://`, as kubectl does.", "Access by `kubectl://`, as kubectl does."),
        ("`kubectl --context x version`", "`kubectl --context x version`"),
        ("`my-kubectl get`, `/bin/kubectl get`", "`my-kubectl get`, `/bin/kubectl get`"),
    ],
)
def test_remedies_reach_the_cluster_that_was_checked(text, pasted):
    assert with_options(text, "--context c") == pasted
    assert with_options(text, "") == text


def test_the_cluster_of_kubectl_is_that_of_the_run(tmp_path):
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(
        "kubeconfig: kube\ncontext: 'of it'\nnodes: [{name: '*', access: 'ssh://{address}'}]\n"
    )

    assert Request().kubectl_options == ""
    assert Request(context="a b").kubectl_options == "--context 'a b'"
    assert Request(snapshot=Path("s"), inventory=inventory).kubectl_options == ""
    of_it = f"--kubeconfig {tmp_path}/kube --context"
    assert Request(inventory=inventory).kubectl_options == f"{of_it} 'of it'"
    assert Request(inventory=inventory, context="mine").kubectl_options == f"{of_it} mine"
    own = Request(inventory=inventory, kubeconfig=Path("mine"))
    assert own.kubectl_options == "--kubeconfig mine"


def test_kubectl_gets_the_kubeconfig_that_was_named():
    assert Server("h", "prod").hint == "try `kubectl --context prod version`."
    named = Server("h", "prod; rm x", "/my kube/config")
    assert named.hint == (
        "try `kubectl --kubeconfig '/my kube/config' --context 'prod; rm x' version`."
    )


def test_a_server_that_refuses_is_asked_again_with_the_same_kubeconfig(server, kubeconfig):
    api = Api.connect(kubeconfig, options="--kubeconfig it")

    assert f"--kubeconfig {kubeconfig}" in api.connection.server.hint
    assert isinstance(api.connection, Connection)
    assert api.clean == "wirecheck clean --kubeconfig it"


def test_left_over_pods_are_removed_in_the_same_cluster():
    said: list[str] = []

    class Interrupted:
        def remove(self) -> str:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        removed_at_last(Interrupted(), said.append, "wirecheck clean --context prod"),
    ):
        pass

    assert "`wirecheck clean --context prod` removes them" in said[-1]

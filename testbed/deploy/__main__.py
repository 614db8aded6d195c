"""`python -m testbed.deploy`: the image, and each overlay of deploy/, on the test cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

import click
import yaml

from testbed import mixed
from testbed.cluster import kubectl
from testbed.commands import TestbedError
from testbed.deploy import chart as charts
from testbed.deploy import image as images
from testbed.deploy import retention, rights
from testbed.deploy.overlay import FOLDER, HELPERS, NAMESPACE, NODE, applied
from testbed.deploy.results import Report, differences, newest_report
from testbed.deploy.watching import watch_as_account
from testbed.layout import VM, Layout
from testbed.nodes import output
from testbed.proof import conclude
from testbed.readonly import __main__ as readonly
from testbed.readonly.audit import position
from testbed.state import State, state, write_atomically
from testbed.steps import step

LIMIT = 300.0
LARGE_MESSAGES = (
    "reachability.large_payloads_between_nodes",
    "reachability.large_payloads_within_node",
)
DISPOSABLE = "app.kubernetes.io/managed-by=wirecheck"


@click.command()
def main() -> None:
    """Run everything in deploy/ on the test cluster."""
    conclude(
        lambda: _prove(state()),
        holds="deploy/ works as it is",
        fails="deploy/ does NOT work as it is",
    )


def _prove(here: State) -> list[str]:
    record = here.running()
    names = [node.name for node in Layout(record.subnet).containers]
    with step("image"):
        name = images.build(here)
    with step("bring it to the nodes"):
        images.bring(name, names, here)
    with applied(here, "health-reports", name):
        report, wrong = _health_report(names, here)
        with step("from outside, by ssh, Ansible and the agents at once"):
            wrong += mixed.prove_with_agents(here, Layout(record.subnet))
        with step("only reading, by the agents"):
            wrong += _read_only_by_agents(names, here)
    with charts.installed(here, name):
        wrong += _chart(report, names, here)
    with applied(here, "large-cluster", name):
        wrong += _shares(report)
    with applied(here, "pods-for-the-run", name):
        wrong += _pods_for_the_run(names, here)
    with applied(here, "preprod", name):
        wrong += _helper_pods(names, here)
    return wrong


def _health_report(names: list[str], here: State) -> tuple[Report, list[str]]:
    with step("agents"):
        kubectl(
            *("--namespace", NAMESPACE, "rollout", "status", "daemonset/wirecheck-agent"),
            *("--timeout", f"{LIMIT:.0f}s"),
            timeout=LIMIT + 10,
        )
    retention.fill()
    start = position()
    with step("health report"):
        kubectl(
            "--namespace", NAMESPACE, "create", "job", "wirecheck-now", "--from=cronjob/wirecheck"
        )
        _wait_for_job("wirecheck-now")
    with step("watches of a large cluster"):
        watch_as_account(here)
    taken, refused = rights.used(start)
    report = newest_report()
    wrong = rights.objections(rights.granted(), taken, refused)
    wrong += _incomplete(report, len(names))
    wrong += retention.wrong_on_the_volume()
    metrics = output(NODE, ["cat", f"{FOLDER}/wirecheck.prom"])
    if "wirecheck_run_status{" not in metrics:
        wrong.append("wirecheck.prom lacks wirecheck_run_status")
    return report, wrong


def _chart(of_overlay: Report, names: list[str], here: State) -> list[str]:
    """The chart's health report is complete, with the same rights and the same outcomes."""
    report, wrong = _health_report(names, here)
    return wrong + differences(of_overlay, report)


def _read_only_by_agents(names: list[str], here: State) -> list[str]:
    inventory = here.root / "deploy/inventory-agents.yaml"
    ssh = {"access": "ssh://root@{address}", "ssh_config": str(here.ssh_config)}
    nodes = [{"name": VM, **ssh}, {"name": "wc-*", "access": "kubectl://"}]
    content = {"kubeconfig": str(here.kubeconfig), "nodes": nodes}
    write_atomically(inventory, yaml.safe_dump(content))
    passed = readonly.prove(names, str(inventory))
    return [] if passed else ["a run by the agents is not read-only"]


def _shares(single: Report) -> list[str]:
    with step("shares of an Indexed Job"):
        _wait_for_job("wirecheck-shares")
    whole = newest_report()
    # The health report has the checks of its profile alone.
    of_profile = {check for check, _ in single.outcomes}
    both = {item: outcome for item, outcome in whole.outcomes.items() if item[0] in of_profile}
    left = output(NODE, ["find", f"{FOLDER}/shares", "-mindepth", "1"]).split()
    return differences(single, Report(both, {})) + [f"left behind: {each}" for each in left]


def _pods_for_the_run(names: list[str], here: State) -> list[str]:
    start = position()
    with step("agent pods for one run"):
        _wait_for_job("wirecheck")
        watch_as_account(here)
    taken, refused = rights.used(start)
    wrong = rights.objections(rights.granted(), taken, refused)
    wrong += _incomplete(newest_report(), len(names))
    left = kubectl("--namespace", NAMESPACE, "get", "pods", "-l", DISPOSABLE, "-o", "name").split()
    return wrong + [f"left behind: {each}" for each in left]


def _helper_pods(names: list[str], here: State) -> list[str]:
    start = position()
    with step("helper pods for one run"):
        _wait_for_job("wirecheck")
        watch_as_account(here)
    taken, refused = rights.used(start)
    report = newest_report()
    wrong = rights.objections(rights.granted(), taken, refused) + _incomplete(report, len(names))
    if report.coverage.get("helper_pods") != len(names):
        wrong.append(f"not all nodes had a helper pod: {report.coverage}")
    wrong += [
        f"{check}[{node}] is {report.outcomes.get((check, node))}"
        for check in LARGE_MESSAGES
        for node in names
        if report.outcomes.get((check, node)) != "pass"
    ]
    left = kubectl("--namespace", HELPERS, "get", "pods", "-o", "name").split()
    return wrong + [f"left behind: {each}" for each in left]


def _incomplete(report: Report, number: int) -> list[str]:
    wrong = [f"red in the cluster's own report: {each}" for each in report.red]
    if report.coverage.get("nodes_seen") != number:
        wrong.append(f"the report has seen {report.coverage}")
    return wrong


def _wait_for_job(name: str) -> None:
    """Until the Job has succeeded; TestbedError with its log if it does not."""
    status: Mapping[str, object] = {}
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        job = json.loads(kubectl("--namespace", NAMESPACE, "get", "job", name, "-o", "json"))
        status = job["status"]
        conditions = {each["type"] for each in job["status"].get("conditions", ())}
        if "Complete" in conditions:
            return
        if "Failed" in conditions:
            break
        time.sleep(0.5)
    log = _quietly(lambda: kubectl("--namespace", NAMESPACE, "logs", f"job/{name}", "--tail=20"))
    raise TestbedError(f"the Job {name} did not succeed ({status}); its log ends:\n{log}")


def _quietly(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except TestbedError as error:
        return str(error)


if __name__ == "__main__":
    main()

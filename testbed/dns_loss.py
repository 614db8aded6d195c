"""`python -m testbed.dns_loss`: how often one run finds that the pods of one node lose packets.

In each trial the pods of one node lose packets (`tc netem`), and wirecheck runs as a user runs it.
A loss of 10 % has to be found in 97 of 100 trials, and one of 0.1 % reported in at most one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from testbed.cluster import kubectl
from testbed.commands import TestbedError
from testbed.faults.target import FIND_PROCESS
from testbed.nodes import output, run
from testbed.state import state
from wirecheck.results.jsonl import read_results

CHECK = "dns.no_packet_loss"
FOUND = ("fail", "warn")
REPORTED = (*FOUND, "flaky")
"""A small loss may not even be seen in one round of several."""
SERIOUS = 10.0
"""Percent from which a loss has to be found; a smaller one need not be reported."""

TOOLS = {"netem": ("replace", "del"), "iptables": ("-I", "-D")}
"""How each tool begins and ends the loss."""

LEAST_FOUND = 0.97
MOST_REPORTED = 0.01


@click.command()
@click.option("--loss", default=SERIOUS, show_default=True, help="Percent of packets to lose.")
@click.option("--trials", default=100, show_default=True)
@click.option("--node", default="wc-w1", show_default=True)
@click.option("--intervals", default="3,6", show_default=True, help="Between the rounds of a run.")
@click.option("--at-once", default=1, show_default=True, help="Trials that run side by side.")
def main(loss: float, trials: int, node: str, intervals: str, at_once: int) -> None:
    """Run the trials, and say how many of them found the loss."""
    found = []
    counted = FOUND if loss >= SERIOUS else REPORTED
    each_trial = partial(outcomes_of_one_run, intervals)
    with losing(node, loss) as (pods, tool), ThreadPoolExecutor(at_once) as pool:
        click.echo(f"{len(pods)} pods of {node} lose {loss:g} % of their packets ({tool}).")
        for number, outcomes in enumerate(pool.map(each_trial, range(trials)), start=1):
            found.append(outcomes.get(node, "") in counted)
            listed = ", ".join(f"{name} {each}" for name, each in sorted(outcomes.items()))
            click.echo(f"trial {number:3}: {listed}; found in {sum(found)}")
    click.echo(f"{sum(found)} of {trials} trials found a loss of {loss:g} % on {node}")
    sys.exit(0 if is_as_promised(sum(found), trials, loss) else 1)


def is_as_promised(found: int, trials: int, loss: float) -> bool:
    """Whether enough trials found a serious loss, or few enough reported a small one."""
    if loss >= SERIOUS:
        return trials > 0 and found >= LEAST_FOUND * trials
    return trials > 0 and found <= max(1, MOST_REPORTED * trials)


def outcomes_of_one_run(intervals: str, number: int = 0) -> dict[str, str]:
    """The check's outcome by node, from one run with all its rounds."""
    root = state().root
    folder = root / f"dns-loss-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "wirecheck", "run", "-k", CHECK),
        *("--inventory", str(root / "inventory.yaml")),
        *("--report-dir", str(folder), "--round-intervals", intervals),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    written = list(folder.glob("*/results.jsonl"))
    if ended.returncode not in (0, 1, 2) or not written:
        raise TestbedError(f"wirecheck ended with {ended.returncode}: {ended.stderr[-2000:]}")
    items = read_results(written[0]).items
    shutil.rmtree(folder)
    return {item.node: str(item.outcome) for item in items if item.check == CHECK}


@contextmanager
def losing(node: str, loss: float) -> Iterator[tuple[Sequence[str], str]]:
    """Let the pods of a node lose packets; yields their process ids, and what loses the packets."""
    listed = kubectl("get", "pods", "-A", "--field-selector", f"spec.nodeName={node}", "-o", "json")
    pids = [_process_of(node, uid) for uid in lossy_pods(json.loads(listed)["items"])]
    tool = _usable_tool(node, pids[0])
    begin, end = (_words(tool, verb, loss) for verb in TOOLS[tool])
    try:
        for pid in pids:
            output(node, [*_in_netns(pid), *begin])
        yield pids, tool
    finally:
        for pid in pids:
            run(node, [*_in_netns(pid), *end])


def _usable_tool(node: str, pid: str) -> str:
    """`netem` if the kernel has it; otherwise a rule in the pods drops answers of DNS."""
    begin, end = (_words("netem", verb, SERIOUS) for verb in TOOLS["netem"])
    usable = run(node, [*_in_netns(pid), *begin]).status == 0
    run(node, [*_in_netns(pid), *end])
    return "netem" if usable else "iptables"


def _words(tool: str, verb: str, loss: float) -> list[str]:
    if tool == "netem":
        way = ["netem", "loss", f"{loss:g}%"] if verb == "replace" else []
        return ["tc", "qdisc", verb, "dev", "eth0", "root", *way]
    # Dropped on arrival: the kernel would report a packet that it drops in OUTPUT to the sender.
    return [
        *("iptables", verb, "INPUT", "-p", "udp", "--sport", "53", "-m", "statistic"),
        *("--mode", "random", "--probability", f"{loss / 100:g}", "-j", "DROP"),
    ]


def lossy_pods(pods: Sequence[dict[str, Any]]) -> list[str]:
    """The uids of the running pods with a netns of their own, except DNS replicas.

    Packets that a replica loses would be lost for the pods of every node.
    """
    found = [
        str(pod["metadata"]["uid"])
        for pod in pods
        if pod["status"]["phase"] == "Running"
        and not pod["spec"].get("hostNetwork")
        and pod["metadata"].get("labels", {}).get("k8s-app") != "kube-dns"
        and "deletionTimestamp" not in pod["metadata"]
    ]
    if not found:
        raise TestbedError("No pod of that node has a network namespace of its own.")
    return found


def _process_of(node: str, uid: str) -> str:
    pid = output(node, ["python3", "-c", FIND_PROCESS, uid]).strip()
    if not pid:
        raise TestbedError(f"No process of the pod {uid} is found on {node}.")
    return pid


def _in_netns(pid: str) -> list[str]:
    return ["nsenter", "-t", pid, "-n"]


if __name__ == "__main__":
    main()

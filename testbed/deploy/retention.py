"""Old reports on the volume, of which the CronJob keeps a bounded number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import yaml

from testbed.deploy.image import PROJECT
from testbed.deploy.overlay import FOLDER, NODE, USER
from testbed.nodes import output

CRONJOB = PROJECT / "deploy/overlays/health-reports/cronjob.yaml"
KEEP = "--keep="
KILLED = ".2020-01-01T00-00-00Z.part"


def kept() -> int:
    """How many reports the CronJob keeps."""
    spec = yaml.safe_load(CRONJOB.read_text())["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (number,) = (arg for arg in spec["containers"][0]["args"] if arg.startswith(KEEP))
    return int(number.removeprefix(KEEP))


def fill() -> None:
    """More old reports than that, and what a killed run has left."""
    old = [f"2020-01-02T{n // 60:02}-{n % 60:02}-00Z/snapshot" for n in range(kept() + 5)]
    paths = [f"{FOLDER}/{each}" for each in (*old, f"{KILLED}/snapshot")]
    output(NODE, ["mkdir", "-p", *paths])
    output(NODE, ["chown", "-R", f"{USER}:{USER}", FOLDER])


def wrong_on_the_volume() -> list[str]:
    """What is wrong with it after one run."""
    found = output(NODE, ["find", FOLDER, "-mindepth", "1", "-maxdepth", "1", "-type", "d"])
    return wrong([PurePath(each).name for each in found.split()], kept())


def wrong(folders: Sequence[str], keep: int) -> list[str]:
    """What is wrong with the folders that a run has left, as sentences."""
    reports = sorted(each for each in folders if not each.startswith("."))
    problems = [f"{len(reports)} reports are left of which {keep} were to stay"] * (
        len(reports) != keep
    )
    problems += ["the run's own report is not among them"] * all(
        each.startswith("2020-") for each in reports
    )
    return problems + [f"left behind: {each}" for each in folders if each.startswith(".")]

"""The table of pod networks in the documentation, a row for each that was proven."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from testbed.file_layout import KUBEADM, FileLayout
from testbed.marked_page import between, put_between
from testbed.networks.pod_network import PodNetwork, names

BEGIN, END = "<!-- networks -->", "<!-- end of networks -->"
HEAD = (
    "| network | what | build, minutes | start, seconds | memory of control plane and workers "
    "| faults | result | on |",
    "|---|---|---|---|---|---|---|---|",
)
_TITLED = re.compile(r"\| ([a-z0-9-]+(?:, dual stack|, k3s)?) \|")


@dataclass(slots=True)
class Proven:
    """What was measured of a network, and what was found wrong with it."""

    pod_network: PodNetwork
    dual_stack: bool
    build_seconds: float = 0.0
    """What the programs took to build that only this network has, when they were built last."""
    start_seconds: float = 0.0
    memory: str = ""
    faults: str = ""
    wrong: list[str] = field(default_factory=list)
    files: FileLayout = KUBEADM

    @property
    def title(self) -> str:
        shape = ", dual stack" if self.dual_stack else ""
        return self.pod_network.name + shape + ("" if self.files is KUBEADM else ", k3s")


def into_page(page: Path, proven: Proven, day: str) -> None:
    """Put what was seen on `day` into the table of a page; other networks keep their row."""
    rows = between(page, BEGIN, END).splitlines()
    lines = {found[1]: line for line in rows if (found := _TITLED.match(line))}
    lines.pop("network", None)
    lines[proven.title] = as_markdown(proven, day)
    order = [title for name in names() for title in (name, f"{name}, dual stack", f"{name}, k3s")]
    listed = [lines[title] for title in order if title in lines]
    put_between(page, BEGIN, END, "".join(f"{line}\n" for line in (*HEAD, *listed)))


def as_markdown(proven: Proven, day: str) -> str:
    """Its line of the table."""
    minutes = f"{proven.build_seconds / 60:.1f}" if proven.build_seconds else "nothing to build"
    result = f"**{len(proven.wrong)} wrong**" if proven.wrong else "healthy in every profile"
    cells = (
        proven.title,
        proven.pod_network.what,
        minutes,
        f"{proven.start_seconds:.0f}",
        proven.memory or "not measured",
        proven.faults or "not injected",
        result,
        day,
    )
    return f"| {' | '.join(cells)} |"

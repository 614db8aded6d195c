"""Lines on a terminal: a label, a text, and a mark where something fails."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from wirecheck.catalogue.findings import Outcome
from wirecheck.inspect.parts import FindingView, InterfaceView, Source
from wirecheck.results.ordering import worst
from wirecheck.results.tally import WORDS, Tally
from wirecheck.text import harmless, middle_cut, shortened

LABEL = 17
LONGEST = 400
LONGEST_HERE = 160
MOST_EVIDENCE = 6

CROSS = "\N{BOX DRAWINGS LIGHT DIAGONAL CROSS}"
"""Marks a point that packets do not pass."""

PLAIN = str.maketrans(f"│├└┌─{CROSS}✓✗…", "|+++-xvx.")
"""Replacements for terminals without UTF-8."""

STYLES = {"fail": "bold red", "error": "bold magenta", "warn": "bold yellow", "good": "green"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `rail` is drawn before the label, so that a vertical line connects the steps."""

    text: str = ""
    label: str = ""
    rail: str = ""
    style: str = ""


def show(lines: Iterable[Line], console: Console) -> None:
    """Print the lines: wrapped and coloured on a terminal, elsewhere one line each."""
    for line in lines:
        width = LABEL if line.label else 0
        head = f"{line.rail}{harmless(line.label):{max(0, width - len(line.rail) - 1)}} "
        if not width:
            head = line.rail
        text = f"{head}{harmless(line.text)}".rstrip()
        if console.encoding.lower() not in ("utf-8", "utf8"):
            text = text.translate(PLAIN)
            text = text.encode(console.encoding, "backslashreplace").decode(console.encoding)
        for piece in _wrapped(text, head, line.rail, console):
            console.print(Text(piece, style=line.style), soft_wrap=True)


def _wrapped(text: str, head: str, rail: str, console: Console) -> list[str]:
    if not console.is_terminal or len(text) <= console.width:
        return [text]
    margin = rail + " " * (len(head) - len(rail) + 2)
    return textwrap.wrap(
        text,
        console.width,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [text]


def heading(source: Source) -> Line:
    """The line with the cluster and the time."""
    when = datetime.fromtimestamp(source.time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    cluster = f"{source.cluster or 'unnamed cluster'}, Kubernetes {source.version or 'unknown'}"
    rounds = f", the first of {source.looks} rounds" if source.looks > 1 else ""
    return Line(f"{cluster}, seen {when}{rounds}")


def interface_text(each: InterfaceView) -> str:
    """The interface: `10.244.1.5/24  mtu 1450  UP  5e:67:74:60:f7:da`."""
    state = "UP" if each.up else "DOWN"
    if each.up and not each.carrier:
        state = "UP but NO CARRIER"
    words = [", ".join(each.addresses)] if each.addresses or each.master else ["no address"]
    words = [word for word in words if word]
    words += [f"mtu {each.mtu}", state]
    words += [each.mac] if each.mac else []
    if each.vxlan_id is not None:
        # Without a VNI of its own, a program or a route chooses it for each packet (`external`).
        vni = each.vxlan_id or "external"
        local = f" from {each.vxlan_local}" if each.vxlan_local else ""
        words.append(f"vxlan {vni}{local} port {each.vxlan_port}")
    return "  ".join(words)


def findings_here(findings: Iterable[FindingView], rail: str = "") -> Iterator[Line]:
    """The findings at one step, shortened. The complete ones follow at the end."""
    for each in findings:
        about = f" {each.part}" if each.part else ""
        yield Line(
            f"{each.check}{about}: {_in_short(each)}",
            label=f"  {'!' if each.level == 'warn' else '✗'} {each.outcome}",
            rail=rail,
            style=STYLES.get(each.level, ""),
        )


def tally_of_findings(findings: Sequence[FindingView]) -> Tally:
    """The numbers of a view, counted as those of a run."""
    outcomes: dict[str, Outcome] = {}
    for each in findings:
        outcome = Outcome(each.outcome)
        outcomes[each.check] = worst([outcome, outcomes.get(each.check, outcome)])
    nodes = {
        outcome: len(
            {each.node for each in findings if each.outcome == outcomes[each.check] == outcome}
            - {""}
        )
        for outcome in outcomes.values()
    }
    own = {each.check for each in findings if each.outcome == "fail" and not each.follows_from}
    return Tally(outcomes, nodes, len(own))


def _in_short(each: FindingView) -> str:
    found = shortened(each.found, LONGEST_HERE)
    if each.level == "error":
        return found
    return f"{found}; expected {shortened(each.expected, LONGEST_HERE)}"


def found_lines(findings: Sequence[FindingView]) -> Iterator[Line]:
    """The complete findings at the end of a view, counted, with their evidence."""
    counted = tally_of_findings(findings)
    parts = [counted.phrase(outcome) for outcome in WORDS if counted.number(outcome)]
    yield Line(f"{', '.join(parts)}:", style="bold")
    for each in findings:
        where = f"{each.node}: " if each.node else ""
        name = f"{each.namespace}/{each.name}" if each.namespace else each.name
        about = " ".join(filter(None, (each.kind, name, each.part)))
        yield Line(
            f"{each.check}  {where}{about}",
            label=each.outcome.upper(),
            style=STYLES.get(each.level, ""),
        )
        if each.since:
            yield Line(each.since, label="  since")
        if each.follows_from:
            yield Line(each.follows_from, label="  follows from")
        if each.level != "error":
            yield Line(shortened(each.expected, LONGEST), label="  expected")
        yield Line(shortened(each.found, LONGEST), label="  found")
        for line in middle_cut(each.evidence, MOST_EVIDENCE):
            yield Line(line, label="  evidence")
        if each.evidence[MOST_EVIDENCE:]:
            yield Line("-o json has all lines", label="  evidence")

"""DNS lookups that were made, compared with the answers that the API implies."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import replace

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import FactMissingError, Ref, Unanswered
from wirecheck.parse.dns_answer import Answer, parse_answer
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.attempts import Probe


def second_of(probe: Probe) -> Probe:
    """The second query of a pair, as a probe of its own."""
    tries = [replace(each, answer=each.second) for each in probe.tries]
    return replace(probe, query=probe.second, tries=tries)


def names_of(question: str, probe: Probe) -> dict[str, str]:
    """Names for a remedy: what was asked, and which server."""
    name, _, type_ = question.rpartition(" ")
    return {"dns_name": name, "dns_type": type_, "server": probe.server}


KUBERNETES = "kubernetes.default.svc."
NOTHING = Answer("NOERROR", frozenset())


@dataclass(frozen=True)
class ExpectedAnswer:
    """The answer that the API implies, and the objects that it depends on."""

    answer: Answer
    concerns: tuple[Ref, ...] = ()
    unsure: str = ""
    """Why another answer decides nothing; empty if it does."""


@dataclass(frozen=True)
class Lookup:
    """One query to one server, with its tries. The last try decides."""

    question: str
    """`NAME TYPE`."""
    probe: Probe
    expected: ExpectedAnswer

    @property
    def names(self) -> dict[str, str]:
        """The names of the question and the server, for a remedy."""
        return names_of(self.question, self.probe)

    @property
    def is_usual(self) -> bool:
        """Whether the query is for the API server's name, which exists in every cluster."""
        return self.question.startswith(KUBERNETES)

    @property
    def domain(self) -> str:
        """The domain of the Service name that was asked for; empty for a reverse name."""
        labels = self.question.rpartition(" ")[0].rstrip(".").split(".", 3)
        return labels[3].lower() if len(labels) == 4 and labels[2] == "svc" else ""

    @property
    def inconclusive(self) -> str:
        """Why the answer that came back decides nothing; empty if it does, or if none came."""
        return "" if self.is_unanswered else self.expected.unsure

    @property
    def server(self) -> IPAddress:
        return address(self.probe.server)

    @property
    def transport(self) -> str:
        return self.probe.transport

    @property
    def via(self) -> str:
        """`at 10.96.0.10 over UDP`."""
        return f"at {self.probe.server} over {self.transport.upper()}"

    @property
    def concerns(self) -> tuple[Ref, ...]:
        return self.expected.concerns

    @property
    def expectation(self) -> str:
        """`10.96.0.1 for kubernetes.default.svc.cluster.local A at 10.96.0.10 over UDP`."""
        return f"{self.expected.answer} for {self.question} {self.via}"

    @property
    def is_unanswered(self) -> bool:
        """Whether no response came back."""
        return not self.probe.tries or not self.probe.tries[-1].answer

    def sent_by(self, source: Ref | None = None) -> Unanswered | None:
        """The query that got no response, sent by a pod or the node; None if there was one."""
        probe = self.probe
        if not probe.tries or not self.is_unanswered:
            return None
        is_refused = probe.tries[-1].error == "refused"
        return Unanswered(probe.server, probe.port, self.transport, source, is_refused)

    @cached_property
    def answer(self) -> Answer | None:
        """The response, if one came back."""
        if self.is_unanswered:
            return None
        return parse_answer(base64.b64decode(self.probe.tries[-1].answer))

    @cached_property
    def problem(self) -> str:
        """What is wrong with the answer; empty if it is the expected one.

        Raises FactMissingError for a query that was never sent.
        """
        tries = self.probe.tries
        if not tries:
            raise FactMissingError(
                f"The query {self.question} {self.via} was not sent: the node's time limit ended "
                "first. Raise `limits.node` or `dns.rate` in the inventory."
            )
        try:
            answer = self.answer
        except ParseError as error:
            return str(error)
        if answer is None:
            waited = sum(each.seconds for each in tries)
            return (
                f"{tries[-1].error} in {len(tries)} of {len(tries)} tries, {waited:.1f} s in total"
            )
        wanted = self.expected.answer
        if (answer.rcode, answer.data) == (wanted.rcode, wanted.data):
            return ""
        if answer.truncated and answer.data <= wanted.data:
            return ""  # RFC 2181, 9: the client repeats a truncated query over TCP.
        return f"{answer}, not the answer that the API implies"


@dataclass(frozen=True)
class ExternalLookup:
    """A query for a name outside the cluster, for which the API implies no answer."""

    question: str
    probe: Probe

    @property
    def names(self) -> dict[str, str]:
        """The names of the question and the server, for a remedy."""
        return names_of(self.question, self.probe)

    @property
    def via(self) -> str:
        """`at 10.244.0.2 over UDP`."""
        return f"at {self.probe.server} over {self.probe.transport.upper()}"

    @property
    def problem(self) -> str:
        """What is wrong with the answer; empty if it has an address.

        Raises FactMissingError for a query that was never sent.
        """
        try:
            answer = Lookup(self.question, self.probe, ExpectedAnswer(NOTHING)).answer
        except ParseError as error:
            return str(error)
        if not self.probe.tries:
            raise FactMissingError(
                f"The query {self.question} {self.via} was not sent: the node's time limit ended "
                "first. Raise `limits.node` or `dns.rate` in the inventory."
            )
        if answer is None:
            return f"{self.probe.tries[-1].error} in {len(self.probe.tries)} tries"
        return "" if answer.data else str(answer)

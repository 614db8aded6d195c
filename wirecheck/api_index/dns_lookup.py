"""A DNS lookup that was made, and the answer that the API implies for it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import replace

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import FactMissingError, Ref
from wirecheck.parse.dns_answer import Answer, parse_answer
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.attempts import Probe


def second_of(probe: Probe) -> Probe:
    """The other half of a pair, as if it had been asked alone."""
    tries = [replace(each, answer=each.second) for each in probe.tries]
    return replace(probe, query=probe.second, tries=tries)


NOTHING = Answer("NOERROR", frozenset())


@dataclass(frozen=True)
class ExpectedAnswer:
    """The answer that the API implies, and the objects that it rests on."""

    answer: Answer
    concerns: tuple[Ref, ...] = ()


@dataclass(frozen=True)
class Lookup:
    """One question to one server, with its tries; judged by the last, which ended it."""

    question: str
    """`NAME TYPE`."""
    probe: Probe
    expected: ExpectedAnswer

    def is_of(self, name: str) -> bool:
        """Whether `name` was asked for, of whatever type."""
        return self.question.rpartition(" ")[0].rstrip(".") == name

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
        """Whether nothing came back, as from a server that is dead or cut off."""
        return not self.probe.tries or not self.probe.tries[-1].answer

    @cached_property
    def answer(self) -> Answer | None:
        """What came back, if anything did."""
        if self.is_unanswered:
            return None
        return parse_answer(base64.b64decode(self.probe.tries[-1].answer))

    @cached_property
    def problem(self) -> str:
        """What is wrong with the answer; empty where it is the expected one.

        Raises FactMissingError for a question that was never sent.
        """
        tries = self.probe.tries
        if not tries:
            raise FactMissingError(
                f"{self.question} was not asked {self.via}: the visit ended before. "
                "Raise limits.node or dns.rate."
            )
        try:
            answer = self.answer
        except ParseError as error:
            return str(error)
        if answer is None:
            waited = sum(each.seconds for each in tries)
            return f"{tries[-1].error} in {len(tries)} of {len(tries)} tries, {waited:.1f} s in all"
        wanted = self.expected.answer
        if (answer.rcode, answer.data) == (wanted.rcode, wanted.data):
            return ""
        if answer.truncated and answer.data <= wanted.data:
            return ""  # RFC 2181, 9: what was cut is asked for again over TCP.
        return f"{answer}, which is not the answer that the API implies"


@dataclass(frozen=True)
class ExternalLookup:
    """A question about a name outside the cluster, of which the API says nothing."""

    question: str
    probe: Probe

    @property
    def via(self) -> str:
        """`at 10.244.0.2 over UDP`."""
        return f"at {self.probe.server} over {self.probe.transport.upper()}"

    @property
    def problem(self) -> str:
        """What is wrong with the answer; empty where it holds an address.

        Raises FactMissingError for a question that was never sent.
        """
        try:
            answer = Lookup(self.question, self.probe, ExpectedAnswer(NOTHING)).answer
        except ParseError as error:
            return str(error)
        if not self.probe.tries:
            raise FactMissingError(f"{self.question} was not asked {self.via}.")
        if answer is None:
            return f"{self.probe.tries[-1].error} in {len(self.probe.tries)} tries"
        return "" if answer.data else str(answer)

"""The cluster's domain as one node shows it, from several sources that should agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wirecheck.api_index.dns_lookup import ExpectedAnswer, Lookup
from wirecheck.parse.errors import ParseError
from wirecheck.parse.resolv_conf import ResolvConf


@dataclass(frozen=True)
class DnsDomain:
    """What is known about the cluster's domain."""

    served: tuple[str, ...] = ()
    """The domains that the Corefile serves; empty if that is unknown."""
    kubelet: str = ""
    """The domain that the node's kubelet gives to pods; empty if that is unknown."""
    answered: frozenset[str] = frozenset()
    """The domains in which DNS gave the correct answers; not evaluated if `served` is known."""
    searched: frozenset[str] = frozenset()
    """The domains in the search paths of the node's pods."""
    answered_otherwise: Mapping[str, str] = field(default_factory=dict)
    """The domains that the Corefile answers for without the API, each with how. The answers may
    be those of the cluster: a template makes them up, or another server has them."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """The domains that a pod's search path may have; empty if none is known."""
        known = filter(None, [self.kubelet, *sorted(self.answered)])
        if self._how_otherwise:
            return tuple(dict.fromkeys((*self.served, self.kubelet)))
        return self.served or tuple(dict.fromkeys(known))

    @property
    def _how_otherwise(self) -> str:
        """How the Corefile answers for the kubelet's domain without the API; empty if it does not.

        CoreDNS takes the server block with the longest zone that the name is in.
        """
        zones = (*self.served, *self.answered_otherwise)
        around = [each for each in zones if f".{self.kubelet}".endswith(f".{each}")]
        return self.answered_otherwise.get(max(around, key=len, default=""), "")

    def why_unsure(self, domain: str) -> str:
        """Why a wrong answer in `domain` decides nothing; empty if it does.

        Queries are planned before the nodes are visited. Where no Corefile could be read they are
        in the usual domain, which is not necessarily the cluster's.
        """
        if domain in self.accepted:
            return ""
        if self.served:
            return f"the query was in {domain}, and the Corefile serves {', '.join(self.served)}"
        if self.kubelet:
            return f"the query was in {domain}, and the kubelet's clusterDomain is {self.kubelet}"
        if not self.searched:
            return f"the query was in {domain}, and the cluster's domain is unknown"
        if domain in self.searched:
            return ""
        return f"the query was in {domain}, and pods search {', '.join(sorted(self.searched))}"

    def kubelet_verdict(self) -> tuple[str, str]:
        """(the expected domain, why that is uncertain); both empty if the kubelet's is right.

        A server can serve several domains. So where only answers show one of them, and pods use
        the kubelet's, that one may be served as well.
        """
        expected = self.served or tuple(sorted(self.answered))
        if not expected or self.kubelet in expected:
            return "", ""
        if how := self._how_otherwise:
            return expected[0], f"the Corefile answers for the kubelet's clusterDomain {how}"
        is_used = not self.served and self.kubelet in self.searched
        unsure = "the Corefile was not read, and may serve the kubelet's clusterDomain too"
        return expected[0], unsure if is_used else ""


def answered_domain(lookup: Lookup) -> str:
    """The domain in which the server gave the correct answer; empty if it gave another one."""
    if lookup.is_unanswered:
        return ""
    if lookup.question.endswith(" PTR"):
        return _domain_of_pointer(lookup)
    if lookup.problem or not lookup.expected.answer.data:
        return ""
    return lookup.domain


def in_its_domain(lookup: Lookup, domain: DnsDomain) -> Lookup:
    """The lookup with the answer that is expected in the cluster's domain.

    A reverse name is answered with a name in the first domain that the server serves.
    """
    if lookup.is_unanswered or not lookup.problem:
        return lookup
    if not lookup.question.endswith(" PTR"):
        unsure = domain.why_unsure(lookup.domain)
        return replace(lookup, expected=replace(lookup.expected, unsure=unsure))
    named = _domain_of_pointer(lookup)
    if not named or (domain.served and named not in domain.served) or lookup.answer is None:
        return lookup
    return replace(lookup, expected=ExpectedAnswer(lookup.answer, lookup.concerns))


def searched_domain(file: ResolvConf, namespace: str) -> str:
    """The domain in the search path that a kubelet wrote; empty if there is none."""
    first = next(iter(file.searches), "").lower()
    beginning = f"{namespace}.svc."
    return first.removeprefix(beginning) if first.startswith(beginning) else ""


def _domain_of_pointer(lookup: Lookup) -> str:
    """The domain of the name that a reverse name led to, if that is the right Service's."""
    try:
        answer = lookup.answer
    except ParseError:
        return ""
    names = list(answer.data) if answer else []
    expected = min(lookup.expected.answer.data)
    service = ".".join(expected.split(".")[:3]) + "."
    if len(names) != 1 or not names[0].startswith(service):
        return ""
    return names[0].removeprefix(service).rstrip(".").lower()

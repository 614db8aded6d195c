"""The words that stay in a redacted snapshot: those that wirecheck itself knows, and a few more.

A verdict can depend on a word only if the program compares it with one of its own. So every word in
the program's texts stays. Every other word is replaced, whatever field it is in, so new and
unforeseen fields are redacted as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from wirecheck.catalogue.registry import catalogue_folder

PACKAGES = (
    "api_index",
    "catalogue",
    "collect",
    "dataplane",
    "model",
    "network",
    "node",
    "parse",
    "paths",
    "policy",
    "snapshot",
)
"""Packages, beside the checks, that a verdict or the text of a snapshot can depend on."""

FURTHER = """
    true false null none yes nan inf
    mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec utc
    linux gnu debian ubuntu fedora centos red hat enterprise rocky alma suse opensuse flatcar talos
    bottlerocket amazon coreos container optimized windows server datacenter arch alpine generic
    amd64 arm64 arm64v8 x86 aarch64 aws azure gke cloud lts bookworm trixie jammy noble
    containerd docker cri crio runc kernel
    accept drop reject return masquerade snat dnat redirect mark queue notrack log
    prerouting postrouting input output forward filter nat mangle raw security legacy
    established related new invalid untracked syn ack rst fin psh urg
    tcp udp sctp icmp icmpv6 icmp6 ipv4 ipv6 inet arp bridge
    eth ens eno enp enx bond vlan wlan veth tap tun wireguard bpf dummy vxlan geneve ipip sit gre
    hashsize maxelem bucketsize initval activeconn inactconn
    ip6tables iptables nftables ipset ipvs xtables save restore commit completed generated
"""
"""Words of tools and of their output that the program reads without naming them."""

SHORTEST = 3
"""Letters: shorter words stay, as units, flags and parts of numbers."""

_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+|\d+")
_TOKENS = r"""
    (?P<kept>
        0[xX][0-9a-fA-F]+
      | (?<![0-9a-fA-F])[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}(?![0-9a-fA-F])
      | (?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])
      | \bKUBE(?:-[A-Z]{1,16}){1,4}-[A-Z2-7]{16}\b
      | (?<=-)[A-Z2-7]{8}(?=-)
      | \b(?:DEVICES)[0-9a-f]{6,16}\b
      | (?<![^\W_])[0-9a-f]{12,128}(?![^\W_])
      | (?<![^\W_])[0-9A-F]{8}(?![^\W_]) | (?<=:)[0-9A-F]{4}(?![^\W_])
    )
  | [^\W_]+
"""
"""What has replacements of its own (addresses, ids, hashes of chains and devices), and words."""

_HASH = re.compile(r"(?=[0-9a-fA-F]*\d)[0-9a-fA-F]+")


class Vocabulary:
    """Replaces every word that is not known."""

    def __init__(
        self,
        replacement: Callable[[str], str],
        is_replacement: Callable[[str], bool],
        devices: str,
        forced: Iterable[str] = (),
    ) -> None:
        """`devices` is a pattern of the prefixes of pods' interfaces.

        `forced` are words that are replaced although the program knows them.
        """
        self._tokens = re.compile(_TOKENS.replace("DEVICES", devices), re.VERBOSE)
        self._replacement = replacement
        self._is_replacement = is_replacement
        self._forced = frozenset(part for word in forced for part in words_in(word))
        self._mapped: dict[str, str] = {}

    def apply(self, text: str) -> str:
        """The text with every unknown word replaced."""
        return self._tokens.sub(self._of, text)

    def _of(self, found: re.Match[str]) -> str:
        word = found.group()
        if found["kept"]:
            return word
        known = self._mapped.get(word)
        if known is None:
            known = self._mapped[word] = self._fresh(word)
        return known

    def _fresh(self, word: str) -> str:
        if self._stays(word):
            return word
        fresh = self._replacement(word)
        # Two names that differ in case only stay two names.
        if word.isupper():
            return fresh.upper()
        return fresh if word.islower() else fresh.capitalize()

    def _stays(self, word: str) -> bool:
        folded = word.lower()
        if folded in self._forced:
            return False
        if folded in vocabulary() or self._is_replacement(folded):
            return True
        if _HASH.fullmatch(word):
            return True
        parts = [each for each in _LETTERS.findall(folded) if not each.isdigit()]
        return all(
            part not in self._forced
            and (len(part) < SHORTEST or part in vocabulary() or self._is_replacement(part))
            for part in parts
        )


@cache
def vocabulary() -> frozenset[str]:
    """Every word that stays, in lower case."""
    found = set(words_in(FURTHER))
    root = Path(__file__).parents[1]
    for folder in (catalogue_folder(), *(root / each for each in PACKAGES)):
        for file in folder.rglob("*.py"):
            for text in _texts(file.read_text("utf-8")):
                found.update(words_in(text))
    return frozenset(found)


def words_in(text: str) -> Iterator[str]:
    """The words of a text in lower case, and the parts of those that have digits."""
    for word in _WORD.findall(text.lower()):
        yield word
        yield from (each for each in _LETTERS.findall(word) if not each.isdigit())


def _texts(source: str) -> Iterator[str]:
    """The texts of a module: strings that are not documentation, and names of fields."""
    tree = ast.parse(source)
    documentation = {
        id(each.value)
        for each in ast.walk(tree)
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    }
    for each in ast.walk(tree):
        if isinstance(each, ast.Constant):
            if isinstance(each.value, str) and id(each) not in documentation:
                yield each.value
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            # Fields of structs, in the form that they have in JSON.
            yield each.target.id
            yield _camel(each.target.id)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.capitalize() for each in rest)

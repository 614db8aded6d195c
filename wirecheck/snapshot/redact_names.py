"""Replaces names word by word, so that names derived from other names stay related.

`web-678979c555-h9f9s` shares its first word with Deployment `web` and its second with the label
`pod-template-hash`. Words are replaced, not whole names, so they still match.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise

KEPT_NAMES = frozenset(
    {
        "default",
        "kubernetes",
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "kube-dns",
        "coredns",
        "dns-default",
        "openshift-dns",
        "node-local-dns",
        "kube-proxy",
        "wirecheck",
        "wirecheck-helper",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "etcd",
    }
)
"""Names of Kubernetes' own components: checks need them, and they reveal nothing."""

KEPT_LABELS = frozenset({"svc", "pod", "cluster", "local", "in-addr", "ip6", "arpa"})
"""Of domain names."""

KEPT_PORTS = frozenset(
    {"", "http", "https", "dns", "dns-tcp", "metrics", "grpc", "health", "healthz", "webhook"}
)
KEPT_TAG = re.compile(r"v?\d+(\.\d+)*")
KEPT_VALUE_KEYS = re.compile(
    r"^((beta\.)?kubernetes\.io/(os|arch)|node-role\.kubernetes\.io/.*|"
    r"endpointslice\.kubernetes\.io/managed-by|service\.kubernetes\.io/headless|"
    r"eks\.amazonaws\.com/compute-type|kubevirt\.io)$"
)
"""Labels whose values are words of Kubernetes."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORT_NUMBER = re.compile(r"\d{1,3}")
SEPARATORS = re.compile(r"([^A-Za-z0-9]+)")
LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class PluginNames:
    """Names that CNI plugins use in every cluster."""

    objects: frozenset[str] = frozenset()
    """Names of objects, such as DaemonSets. They are kept, because checks need them."""
    devices: tuple[str, ...] = ()
    """Prefixes of pods' interfaces. They are kept; the hash behind them is replaced."""


class NameMap:
    """The replacements of names, determined by `key`; `known` has all that were mapped."""

    def __init__(self, key: bytes, plugins: PluginNames) -> None:
        self._key = key
        self._kept = KEPT_NAMES | plugins.objects
        self._words: dict[str, str] = {}
        self._taken: set[str] = set()
        self.known: dict[str, str] = {}
        """Every name that was replaced; these are searched in free text."""

    def name(self, known: str) -> str:
        """The replacement of an object's name."""
        mapped = self._mapped(known)
        self._remember(known, mapped)
        return mapped

    def word(self, known: str) -> str:
        """The replacement of a word, the same as in names."""
        return self._word(known)

    def is_replacement(self, word: str) -> bool:
        """Whether the word is one that replaces another."""
        return word in self._taken

    def _remember(self, known: str, mapped: str) -> None:
        has_letter = any(each.isalpha() for each in known)
        if mapped != known and len(known) > 1 and has_letter:
            self.known[known] = mapped

    def _mapped(self, known: str) -> str:
        kept = max(
            (k for k in self._kept if known == k or known.startswith(f"{k}-")), key=len, default=""
        )
        parts = SEPARATORS.split(known[len(kept) :])
        mapped = kept + "".join(
            part if at % 2 else self._word(part) for at, part in enumerate(parts)
        )
        if len(mapped) <= LONGEST_LABEL or "." in known:
            return mapped
        return self._word(known)

    def _word(self, word: str) -> str:
        if not word or SHORT_NUMBER.fullmatch(word):
            return word
        folded = word.lower()
        if folded not in self._words:
            self._words[folded] = self._fresh(folded)
        return self._words[folded]

    def _fresh(self, word: str) -> str:
        """A word of six letters that does not replace another word."""
        for attempt in range(1000):
            digest = self.digest(f"word {attempt} {word}")
            number = int.from_bytes(digest[:8], "big")
            letters = []
            for _ in range(6):
                number, at = divmod(number, len(LETTERS))
                letters.append(LETTERS[at])
            fresh = "".join(letters)
            if fresh not in self._taken:
                self._taken.add(fresh)
                return fresh
        raise AssertionError("more names than words of six letters")

    def domain(self, known: str) -> str:
        """The replacement of a domain name; labels of Kubernetes itself stay."""
        labels = known.split(".")
        mapped = ".".join(
            label if label.lower() in KEPT_LABELS else self.name(label) for label in labels
        )
        self._remember(known, mapped)
        return mapped

    def port(self, known: str) -> str:
        """The replacement of a port's name; a number stays."""
        return known if known in KEPT_PORTS or known.isdigit() else self.name(known)

    def label(self, key: str, value: str) -> str:
        """The replacement of a label's value."""
        if KEPT_VALUE_KEYS.match(key) or value in ("true", "false", ""):
            return value
        return self.name(value)

    def image(self, known: str) -> str:
        """The replacement of an image's registry, path and words of its tag; versions stay."""
        if not known or known.startswith("sha256:"):
            return self.hexadecimal(known)
        path, at, digest = known.partition("@")
        head, _, last = path.rpartition("/")
        last, colon, tag = last.partition(":")
        parts = [self._host(part) for part in head.split("/")] if head else []
        mapped = "/".join([*parts, self.name(last)])
        return mapped + colon + self._tag(tag) + at + self.hexadecimal(digest)

    def _host(self, known: str) -> str:
        host, colon, port = known.partition(":")
        return self.domain(host) + colon + port

    def _tag(self, tag: str) -> str:
        version = KEPT_TAG.match(tag)
        if version is None:
            return self.name(tag)
        rest = tag[version.end() :]
        return version.group() + "".join(
            part if at % 2 else self._word(part) for at, part in enumerate(SEPARATORS.split(rest))
        )

    def hexadecimal(self, known: str) -> str:
        """The same number of hexadecimal digits; a prefix with a colon (`sha256:`) stays."""
        kind, colon, digits = known.rpartition(":")
        return kind + colon + self.digest(f"hex {digits.lower()}").hex()[: len(digits)]

    def uuid(self, known: str) -> str:
        """The replacement of a UUID."""
        digits = self.hexadecimal(known.replace("-", ""))
        cuts = (0, 8, 12, 16, 20, 32)
        return "-".join(digits[low:high] for low, high in pairwise(cuts))

    def chain(self, known: str) -> str:
        """The replacement of the hash in a chain's name: base32 of the same length."""
        return base64.b32encode(self.digest(f"chain {known}")).decode()[: len(known)]

    def mac(self, known: str) -> str:
        """A locally administered MAC address; multicast and all-zero addresses stay."""
        octets = bytes.fromhex(known.replace(":", ""))
        if octets[0] & 1 or not any(octets):
            return known
        fresh = bytearray(self.digest(f"mac {known.lower()}")[:6])
        fresh[0] = (fresh[0] & 0xFC) | 0x02
        return fresh.hex(":")

    def digest(self, text: str) -> bytes:
        """The source of all replacements: 64 bytes that only the key determines."""
        return hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._key).digest()

"""Replaces addresses and names in the output of tools, format by format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from wirecheck.addresses import api_address, api_network
from wirecheck.snapshot.blocks import Block, BlockText, TextStore
from wirecheck.snapshot.redact_addresses import AddressMap
from wirecheck.snapshot.redact_names import NameMap
from wirecheck.snapshot.redact_vocabulary import Vocabulary

PATTERN = r"""
    (?P<uuid>(?<![0-9a-fA-F])[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}(?![0-9a-fA-F]))
  | (?P<mac>(?<![\w:])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![\w:]))
  | (?P<arpa>(?<![\w.])(?:[0-9a-fA-F]{1,3}\.)+(?:in-addr|ip6)\.arpa)
  | (?P<range>(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}-\d{1,3}(?:\.\d{1,3}){3}(?![\w.]))
  | (?P<v4>(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?!\w|\.\d))
  | (?P<v6>(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}
        (?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?:/\d{1,3})?(?![\w:]))
  | (?P<chain>\bKUBE(?:-[A-Z]{1,16}){1,4}-(?P<hash>[A-Z2-7]{16})\b)
  | (?P<device>\b(?P<kind>DEVICES)(?P<digits>[0-9a-f]{6,16})\b)
  | (?P<hex>(?<![0-9a-zA-Z.])[0-9a-f]{12,128}(?![0-9a-zA-Z]))
"""
"""Addresses and names that are recognisable by their form."""

DEVICES = ("veth", "tap", "vnet")
"""Prefixes of interfaces of pods and virtual machines that are not specific to a CNI plugin."""

USER = re.compile(r"://[^@/\s]+@")
"""The user's name in an access method."""
WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
CLUSTER_DOMAIN = re.compile(r"\s*(?:kubernetes|kubernetai|clusterDomain:)\s")
"""Begins a line of a Corefile, or of a kubelet's configuration, that names the cluster's domain."""
IP_VS_ADDRESS = re.compile(r"\b([0-9A-F]{8})(?=:[0-9A-F]{4}\b)")
COMMENT = re.compile(r'(--comment )("(?:[^"\\]|\\.)*"|\S+)')
SERVICE = re.compile(r"^([a-z0-9][a-z0-9.-]*)/([a-z0-9][a-z0-9.-]*)(?::([a-z0-9-]+))?")
NFT_NAME = re.compile(
    r"^(@?(?:service|endpoint|external|firewall|affinity)-)([A-Z2-7]{8})-"
    r"([^/]+)/([^/]+)/(tcp|udp|sctp)/([^/_]*)(?:__([^/]+)/(\d+))?$"
)
_NFT_BLOCK = re.compile(r'(\{"nftables": \[|, )(\{.*?\})(\]\}\n?)?', re.DOTALL)
HOST_NAMES = re.compile(
    r"((?:hostnameOverride|HostnameOverride|networkName|rootHnsEndpointName)\"?:\s*\"?)"
    r"([A-Za-z0-9][\w.-]*)"
)

OF_CALICO = re.compile(
    r"cali[46]0(?:masq|all|network)-(?:ipam-pools|ip-pools|vxlan-net|hosts-net)"
    r"|(?:raw|mangle|nat|filter)-(?:cali-)?(?:FORWARD|INPUT|OUTPUT|POSTROUTING|nat-outgoing)"
)
"""Names in Calico's nftables table that are the same in every cluster, and that checks need."""


class RedactionError(Exception):
    """Redaction would change the snapshot's verdicts. The message has the next step."""


class TextMap:
    """The replacements, applied to whole texts."""

    def __init__(
        self,
        addresses: AddressMap,
        names: NameMap,
        devices: Iterable[str],
        forced: Iterable[str] = (),
    ) -> None:
        prefixes = "|".join(map(re.escape, sorted({*devices, *DEVICES}, reverse=True)))
        self._pattern = re.compile(PATTERN.replace("DEVICES", prefixes), re.VERBOSE)
        self.addresses = addresses
        self.names = names
        self._vocabulary = Vocabulary(names.word, names.is_replacement, prefixes, forced)
        self._mapped: dict[str, Block] = {}
        self._store = TextStore()
        self._kinds: dict[str, Callable[[re.Match[str]], str]] = {
            "uuid": self._uuid,
            "mac": lambda found: names.mac(found.group()),
            "arpa": lambda found: self._reversed(found.group()),
            "range": self._range,
            "v4": self._address,
            "v6": self._address,
            "chain": self._chain,
            "device": self._device,
            "hex": self._hexadecimal,
        }

    def opaque(self, text: str) -> str:
        """Replaces only addresses and hashes, for texts whose words are a tool's."""
        return self._pattern.sub(self._replacement, text)

    def free(self, text: str, keep: str = "") -> str:
        """Also replaces every known name that is a separate word, except those in `keep`."""
        kept = set(WORD.findall(keep))
        text = USER.sub("://", text)
        return WORD.sub(lambda found: self._known(found.group(), kept), self.opaque(text))

    def known_words(self, text: str) -> str:
        """Replaces every word that is neither wirecheck's own nor a replacement."""
        return self._vocabulary.apply(text)

    def _known(self, word: str, kept: set[str]) -> str:
        if word in kept:
            return word
        known = self.names.known.get(word)
        if known is not None:
            return known
        if "." not in word:
            return word
        return ".".join(self.names.known.get(label, label) for label in word.split("."))

    def _replacement(self, found: re.Match[str]) -> str:
        """The replacement by the outermost group that matched, which closes last."""
        return self._kinds[found.lastgroup or ""](found)

    def _uuid(self, found: re.Match[str]) -> str:
        text = found.group()
        return self.names.uuid(text.replace("_", "-")).replace("-", text[8])

    def _chain(self, found: re.Match[str]) -> str:
        hash_ = found["hash"]
        return found.group().removesuffix(hash_) + self.names.chain(hash_)

    def _device(self, found: re.Match[str]) -> str:
        return found["kind"] + self.names.hexadecimal(found["digits"])

    def _hexadecimal(self, found: re.Match[str]) -> str:
        """Decimal digits are kept as a number, such as a counter or a probability."""
        text = found.group()
        return text if text.isdigit() else self.names.hexadecimal(text)

    def _address(self, found: re.Match[str]) -> str:
        text = found.group()
        try:
            return self.addresses.text(text)
        except ValueError:
            known = api_network(text) if "/" in text else api_address(text)
            # An old form stays one: `010.0.0.1` is an address with an oddity.
            return f"0{self.addresses.text(str(known))}" if known and known.version == 4 else text

    def _range(self, found: re.Match[str]) -> str:
        raise RedactionError(
            f"The range {found.group()} cannot be redacted, because it is not a prefix: redaction "
            "keeps prefixes, but not the order of addresses. Send a snapshot without that rule."
        )

    def _reversed(self, text: str) -> str:
        """Replaces a name in a reverse zone, or the name of a zone."""
        *labels, _, _ = text.split(".")
        if text.endswith("in-addr.arpa"):
            octets = list(reversed(labels))
            if len(octets) > 4 or not all(each.isdigit() and int(each) < 256 for each in octets):
                return text
            network = ".".join([*octets, *["0"] * (4 - len(octets))])
            mapped = self.addresses.text(
                network if len(octets) == 4 else f"{network}/{8 * len(octets)}"
            )
            kept = mapped.partition("/")[0].split(".")[: len(octets)]
            return ".".join([*reversed(kept), "in-addr.arpa"])
        digits = "".join(reversed(labels))
        if len(digits) != len(labels) or len(digits) > 32:
            return text
        groups = digits.ljust(32, "0")
        whole = ":".join(groups[at : at + 4] for at in range(0, 32, 4))
        known = whole if len(digits) == 32 else f"{whole}/{4 * len(digits)}"
        mapped = ip_address(self.addresses.text(known).partition("/")[0]).exploded.replace(":", "")
        return ".".join([*reversed(mapped[: len(digits)]), "ip6.arpa"])

    def blocks(self, text: BlockText) -> BlockText:
        """Replaces rules in blocks: each block once, for all nodes that have it."""
        return self._store.joined([self._block(each) for each in text.blocks])

    def _block(self, block: Block) -> Block:
        known = self._mapped.get(block.digest)
        if known is None:
            is_nft = block.text.startswith(("{", ", {"))
            mapped = self._nft_block(block.text) if is_nft else self.iptables(block.text)
            mapped = self.known_words(mapped)
            known = self._mapped[block.digest] = self._store.block_of(mapped)
        return known

    def _nft_block(self, text: str) -> str:
        """A part of a listing: items with commas between them, and the text around them."""
        found = _NFT_BLOCK.fullmatch(text)
        try:
            items = json.loads(f"[{found[2]}]") if found else None
        except ValueError:
            items = None
        if found is None or items is None:
            return self.free(text)
        return f"{found[1]}{json.dumps(self._nft(items, ''))[1:-1]}{found[3] or ''}"

    def iptables(self, text: str) -> str:
        """iptables-save: names are in comments only."""
        return self.opaque(COMMENT.sub(lambda found: found[1] + self.comment(found[2]), text))

    def comment(self, text: str) -> str:
        """`"shop/web:http -> …"`: begins with a Service, followed by known names."""
        quote = '"' if text.startswith('"') else ""
        inner = text[1:-1] if quote else text
        found = SERVICE.match(inner)
        if found is None:
            return quote + self.free(inner) + quote
        port = f":{self.names.port(found[3])}" if found[3] else ""
        service = f"{self.names.name(found[1])}/{self.names.name(found[2])}{port}"
        return quote + service + self.free(inner[found.end() :]) + quote

    def ip_vs(self, text: str) -> str:
        """/proc/net/ip_vs: IPv4 addresses are eight hexadecimal digits before a port."""

        def mapped(found: re.Match[str]) -> str:
            known = ip_address(int(found[1], 16))
            return f"{int(self.addresses.address(known)):08X}"

        return self.opaque(IP_VS_ADDRESS.sub(mapped, text))

    def nftables(self, text: str) -> str:
        """`nft -j list`: names are in comments and in the names of chains and sets."""
        try:
            listing = json.loads(text)
        except ValueError:
            return self.free(text)
        return json.dumps(self._nft(listing, ""))

    def nft_table(self, text: str) -> str:
        """The same for any program's table, whose chains, sets and log prefixes have names, too."""
        try:
            listing = json.loads(text)
        except ValueError:
            return self.free(text)
        return json.dumps(self._with_names(self._nft(listing, "")))

    def _with_names(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {each: self._with_names(inner, each) for each, inner in value.items()}
        if isinstance(value, list):
            return [self._with_names(each, key) for each in value]
        if not isinstance(value, str):
            return value
        if value.startswith("@"):
            return f"@{self._table_name(value[1:])}"
        if key in ("name", "chain", "target", "table"):
            return self._table_name(value)
        return self.free(value) if key == "prefix" else value

    def _table_name(self, name: str) -> str:
        return name if OF_CALICO.fullmatch(name) else self.names.name(name)

    def _nft(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            if "range" in value and any(_is_address(each) for each in value["range"]):
                self.opaque("-".join(map(str, value["range"])))
            if set(value) == {"addr", "len"}:
                mapped = self.opaque(f"{value['addr']}/{value['len']}")
                return {"addr": mapped.partition("/")[0], "len": value["len"]}
            return {each: self._nft(inner, each) for each, inner in value.items()}
        if isinstance(value, list):
            return [self._nft(each, key) for each in value]
        if not isinstance(value, str):
            return value
        if key == "comment":
            return self.opaque(self.comment(value))
        found = NFT_NAME.match(value)
        return self._nft_name(found) if found else self.opaque(value)

    def _nft_name(self, found: re.Match[str]) -> str:
        names = self.names
        mapped = (
            f"{found[1]}{names.chain(found[2])}-{names.name(found[3])}/{names.name(found[4])}/"
            f"{found[5]}/{names.port(found[6])}"
        )
        if found[7] is None:
            return mapped
        address = found[7] if _is_address(found[7]) else found[7].replace(".", ":")
        other = self.opaque(address) if _is_address(address) else names.hexadecimal(address)
        return f"{mapped}__{other if address == found[7] else other.replace(':', '.')}/{found[8]}"

    def resolv_conf(self, text: str) -> str:
        """resolv.conf, without comments."""
        return "\n".join(
            self._resolv_conf_line(line)
            for line in text.split("\n")
            if not line.lstrip().startswith(("#", ";"))
        )

    def _resolv_conf_line(self, line: str) -> str:
        keyword, *values = line.split() or [""]
        if keyword in ("search", "domain"):
            return " ".join([keyword, *map(self.names.domain, values)])
        return self.free(line, keep="nameserver options sortlist ndots timeout attempts")

    def corefile(self, text: str) -> str:
        """A Corefile: known names, and every word with a dot, without comments."""
        return "\n".join(self._corefile_line(line.partition("#")[0]) for line in text.split("\n"))

    def _corefile_line(self, line: str) -> str:
        # A cluster's domain need not have a dot: `kubernetes production in-addr.arpa`.
        found = CLUSTER_DOMAIN.match(line)
        head = found[0] if found else ""
        rest = WORD.sub(lambda word: self._zone(word.group(), bool(head)), line[len(head) :])
        return head + self.free(rest)

    def _zone(self, word: str, is_domain: bool) -> str:
        is_name = "." in word or (is_domain and not word.isdigit())
        if not is_name or word.endswith(".arpa") or _is_address(word):
            return word
        return self.names.domain(word)

    def proxy_configuration(self, text: str) -> str:
        """kube-proxy's configuration as YAML or JSON, which contains few names of users."""
        named: Callable[[re.Match[str]], str] = lambda found: found[1] + self.names.name(found[2])  # noqa: E731
        return self.opaque(HOST_NAMES.sub(named, text))


def _is_address(value: object) -> bool:
    try:
        ip_address(str(value))
    except ValueError:
        return False
    return isinstance(value, str)

"""Redacts the types of a snapshot, field by field: the table's policy, then unknown words.

In free text, addresses, hashes and every known name that is a separate word are replaced. Fields
with words of Kubernetes, the kernel and wirecheck are in the table to keep them, because a Service
may be called `unicast`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from wirecheck.snapshot.blocks import BlockText
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.snapshot.objects.metadata import ALLOWED_ANNOTATIONS
from wirecheck.snapshot.redact_dns import redacted_answer
from wirecheck.snapshot.redact_maps import redacted_map
from wirecheck.snapshot.redact_table import (
    DOMAIN,
    FIELDS,
    IMAGE,
    IPTABLES,
    KEEP,
    NAME,
    OPAQUE,
    PORT,
    UNTOUCHED,
)
from wirecheck.snapshot.redact_text import RedactionError, TextMap

KNOWN_MAP = re.compile(r"(?:cilium_[a-z]|cali_v)\w{0,60}")
KEPT_TABLE = re.compile(
    r"raw|mangle|nat|filter|security|kube-proxy|firewalld|talos|calico|crowdsec6?|f2b-table"
    r"|cni_hostport|crio-hostports|docker-bridges|netavark|flannel-ipv[46]|kindnet-[a-z-]+"
)
"""Names of nftables tables of well-known programs, which checks need and which reveal nothing."""

Special = Callable[["Fields", Any], Any]


class Fields:
    """Redacts the types of a snapshot recursively."""

    def __init__(self, texts: TextMap) -> None:
        self.texts = texts
        self._policies: dict[str, Callable[[str], str]] = {
            KEEP: lambda text: text,
            NAME: texts.names.name,
            DOMAIN: self.domain,
            IMAGE: texts.names.image,
            PORT: texts.names.port,
            OPAQUE: texts.opaque,
            IPTABLES: texts.iptables,
        }

    def struct(self, value: Struct) -> Struct:
        """The value with every field redacted."""
        kind = type(value).__name__
        if special := SPECIAL_TYPES.get(kind):
            value = special(self, value)
        return msgspec.structs.replace(
            value,
            **{
                field: self._field(kind, field, getattr(value, field))
                for field in value.__struct_fields__
            },
        )

    def _field(self, kind: str, field: str, value: Any) -> Any:
        if value is None:
            return None
        redacted = self._by_policy(kind, field, value)
        if f"{kind}.{field}" in UNTOUCHED:
            return redacted
        return self._known_words(redacted)

    def _known_words(self, value: Any) -> Any:
        """Replaces every unknown word, also in keys; structs inside have been redacted already."""
        match value:
            case str():
                return self.texts.known_words(value)
            case list():
                return [self._known_words(each) for each in value]
            case dict():
                return {
                    self._known_words(key): self._known_words(each) for key, each in value.items()
                }
        return value

    def _by_policy(self, kind: str, field: str, value: Any) -> Any:
        if special := SPECIAL.get(f"{kind}.{field}"):
            return special(self, value)
        policy = FIELDS.get(f"{kind}.{field}") or FIELDS.get(f"{kind}.*")
        return self._value(self._policies[policy] if policy else self.texts.free, value)

    def _value(self, policy: Callable[[str], str], value: Any) -> Any:
        match value:
            case str():
                return policy(value)
            case Struct():
                return self.struct(value)
            case list():
                return [self._value(policy, each) for each in value]
            case dict():
                return {key: self._value(policy, each) for key, each in value.items()}
        return value

    def domain(self, text: str) -> str:
        """Redacts the name of a host or zone, or an address."""
        mapped = self.texts.opaque(text)
        return mapped if ":" in text or mapped != text else self.texts.names.domain(text)


def _labels(fields: Fields, labels: dict[str, str]) -> dict[str, str]:
    return {key: fields.texts.names.label(key, value) for key, value in labels.items()}


def _annotations(fields: Fields, notes: dict[str, str]) -> dict[str, str]:
    """Only the allowed annotations; the status of a service mesh becomes `redacted`."""
    return {
        key: "redacted" if key.startswith("sidecar.") else fields.texts.opaque(value)
        for key, value in notes.items()
        if key in ALLOWED_ANNOTATIONS
    }


def _config_map(fields: Fields, data: dict[str, str]) -> dict[str, str]:
    texts = fields.texts
    known = {"Corefile": texts.corefile, "config.conf": texts.proxy_configuration}
    return {key: known.get(key, texts.opaque)(value) for key, value in data.items()}


def _expression(fields: Fields, value: Any) -> Any:
    names = fields.texts.names
    mapped = [names.label(value.key, each) for each in value.values]
    return msgspec.structs.replace(value, values=mapped)


def _affinity(fields: Fields, affinity: str) -> str:
    """`host:NODE`."""
    kind, colon, name = affinity.partition(":")
    return f"{kind}:{fields.texts.names.name(name)}" if colon else fields.texts.free(affinity)


def _paths(fields: Fields, files: dict[str, str]) -> dict[str, str]:
    """Files by path: a path may contain the name of a device, and a file addresses."""
    texts = fields.texts
    return {
        texts.opaque(path): texts.ip_vs(text) if path == "/proc/net/ip_vs" else texts.opaque(text)
        for path, text in files.items()
    }


def _commands(fields: Fields, commands: dict[str, Any]) -> dict[str, Any]:
    return {_id_of(fields, key): _command(fields, key, value) for key, value in commands.items()}


def _id_of(fields: Fields, key: str) -> str:
    """The id of a command; `nft-table inet admin` has the name of a table."""
    kind, _, label = key.partition(" ")
    return f"{kind} {_label(fields, label)}" if label else kind


def _label(fields: Fields, label: str) -> str:
    """`inet firewalld`: checks know the names of some programs' tables."""
    family, _, name = label.partition(" ")
    return f"{family} {name if KEPT_TABLE.fullmatch(name) else fields.texts.names.name(name)}"


def _command(fields: Fields, key: str, command: Any) -> Any:
    texts = fields.texts
    if isinstance(command.output, BlockText):
        of_blocks = texts.blocks(command.output)
        command = msgspec.structs.replace(command, output="")
        return msgspec.structs.replace(fields.struct(command), output=of_blocks)
    mapped = fields.struct(command)
    if "tables" in key and key.endswith("save"):
        output = texts.iptables(command.output)
    elif key.startswith("nft-table "):
        return _nft_table(fields, command)
    elif key.startswith("nft-") and command.output.lstrip().startswith("{"):
        output = texts.nftables(command.output)
    elif key == "nft-tables":
        lines = command.output.splitlines()
        output = "".join(f"table {_label(fields, e.removeprefix('table '))}\n" for e in lines)
    elif key == "nft-native":
        output = "".join(_native_part(fields, each) for each in command.output.splitlines())
    elif key.startswith(("conntrack", "ipset", "nft")):
        output = texts.opaque(command.output)
    else:
        output = texts.free(command.output)
    return msgspec.structs.replace(mapped, output=texts.known_words(output))


def _nft_table(fields: Fields, command: Any) -> Any:
    """Any program's table. It is left out if it has a range of addresses that is not a prefix."""
    texts = fields.texts
    family, _, name = " ".join(command.argv[-2:]).partition(" ")
    label = _label(fields, f"{family} {name}").split(" ")
    argv = [texts.known_words(each) for each in (*command.argv[:-2], *label)]
    bare = fields.struct(msgspec.structs.replace(command, argv=[], output=""))
    try:
        output = texts.known_words(texts.nft_table(command.output))
    except RedactionError:
        reason = "left out: it has ranges of addresses"
        return msgspec.structs.replace(bare, argv=argv, status=None, problem=reason)
    return msgspec.structs.replace(bare, argv=argv, output=output)


def _native_part(fields: Fields, line: str) -> str:
    """`chain ip nat PREROUTING`, `set ip nat banned`: names in upper case are iptables' own."""
    where, _, name = line.rpartition(" ")
    return f"{where} {name if name.isupper() else fields.texts.names.name(name)}\n"


def _http(fields: Fields, answers: dict[str, Any]) -> dict[str, Any]:
    texts = fields.texts
    return {
        key: msgspec.structs.replace(
            each,
            body=texts.known_words(texts.proxy_configuration(each.body)),
            error=texts.known_words(texts.opaque(each.error)),
        )
        for key, each in answers.items()
    }


def _query(fields: Fields, identity: str) -> str:
    """The id of a query is a hash of its name."""
    return fields.texts.names.digest(f"query {identity}").hex()[:10]


def _queries(fields: Fields, queries: dict[str, str]) -> dict[str, str]:
    return {_query(fields, key): _question(fields, text) for key, text in queries.items()}


def _question(fields: Fields, text: str) -> str:
    name, _, kind = text.rpartition(" ")
    mapped = fields.texts.opaque(name)
    if not name.rstrip(".").endswith(".arpa"):
        mapped = fields.texts.names.domain(name.rstrip(".")) + ("." if name.endswith(".") else "")
    return f"{mapped} {kind}"


def _visits(fields: Fields, visits: dict[str, Any]) -> dict[str, Any]:
    return {fields.texts.names.domain(key): fields.struct(each) for key, each in visits.items()}


def _reasons(fields: Fields, nodes: dict[str, str]) -> dict[str, str]:
    return {fields.texts.names.domain(key): fields.texts.free(why) for key, why in nodes.items()}


def _via(fields: Fields, via: str) -> str:
    """The access method without the user's name."""
    scheme, slashes, rest = via.partition("://")
    return scheme + slashes + fields.texts.free(rest.rpartition("@")[2])


def _where(fields: Fields, where: str) -> str:
    """A waiver's glob, `[KIND] [NAMESPACE/]NAME [PART]`, of whole words only."""
    kind, space, rest = where.partition(" ") if where[:1].isupper() else ("", "", where)
    place, gap, part = rest.partition(" ")
    mapped = "/".join(_pattern(fields, where, word) for word in place.split("/"))
    return f"{kind}{space}{mapped}{gap}{fields.texts.free(part)}"


def _pattern(fields: Fields, where: str, word: str) -> str:
    if set("*?[").isdisjoint(word):
        return fields.texts.names.domain(word)
    if set(word) == {"*"}:
        return word
    raise RedactionError(
        f"The waiver at `{where}` cannot be redacted: its pattern matches a part of a name, which "
        "has no replacement. Name the objects in it, or take the snapshot without it."
    )


def _ebpf(fields: Fields, found: EbpfMaps) -> EbpfMaps:
    def redacted(each: EbpfMap) -> EbpfMap:
        own = redacted_map(fields.texts.addresses, found.byte_order, each)
        return (
            own if KNOWN_MAP.fullmatch(own.name) else msgspec.structs.replace(own, name="redacted")
        )

    return msgspec.structs.replace(
        found,
        maps=list(map(redacted, found.maps)),
        unsupported=list(map(redacted, found.unsupported)),
    )


SPECIAL: Mapping[str, Special] = {
    "Metadata.labels": _labels,
    "Metadata.annotations": _annotations,
    "ServiceSpec.selector": _labels,
    "DaemonPodSpec.node_selector": _labels,
    "LabelSelector.match_labels": _labels,
    "ConfigMapObject.data": _config_map,
    "LabelExpression.key": lambda _, key: key,
    "LabelExpression.operator": lambda _, operator: operator,
    "LabelExpression.values": lambda _, values: values,
    "IpamBlockSpec.affinity": _affinity,
    "SnapshotIndex.queries": _queries,
    "RoundRecord.visits": _visits,
    "HelperPodsRecord.nodes": _reasons,
    "VisitRecord.via": _via,
    "Waiver.check": lambda _, check: check,
    "Waiver.until": lambda _, until: until,
    "Waiver.owner": lambda *_: "redacted",
    "Waiver.reason": lambda *_: "redacted",
    "Waiver.where": _where,
    "PodFile.text": lambda fields, text: fields.texts.resolv_conf(text),
    "NodeDocument.files": _paths,
    "Namespace.settings": _paths,
    "NodeDocument.commands": _commands,
    "Namespace.listings": _commands,
    "NodeDocument.http": _http,
    "NodeDocument.agents": lambda fields, answers: {
        key: msgspec.structs.replace(
            each, body=fields.texts.free(each.body), error=fields.texts.free(each.error)
        )
        for key, each in answers.items()
    },
    "Probe.query": _query,
    "NewConnections.destinations": lambda fields, places: {
        fields.texts.opaque(place): number for place, number in places.items()
    },
    "Probe.second": lambda fields, identity: _query(fields, identity) if identity else "",
    "Kubelet.flags": lambda fields, flags: {
        key: fields.domain(value) if key.startswith("cluster-") else value
        for key, value in flags.items()
    },
    "Kubelet.lines": lambda fields, lines: fields.texts.corefile("\n".join(lines)).split("\n"),
    "Try.second": lambda fields, answer: redacted_answer(fields.texts, answer),
    "Try.answer": lambda fields, answer: redacted_answer(fields.texts, answer),
    "KernelLine.text": lambda fields, text: fields.texts.free(text, keep=KERNEL_WORDS),
}
SPECIAL_TYPES: Mapping[str, Special] = {"LabelExpression": _expression, "EbpfMaps": _ebpf}
KERNEL_WORDS = (
    "nf_conntrack table full dropping packet neighbour neighbor arp_cache ndisc_cache overflow "
    "Route cache is full consider dst netdevice NETDEV WATCHDOG CPU transmit queue timed out IPv6 "
    "duplicate address used by detected received on with own as source unregister_netdevice "
    "waiting for to become free TCP request_sock_TCP Possible SYN flooding port Out of socket "
    "memory too many orphaned sockets"
)
"""Phrases by which a check recognises lines of the kernel log."""

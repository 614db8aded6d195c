"""The Corefile of CoreDNS: its server blocks, and the plugins in them.

A server block begins with its zones (`.:53 {`). The plugin `kubernetes` serves the zones that it
lists, or those of its block. Blocks like `(name) {` are snippets, which `import` includes, as it
includes other files. A Corefile with a single server block may leave out the block's braces.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from wirecheck.parse.shell_patterns import matches

SERVING = ("kubernetes", "kubernetai")
"""Plugins that answer from the API of a cluster."""

ELSEWHERE = frozenset({"endpoint", "kubeconfig"})
"""Options that name the API server to read from."""

DEEPEST_IMPORT = 5
MOST_LINES = 20_000
"""Limits of what imports can add: two snippets of ten imports each are a hundred files."""

MOST_ZONES = 1_000
"""Zones that are read: each of many plugins may serve all zones of its block."""

CIDR = re.compile(r"/\d+$")
SNIPPET = re.compile(r"\([^()\s]+\)")
VARIABLE = re.compile(r"\{[$%]")
"""CoreDNS replaces `{$NAME}` and `{%NAME%}` with variables of its environment."""

ARGUMENT = re.compile(r"\{args(?:\[(\d{1,3})\]|\.(\d{1,3}))\}")
"""What a snippet has in the place of a word of its import."""

WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')


@dataclass(frozen=True, slots=True)
class Plugin:
    """The line of one plugin in a server block, without the block in braces after it."""

    name: str
    arguments: tuple[str, ...]
    zones: tuple[str, ...]
    """The zones of the server block, as written."""
    block: tuple[tuple[str, ...], ...] = ()
    """The words of each line in its own block."""


def plugins(corefile: str) -> Iterator[Plugin]:
    """The plugins of every server block and snippet, `import` included, in order."""
    depth = 0
    zones: tuple[str, ...] = ()
    listed: list[str] = []
    continues = False
    line_of_plugin: tuple[str, ...] = ()
    block: list[tuple[str, ...]] = []
    for line in _with_braces(corefile.splitlines()):
        words = _words(line)
        named = tuple(word for word in words if word not in "{}")
        if depth == 2 and named and line_of_plugin:
            block.append(named)
        elif named and depth < 2:
            if line_of_plugin:
                yield _plugin(line_of_plugin, zones, block)
            line_of_plugin, block = named if depth else (), []
            if depth == 0 and named[0] == "import":
                yield Plugin("import", named[1:], ())
            elif depth == 0:
                # Zones can be on several lines, each of which but the last ends with a comma.
                if not continues:
                    listed = []
                listed += named
                continues = named[-1].endswith(",")
        if depth == 0 and "{" in words:
            zones = tuple(listed)
        depth += words.count("{") - words.count("}")
    if line_of_plugin:
        yield _plugin(line_of_plugin, zones, block)


def _with_braces(lines: Sequence[str]) -> Iterable[str]:
    """The lines, with the braces that a single server block may leave out."""
    used = [at for at, line in enumerate(lines) if _words(line)]
    # Zones can be on several lines, each of which but the last ends with a comma.
    last = next((at for at in used if _words(lines[at])[-1][-1] != ","), None)
    if last is None or last == used[-1]:
        return lines
    words, following = _words(lines[last]), _words(lines[used[used.index(last) + 1]])
    if "{" in words or following[0] == "{" or _is_definition(words[0]):
        return lines
    return [*lines[:last], f"{' '.join(words)} {{", *lines[last + 1 :], "}"]


def _is_definition(word: str) -> bool:
    """Whether a line at the top that begins so is not about a server block."""
    return word == "import" or SNIPPET.fullmatch(word) is not None


def _plugin(line: tuple[str, ...], zones: tuple[str, ...], block: list[tuple[str, ...]]) -> Plugin:
    return Plugin(line[0], line[1:], zones, tuple(block))


def cluster_zones(corefile: str) -> tuple[str, ...]:
    """The forward zones whose names come from the cluster's API, in order; empty if none is known.

    >>> cluster_zones(".:53 {\\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\\n    }\\n}")
    ('cluster.local',)
    """
    return tuple(dict.fromkeys(filter(None, map(_zone, _words_of_zones(corefile)))))


def cluster_zone(corefile: str) -> str:
    """The first of `cluster_zones`; empty if there is none."""
    return next(iter(cluster_zones(corefile)), "")


def unknown_zones(corefile: str) -> tuple[str, ...]:
    """The zones that only the environment of the process knows: `{$CLUSTER_DOMAIN}`."""
    return tuple(word for word in _words_of_zones(corefile) if VARIABLE.search(word))


def _words_of_zones(corefile: str) -> Iterator[str]:
    words = (word for each in _serving(corefile) for word in _zone_words(each))
    return islice(words, MOST_ZONES)


def other_zones(corefile: str) -> tuple[str, ...]:
    """The zones of server blocks that do not answer from the cluster's API, in order.

    >>> other_zones(".:53 {\\n kubernetes a.b\\n}\\nc.d:53 {\\n forward . 192.0.2.1\\n}")
    ('c.d',)
    """
    serving = {each.zones for each in _serving(corefile)}
    blocks = dict.fromkeys(each.zones for each in plugins(corefile))
    words = (word for zones in blocks if zones not in serving for word in zones)
    return tuple(dict.fromkeys(filter(None, map(_zone, words))))


def _serving(corefile: str) -> list[Plugin]:
    """The plugins that answer from the API of this cluster.

    One with an endpoint or a kubeconfig is about another cluster, unless all have one.
    """
    found = [each for each in plugins(corefile) if each.name in SERVING]
    return [each for each in found if not ELSEWHERE & {line[0] for line in each.block}] or found


def _zone_words(plugin: Plugin) -> Iterator[str]:
    """The forward zones of the plugin as written: its own, or else those of its block."""
    own = filter(_is_forward, plugin.arguments)
    first = next(own, "")
    yield from (first, *own) if first else filter(_is_forward, plugin.zones)


def _is_forward(word: str) -> bool:
    """Whether the word is a zone, and not a reverse one, a snippet's name or the root."""
    return bool(VARIABLE.search(word) or _zone(word))


def _zone(word: str) -> str:
    """The zone in lower case without scheme, port and final dot; empty if it is none."""
    if VARIABLE.search(word) or word.startswith("("):
        return ""
    plain = word.strip('"').rstrip(",")
    if CIDR.search(plain):
        return ""  # CoreDNS makes reverse zones of it.
    zone = re.sub(r"^\w+://|:\d+$", "", plain).rstrip(".").lower()
    return "" if zone == "arpa" or zone.endswith(".arpa") else zone


@dataclass(frozen=True, slots=True)
class Expansion:
    """A Corefile with its imports in their places, and the paths of the files that it imports."""

    text: str
    imported: frozenset[str] = frozenset()


def expansion(corefile: str, files: Mapping[str, str], path: str) -> Expansion:
    """The Corefile at `path` with the snippets and files that it imports in their places.

    `files` has the text of other files by absolute path. A relative pattern begins at the folder
    of the Corefile. An import of something else stays. Definitions of snippets are left out.
    """
    lines = corefile.splitlines()[:MOST_LINES]
    imported: dict[str, str] = {}
    for _ in range(DEEPEST_IMPORT):
        lines, snippets = _without_snippets(lines)
        # Definitions stay until the end, as an imported file may use them.
        longer = [line for each in snippets.items() for line in _definition(*each)]
        for line in lines:
            words = _words(line) if len(longer) < MOST_LINES else []
            if len(words) < 2 or words[0] != "import":
                longer.append(line)
            elif words[1] in snippets:
                longer += [_filled(each, words[2:]) for each in snippets[words[1]]]
            else:
                found = _matching(words[1], posixpath.dirname(path), files)
                imported |= found
                longer += [each for text in found.values() for each in text.splitlines()] or [line]
        lines = longer[:MOST_LINES]
    lines, _ = _without_snippets(lines)
    return Expansion("".join(f"{line}\n" for line in lines), frozenset(imported))


def _filled(line: str, arguments: Sequence[str]) -> str:
    """A line of a snippet with the arguments of its import: `{args[0]}`, formerly `{args.0}`."""

    def value(found: re.Match[str]) -> str:
        at = int(found[1] or found[2])
        return arguments[at] if at < len(arguments) else found[0]

    return ARGUMENT.sub(value, line)


def _words(line: str) -> list[str]:
    return WORD.findall(line.partition("#")[0])


def _matching(pattern: str, folder: str, files: Mapping[str, str]) -> dict[str, str]:
    wanted = posixpath.normpath(posixpath.join(folder, pattern.strip('"')))
    return {
        path: files[path]
        for path in sorted(files)
        # As in Go's filepath.Glob, a star does not match a slash.
        if path.count("/") == wanted.count("/") and matches(path, wanted)
    }


def _without_snippets(lines: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The lines outside the definitions of snippets, and the lines of each snippet."""
    kept: list[str] = []
    snippets: dict[str, list[str]] = {}
    depth, current = 0, ""
    for line in lines:
        words = _words(line)
        is_beginning = depth == 0 and bool(words) and SNIPPET.fullmatch(words[0]) is not None
        depth += words.count("{") - words.count("}")
        if is_beginning:
            current = words[0][1:-1]
            snippets[current] = []
        elif current and depth > 0:
            snippets[current].append(line)
        elif not current:
            kept.append(line)
        if current and depth <= 0:
            current = ""
    return kept, snippets


def _definition(name: str, lines: Sequence[str]) -> list[str]:
    return [f"({name}) {{", *lines, "}"]

"""The entries of ``clusters.yaml`` as YAML has them, each read though another is broken (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

DEFAULTS = "defaults"
"""The entry that is no cluster, and holds what all clusters share."""

Place: TypeAlias = tuple[Any, ...]
"""The names on the way to a setting, such as ``("parameters", "min_blobs")``."""

# Ten times as fast; it is not there where PyYAML was built without libyaml.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOP_LEVEL = re.compile(r"^(?=[^\s#])", re.MULTILINE)
_NAME = re.compile(r"""(["']?)(?P<name>[\w.-]+)\1\s*:""")
_CONNECTION = re.compile(r"""^[^#\n]*\bconnection:\s*["']?(?P<name>[\w.-]+)""", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One entry.

    :param name: its key.
    :param line: of its key, from 1.
    :param values: its settings; not a mapping if it is written wrongly.
    :param lines: of each of its settings.
    :param problems: what is wrong with it as YAML, each with its line.
    """

    name: str
    line: int
    values: Any
    lines: Mapping[Place, int] = field(default_factory=dict)
    problems: tuple[tuple[int, str], ...] = ()

    def has(self, place: Place) -> bool:
        """Whether a setting is written here."""
        return place in self.lines

    def line_of(self, place: Place) -> int:
        """The line of a setting, else of what it is in."""
        return next(
            (self.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self.lines), self.line
        )


def read_entries(text: str) -> list[Entry]:
    """The entries of a file, in its order.

    :raises ValueError: if no entry of it can be told from the others; the message says what is wrong with the YAML.
    """
    try:
        return list(_entries(text, 0))
    except yaml.YAMLError as error:
        # A line that does not begin with a space begins an entry: the others are read without the broken one.
        blocks = [block for block in _blocks(text) if _NAME.match(block[1])]
        entries = [entry for first, block in blocks for entry in _entries_of_block(block, first)]
        if not entries:
            raise ValueError(str(error)) from error
        return entries


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Each entry's text with the number of lines before it."""
    first = 0
    for block in _TOP_LEVEL.split(text):
        yield first, block
        first += block.count("\n")


def _entries_of_block(block: str, first: int) -> list[Entry]:
    try:
        return list(_entries(block, first))
    except yaml.YAMLError as error:
        name = _NAME.match(block)
        connection = _CONNECTION.search(block)
        mark = getattr(error, "problem_mark", None)
        line = first + 1 + (min(mark.line, block.rstrip().count("\n")) if mark else 0)
        return [
            Entry(
                name=name["name"] if name else "",
                line=first + 1,
                values={"connection": connection["name"]} if connection else {},
                problems=((line, f"it cannot be read: {getattr(error, 'problem', None) or error}"),),
            )
        ]


def _entries(text: str, first: int) -> Iterator[Entry]:
    """:raises yaml.YAMLError: if it is no YAML."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            return
        if node.tag != "tag:yaml.org,2002:map":
            raise yaml.YAMLError(f"{node.tag} is no mapping")
        for key, value in node.value:
            yield _entry(loader, key, value, first + 1)
    finally:
        loader.dispose()


def _entry(loader: Any, key: yaml.Node, value: yaml.Node, base: int) -> Entry:
    line = key.start_mark.line + base
    name = key.value if isinstance(key, yaml.ScalarNode) else "?"
    lines: dict[Place, int] = {}
    problems = list(_walk(value, (), lines, base))
    if key.tag != "tag:yaml.org,2002:str":
        problems.append((line, f"name: a cluster's name should be text: write for example 'cluster-{name}'"))
    try:
        values = loader.construct_document(value)
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
    ) as error:  # ValueError: a date that is none; TypeError: a list as key
        values = None
        problems.append((line, f"it cannot be read: {getattr(error, 'problem', None) or error}"))
    return Entry(name, line, {} if values is None else values, lines, tuple(problems))


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], base: int) -> Iterator[tuple[int, str]]:
    """Note the line of each setting, and of those in ceilings and parameters; yields what is written twice."""
    if not isinstance(node, yaml.MappingNode) or len(place) > 1:
        return
    for key, value in node.value:
        here, line = (*place, key.value if isinstance(key, yaml.ScalarNode) else "?"), key.start_mark.line + base
        if here in lines:
            yield line, f"{'.'.join(here)}: it is there twice, first in line {lines[here]}"
        lines.setdefault(here, line)
        yield from _walk(value, here, lines, base)

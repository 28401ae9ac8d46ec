"""What a benchmark is, and which there are."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module

Value = str | int | float | None
Row = Mapping[str, Value]
"""One line of a table, by column. Raw figures: the table rounds them, the JSON does not. None: not measured."""

MODULES: tuple[str, ...] = (
    "read_only.read_only_time", "read_only.by_list", "read_only.slices", "read_only.quiet_day", "read_only.timeline",
    "read_only.celery",
    "stream.dry_run", "stream.parsing", "stream.following", "stream.tripwire",
    "fleet.parse", "page.first_paint",
)  # fmt: skip
"""One module for each benchmark; each has a ``BENCHMARK``."""


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True)
class Benchmark:
    """One table.

    :param name: what ``--only`` chooses by.
    :param title: the table's heading.
    :param about: what is measured and how, in Markdown; stands above the table.
    :param columns: headings, with units; every row has a value for each.
    :param keys: the columns that tell rows apart: a row that is measured again replaces the earlier one.
    :param measure: yields the rows as they are measured; gets the command line's options.
    :param add_arguments: adds the benchmark's own options, such as ``--sizes``.
    """

    name: str
    title: str
    about: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    measure: Callable[[argparse.Namespace], Iterator[Row]]
    add_arguments: Callable[[argparse.ArgumentParser], None] = field(default=_no_arguments)

    def key(self, row: Row) -> tuple[Value, ...]:
        """What tells a row apart from the others."""
        return tuple(row.get(column) for column in self.keys)


def all_benchmarks() -> list[Benchmark]:
    """Every benchmark, in the order of the document."""
    return [import_module(f"benchmarks.{module}").BENCHMARK for module in MODULES]


def numbers(text: str) -> tuple[int, ...]:
    """For options such as ``--lines 1000,1000000``."""
    return tuple(int(each) for each in text.replace("_", "").split(","))

"""What was measured, kept: ``benchmarks/results.json``, and from it the tables of ``docs/benchmarks.md``.

A row replaces the one with the same key; the others stay, so that one benchmark, or one size of it, can be measured
anew. Rows of another machine go: they are not side by side any more.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark, Row
from benchmarks.machine import Machine
from benchmarks.table import head_lines, row_line

_INTRODUCTION = """# Benchmarks

`make bench` measures, `make bench OPTIONS=--write` puts the figures here and, as they were measured, into
`benchmarks/results.json`; `OPTIONS=--list` names the benchmarks, `--only PATTERN` chooses. What is compared ran side by
side in one run.
"""


class Results:
    """The two files of results.

    :param document: the Markdown file.
    :param figures: the JSON file.
    :param machine: that this measurement runs on.
    """

    def __init__(self, document: Path, figures: Path, machine: Machine) -> None:
        self._json = figures
        self._document = document
        self._machine = machine

    def add(self, benchmark: Benchmark, row: Row) -> None:
        """Keep a row, at once."""
        results: dict[str, Any] = json.loads(self._json.read_text(encoding="utf-8")) if self._json.exists() else {}
        earlier = results.get(benchmark.name)
        rows = earlier["rows"] if earlier and self._machine.is_like(Machine(**earlier["machine"])) else []
        if any(set(each) != set(benchmark.columns) for each in rows):
            rows = []  # the table has other columns now
        keys = [benchmark.key(each) for each in rows]
        place = keys.index(benchmark.key(row)) if benchmark.key(row) in keys else len(rows)
        rows[place : place + 1] = [{column: row.get(column) for column in benchmark.columns}]
        results[benchmark.name] = {"machine": asdict(self._machine), "rows": rows}
        self._json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        self._write_section(benchmark, rows)

    def _write_section(self, benchmark: Benchmark, rows: list[dict[str, Any]]) -> None:
        begin, end = f"<!-- {benchmark.name}: made, not written -->", f"<!-- end of {benchmark.name} -->"
        text = self._document.read_text(encoding="utf-8") if self._document.exists() else _INTRODUCTION
        before, found, rest = text.partition(begin)
        after = rest.partition(end)[2] if found else ""
        section = [
            begin,
            f"## {benchmark.title}",
            "",
            benchmark.about.strip(),
            "",
            f"`make bench OPTIONS='--only {benchmark.name} --write'`, {self._machine.text()}.",
            "",
            *head_lines(benchmark.columns, rows[0]),
            *(row_line(benchmark.columns, row) for row in rows),
            end,
        ]
        parts = [before.strip(), "\n".join(section), after.strip()]
        self._document.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")

"""The command line: ``python -m benchmarks [--list] [--only PATTERN] [--write]``."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import traceback

from benchmarks import PROJECT
from benchmarks.benchmark import Benchmark, Row, all_benchmarks
from benchmarks.machine import Machine
from benchmarks.results import Results
from benchmarks.table import head_lines, row_line

DOCUMENT, FIGURES = PROJECT / "docs" / "benchmarks.md", PROJECT / "benchmarks" / "results.json"


def main(arguments: list[str] | None = None) -> int:
    """Measure.

    :return: exit status: 0 if everything was measured, 1 if a benchmark failed, 2 if none matches.
    """
    benchmarks = all_benchmarks()
    options = _parser(benchmarks).parse_args(arguments)
    # So that what was started ends, too; a shell's background jobs ignore SIGINT.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [each for each in benchmarks if re.search(options.only or "", each.name, re.IGNORECASE)]
    if not chosen:
        print(f"no benchmark matches {options.only!r}; --list names them", flush=True)
        return 2
    if options.list:
        print("\n".join(f"{each.name:12} {each.title}" for each in chosen), flush=True)
        return 0
    machine = Machine.this()
    print(machine.text(), flush=True)
    results = Results(DOCUMENT, FIGURES, machine) if options.write else None
    # One that fails does not lose the others.
    failed = [each.name for each in chosen if not _measured(each, options, results)]
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def _parser(benchmarks: list[Benchmark]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures, side by side in one run.")
    parser.add_argument("--list", action="store_true", help="name the benchmarks, do nothing")
    parser.add_argument("--only", metavar="PATTERN", help="only benchmarks whose name this regular expression matches")
    parser.add_argument(
        "--write", action="store_true", help="put what is measured into docs/benchmarks.md and benchmarks/results.json"
    )
    for each in benchmarks:
        each.add_arguments(parser)
    return parser


def _measured(benchmark: Benchmark, options: argparse.Namespace, results: Results | None) -> bool:
    """Measure and show, row by row; a row that was measured is kept even if a later one fails."""
    print(f"\n{benchmark.name}: {benchmark.title}", flush=True)
    rows: list[Row] = []
    try:
        for row in benchmark.measure(options):
            if not rows:
                print("\n".join(head_lines(benchmark.columns, row)), flush=True)
            print(row_line(benchmark.columns, row), flush=True)
            rows.append(row)
            if results:
                results.add(benchmark, row)
    except Exception:
        traceback.print_exc()
        return False
    return True

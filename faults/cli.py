"""The command line: ``python -m faults [--list] [--only PATTERN] [--write]``."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from faults.fault import Fault, Outcome

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT = PROJECT / "docs" / "faults.md"
LOGS = PROJECT / ".state"


def main(arguments: list[str] | None = None) -> int:
    """Do the sweep.

    :return: exit status: 0 if every fault ended as it must, 1 if one did not, 2 if no fault matches.
    """
    options = _parser().parse_args(arguments)
    # So that what was started ends, too; a shell's background jobs ignore SIGINT.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        # Airflow writes to the terminal as it likes: the table keeps it for itself.
        table = stack.enter_context(os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
        if not options.verbose:
            LOGS.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context((LOGS / f"faults-{options.kind}.log").open("wb"))
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log.fileno(), stream.fileno())
        from faults.airflow_home import airflow_home

        stack.enter_context(airflow_home())
        return _sweep(options, table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m faults", description="Lets runs meet faults, and looks at the end."
    )
    parser.add_argument("--list", action="store_true", help="name the faults, do nothing")
    parser.add_argument("--only", metavar="PATTERN", help="only faults whose name this regular expression matches")
    parser.add_argument("--kind", choices=("in-process", "processes", "all"), default="all", help="(%(default)s)")
    parser.add_argument("--write", action="store_true", help="write the table to docs/faults.md")
    parser.add_argument(
        "--verbose", action="store_true", help="show the logs of the runs (else: .state/faults-KIND.log)"
    )
    return parser


def _sweep(options: argparse.Namespace, table: TextIO) -> int:
    from faults.catalogue import in_process_faults
    from faults.process_catalogue import process_faults
    from faults.table import head, line, write_section

    def chosen(faults: list[Any], kind: str) -> list[Any]:
        if options.kind not in (kind, "all"):
            return []
        return [each for each in faults if re.search(options.only or "", each.name, re.IGNORECASE)]

    here, processes = chosen(in_process_faults(), "in-process"), chosen(process_faults(), "processes")
    if not here and not processes:
        print(f"no fault matches {options.only!r}; --list names them", file=table, flush=True)
        return 2
    if options.list:
        print("\n".join(each.name for each in here + processes), file=table, flush=True)
        return 0
    print(head(), file=table, flush=True)
    bad = 0
    for kind, outcomes in (("in-process", _in_process(here)), ("processes", _in_processes(processes))):
        seen = []
        for outcome in outcomes:
            seen.append(outcome)
            bad += not outcome.good
            print(line(outcome), file=table, flush=True)
            if options.write:
                write_section(DOCUMENT, seen, kind=kind)
    print(f"{len(here) + len(processes)} faults, {bad} ended badly", file=table, flush=True)
    return 1 if bad else 0


def _in_process(faults: list[Fault[Any]]) -> Iterator[Outcome]:
    from faults.in_process import try_in_process

    for fault in faults:
        yield _tried(fault, try_in_process)


def _in_processes(faults: list[Fault[Any]]) -> Iterator[Outcome]:
    if not faults:
        return
    from faults.processes import RealAirflow

    with tempfile.TemporaryDirectory(prefix="registry-prune-airflow-") as folder, RealAirflow(Path(folder)) as real:
        for fault in faults:
            yield _tried(fault, real.try_fault)


def _tried(fault: Fault[Any], work: Callable[[Fault[Any], Path], Outcome]) -> Outcome:
    """The outcome; that the sweep itself failed is one, too."""
    with tempfile.TemporaryDirectory(prefix="registry-prune-fault-", ignore_cleanup_errors=True) as folder:
        try:
            return work(fault, Path(folder) / "sandbox")
        except Exception as error:
            from faults.arena import CONDITIONS

            remark = f"the sweep failed: {type(error).__name__}: {error}"
            nothing: dict[str, bool | None] = dict.fromkeys(CONDITIONS)
            return Outcome(fault.what, fault.point, "?", "?", nothing, 0.0, 0.0, (remark,))

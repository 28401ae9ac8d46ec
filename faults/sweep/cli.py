"""The command line: ``python -m faults [--list] [--only PATTERN] [--kind KIND] [--new] [--parallel N] [--write]``."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time

from faults import PROJECT
from faults.arena.ending import CONDITIONS
from faults.catalogue.kinds import KINDS, catalogue
from faults.fault import Outcome
from faults.sweep.document import RESULTS, tried_before, write_outcomes
from faults.sweep.table import line
from faults.sweep.trying import Job, log_name
from faults.sweep.workers import Workers

LOGS = PROJECT / ".state" / "faults"
PARALLEL = 3
"""On two cores: much of a row is waiting."""


def main(arguments: list[str] | None = None) -> int:
    """Do the sweep.

    :return: exit status: 0 if every fault ended as it must, 1 if one did not, 2 if no fault matches.
    """
    options = _parser().parse_args(arguments)
    # So that what was started ends, too; a shell's background jobs ignore SIGINT.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tried = {kind: tried_before(RESULTS, kind) if options.new else set() for kind in KINDS}
    jobs: list[Job] = [
        (kind, fault.name)
        for kind in KINDS
        if options.kind in (kind, "all")
        # One Airflow serves all that want the same settings.
        for fault in sorted(catalogue(kind), key=lambda fault: repr((fault.settings, fault.entries)))
        if re.search(options.only or "", fault.name, re.IGNORECASE) and (fault.what, fault.point) not in tried[kind]
    ]
    if not jobs:
        which = f" matches {options.only!r}" if options.only else " is there"
        print(f"no fault{' without a row in faults/results.md' if options.new else ''}{which}; --list names them all")
        return 2
    if options.list:
        print("\n".join(f"{kind}: {name}" for kind, name in jobs))
        return 0
    return _sweep(jobs, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m faults", description="Lets runs meet faults, and looks at the end."
    )
    parser.add_argument("--list", action="store_true", help="name the faults, do nothing")
    parser.add_argument("--only", metavar="PATTERN", help="only faults whose name this regular expression matches")
    parser.add_argument("--new", action="store_true", help="only faults without a row in faults/results.md")
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="all", help="(%(default)s)")
    parser.add_argument("--parallel", metavar="N", type=int, default=PARALLEL, help="how many at once (%(default)s)")
    parser.add_argument("--write", action="store_true", help="write what was tried to its rows of faults/results.md")
    return parser


def _sweep(jobs: list[Job], options: argparse.Namespace) -> int:
    print(f"The marks: {', '.join(CONDITIONS)}.\nLogs: {LOGS}/KIND-FAULT.log", flush=True)
    started = time.monotonic()
    seen: dict[Job, Outcome] = {}
    with Workers(jobs, options.parallel, LOGS) as workers:
        for job, outcome in workers.outcomes():
            seen[job] = outcome
            print(f"{len(seen):3}/{len(jobs)} {line(outcome)}", flush=True)
            if not outcome.good:
                print(f"      log: {LOGS / log_name(*job)}.log", flush=True)
            if options.write:
                # After each, so that a sweep of hours that is killed has lost nothing.
                tried = [outcome for (kind, _), outcome in seen.items() if kind == job[0]]
                minutes = (time.monotonic() - started) / 60
                write_outcomes(RESULTS, tried, kind=job[0], minutes=minutes, parallel=options.parallel)
    bad = sum(not outcome.good for outcome in seen.values())
    print(f"{len(seen)} faults in {(time.monotonic() - started) / 60:.0f} minutes, {bad} ended badly", flush=True)
    return 1 if bad else 0

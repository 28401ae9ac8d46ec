"""``faults/results.md``: rows that were tried replace those that are there; whatever was not tried stays."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from faults import PROJECT
from faults.arena.ending import CONDITIONS
from faults.catalogue.kinds import IN_PROCESS, MATRIX, PROCESSES, catalogue
from faults.fault import Outcome
from faults.sweep.table import conditions_of, head_lines, remark, row, with_conditions

RESULTS = PROJECT / "faults" / "results.md"
Key = tuple[str, str]
"""What goes wrong, and where."""
_ROW = re.compile(r"\| (?P<what>[^|]+) \| (?P<point>[^|]+) \| .* \|")
_REMARK = re.compile(r"- \*\*(?P<name>.+?)\*\*: ")
_WHOLE, _LATER = "The whole: ", "Rows tried anew since: "
TITLES = {
    IN_PROCESS: "Faults of the cluster, of connections, of persons",
    PROCESSES: "Faults of Airflow's processes",
    MATRIX: "Tasks cleared and marked, while something changes",
}


@dataclass
class Section:
    """The part of the document for one kind of faults, between its marks."""

    kind: str
    whole: str = ""
    later: str = ""
    rows: dict[Key, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, kind: str, text: str) -> Section:
        """What the document has of it."""
        section = cls(kind)
        conditions: tuple[str, ...] = CONDITIONS
        for line in text.partition(begin(kind))[2].partition(end(kind))[0].splitlines():
            if (head := conditions_of(line)) is not None:
                conditions = head
            elif line.startswith("| --- |"):
                continue
            elif found := _ROW.fullmatch(line):
                section.rows[found["what"], found["point"]] = with_conditions(line, conditions, CONDITIONS)
            elif found := _REMARK.match(line):
                section.remarks[found["name"]] = line
            elif line.startswith(_WHOLE):
                section.whole = line
            elif line.startswith(_LATER):
                section.later = line
        return section

    def take(self, outcomes: Sequence[Outcome], *, minutes: float, parallel: int) -> None:
        """Put these outcomes in the place of earlier ones; rows of faults that there are no more go."""
        faults = catalogue(self.kind)
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        if {(each.fault, each.point) for each in outcomes} >= {(fault.what, fault.point) for fault in faults}:
            machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
            self.whole = (
                f"{_WHOLE}`make faults OPTIONS=--write`, {today}, {machine}, Python {platform.python_version()}, "
                f"{parallel} at once, {math.ceil(minutes)} minutes with all kinds that were tried along with it."
            )
            self.later = ""
        else:
            self.later = f"{_LATER}`make faults OPTIONS='--only PATTERN --write'`, last on {today}."
        for outcome in outcomes:
            self.rows[outcome.fault, outcome.point] = row(outcome, CONDITIONS)
            self.remarks.pop(f"{outcome.fault}, {outcome.point}", None)
            if remark(outcome):
                self.remarks[f"{outcome.fault}, {outcome.point}"] = remark(outcome)
        self.rows = {key: self.rows[key] for each in faults if (key := (each.what, each.point)) in self.rows}
        names = {", ".join(key) for key in self.rows}
        self.remarks = {name: text for name, text in self.remarks.items() if name in names}

    def text(self) -> str:
        """As it stands in the document."""
        count = f"{len(self.rows)} faults, {len(self.rows) - len(self.remarks)} ended as they must."
        parts = [
            f"{begin(self.kind)}\n## {TITLES[self.kind]}",
            "\n".join(line for line in (count, self.whole, self.later) if line),
            "\n".join([*head_lines(CONDITIONS), *self.rows.values()]),
            "\n".join(self.remarks.values()),
        ]
        return "\n\n".join(part for part in parts if part) + f"\n{end(self.kind)}"


def tried_before(document: Path, kind: str) -> set[Key]:
    """What of one kind has a row in the document."""
    return set(Section.read(kind, document.read_text(encoding="utf-8")).rows)


def write_outcomes(document: Path, outcomes: Sequence[Outcome], *, kind: str, minutes: float, parallel: int) -> None:
    """Write what was tried of one kind to its rows of the document; nothing, if nothing was."""
    if not outcomes:
        return
    text = document.read_text(encoding="utf-8")
    section = Section.read(kind, text)
    section.take(outcomes, minutes=minutes, parallel=parallel)
    before, found, rest = text.partition(begin(kind))
    after = rest.partition(end(kind))[2] if found else ""
    parts = [before.rstrip(), section.text(), after.strip()]
    document.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def begin(kind: str) -> str:
    """The mark before a section."""
    return f"<!-- {kind}: made, not written -->"


def end(kind: str) -> str:
    """The mark after it."""
    return f"<!-- end of {kind} -->"

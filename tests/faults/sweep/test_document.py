"""faults/results.md: what was tried replaces its own rows, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faults.arena.ending import CONDITIONS
from faults.catalogue.kinds import IN_PROCESS, PROCESSES, catalogue
from faults.fault import NEVER_HIT, Outcome
from faults.sweep import cli
from faults.sweep.document import Section, begin, end, write_outcomes
from faults.sweep.table import with_conditions

OLD_CONDITIONS = ("read-write", "lease gone", "no pruner", "images whole", "no push beside", "as before")
FAULTS = catalogue(IN_PROCESS)
ALL = [
    Outcome(fault.what, fault.point, "success", "run", dict.fromkeys(CONDITIONS, True), 1.0, 2.0) for fault in FAULTS
]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "faults.md"
    path.write_text("# Title\n\nWords.\n", encoding="utf-8")
    return path


def write(document: Path, outcomes: list[Outcome], kind: str = IN_PROCESS) -> Section:
    write_outcomes(document, outcomes, kind=kind, minutes=11.2, parallel=3)
    return Section.read(kind, document.read_text(encoding="utf-8"))


def test_the_whole_of_a_kind_is_written_in_the_order_of_the_catalogue(document: Path) -> None:
    section = write(document, list(reversed(ALL)))
    assert list(section.rows) == [(fault.what, fault.point) for fault in FAULTS]
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\nWords.\n")
    assert f"{len(ALL)} faults, {len(ALL)} ended as they must." in text
    assert "12 minutes" in section.whole
    assert section.later == ""


def test_some_rows_replace_only_themselves(document: Path) -> None:
    before = write(document, ALL)
    bad = replace(ALL[3], run="failed", remarks=(NEVER_HIT,))
    after = write(document, [bad])
    key = (bad.fault, bad.point)
    assert {name: row for name, row in after.rows.items() if name != key} == {
        name: row for name, row in before.rows.items() if name != key
    }
    assert "| failed |" in after.rows[key]
    assert after.remarks == {FAULTS[3].name: f"- **{FAULTS[3].name}**: {NEVER_HIT}"}
    assert after.whole == before.whole
    assert after.later
    assert f"{len(ALL)} faults, {len(ALL) - 1} ended as they must." in document.read_text(encoding="utf-8")
    assert write(document, [ALL[3]]).rows == before.rows
    assert Section.read(IN_PROCESS, document.read_text(encoding="utf-8")).remarks == {}


def test_a_sweep_that_was_ended_goes_on_with_what_has_no_row_yet(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(document, ALL[2:])
    monkeypatch.setattr(cli, "RESULTS", document)
    assert cli.main(["--new", "--list", "--kind", IN_PROCESS]) == 0
    assert set(capsys.readouterr().out.splitlines()) == {f"{IN_PROCESS}: {fault.name}" for fault in FAULTS[:2]}
    write(document, ALL)
    assert cli.main(["--new", "--list", "--kind", IN_PROCESS]) == 2
    assert "no fault without a row in faults/results.md is there" in capsys.readouterr().out


def test_a_row_whose_fault_there_is_no_more_goes(document: Path) -> None:
    write(document, ALL)
    text = document.read_text(encoding="utf-8").replace(f"| {ALL[0].fault} | {ALL[0].point} |", "| old | gone |")
    document.write_text(text, encoding="utf-8")
    section = write(document, [ALL[1]])
    assert ("old", "gone") not in section.rows
    assert len(section.rows) == len(ALL) - 1


def test_a_row_of_before_a_condition_was_looked_at_keeps_what_it_told(document: Path) -> None:
    first, second = FAULTS[:2]
    old = f"| {first.what} | {first.point} | failed | guard | a | b | c | d | e | f | 3.4 s |"
    head = f"| fault | point | run | closed by | {' | '.join(OLD_CONDITIONS)} | read-only |"
    table = f"{head}\n| --- | --- |\n{old}"
    document.write_text(f"{begin(IN_PROCESS)}\n{table}\n{end(IN_PROCESS)}\n", encoding="utf-8")
    section = write(document, [ALL[1]])
    assert list(section.rows) == [(first.what, first.point), (second.what, second.point)]
    told = section.rows[first.what, first.point]
    assert told == f"| {first.what} | {first.point} | failed | guard | a | b | c | · | d | e | · | · | f | · | 3.4 s |"
    assert with_conditions(told, CONDITIONS, CONDITIONS) == told


def test_the_other_kind_and_the_words_around_stay(document: Path) -> None:
    process = catalogue(PROCESSES)[0]
    write(document, ALL)
    section = write(document, [replace(ALL[0], fault=process.what, point=process.point)], PROCESSES)
    assert list(section.rows) == [(process.what, process.point)]
    assert len(Section.read(IN_PROCESS, document.read_text(encoding="utf-8")).rows) == len(ALL)


def test_where_nothing_was_tried_nothing_is_written(document: Path) -> None:
    before = document.read_text(encoding="utf-8")
    write(document, [])
    assert document.read_text(encoding="utf-8") == before

"""What was measured is kept: row by row, and never beside figures of another machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from benchmarks.results import Results
from tests.benchmarks.made_up import benchmark

MACHINE = Machine("here", "Linux", "a processor", 2, 2**30, "3.11.7", {"kubernetes": "36.0.3"}, "2026-11-23")


def results(folder: Path, machine: Machine = MACHINE) -> Results:
    return Results(folder / "benchmarks.md", folder / "results.json", machine)


def document(folder: Path) -> str:
    return (folder / "benchmarks.md").read_text(encoding="utf-8")


def rows(folder: Path, name: str = "parsing") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "results.json").read_text(encoding="utf-8"))[name]["rows"]
    return found


def test_a_row_measured_again_replaces_the_earlier_one_and_leaves_the_others(tmp_path: Path) -> None:
    for figure in (1.0, 2.0):
        for who in ("project", "kubectl"):
            results(tmp_path).add(benchmark(), {"who": who, "lines/s": figure})
    results(tmp_path, replace(MACHINE, date="2026-11-24")).add(benchmark(), {"who": "project", "lines/s": 3.0})
    assert rows(tmp_path) == [{"who": "project", "lines/s": 3.0}, {"who": "kubectl", "lines/s": 2.0}]
    assert document(tmp_path).count("| project | 3.00 |") == 1
    assert document(tmp_path).count("## All about parsing") == 1
    assert "machine here" in document(tmp_path)


def test_rows_of_another_machine_or_with_other_columns_do_not_stay(tmp_path: Path) -> None:
    results(tmp_path).add(benchmark(), {"who": "project", "lines/s": 1.0})
    results(tmp_path, replace(MACHINE, cores=4)).add(benchmark(), {"who": "kubectl", "lines/s": 2.0})
    assert rows(tmp_path) == [{"who": "kubectl", "lines/s": 2.0}]
    wider = benchmark(columns=("who", "lines/s", "MB/s"))
    results(tmp_path, replace(MACHINE, cores=4)).add(wider, {"who": "project", "lines/s": 1.0})
    assert rows(tmp_path) == [{"who": "project", "lines/s": 1.0, "MB/s": None}]


def test_each_benchmark_has_its_section_and_what_a_person_wrote_between_stays(tmp_path: Path) -> None:
    for name in ("parsing", "dry_run"):
        results(tmp_path).add(benchmark(name), {"who": "project", "lines/s": 1.0})
    text = document(tmp_path).replace("<!-- dry_run: made", "A person's remark.\n\n<!-- dry_run: made")
    (tmp_path / "benchmarks.md").write_text(text, encoding="utf-8")
    results(tmp_path).add(benchmark("parsing"), {"who": "project", "lines/s": 5.0})
    assert "A person's remark." in document(tmp_path)
    assert document(tmp_path).index("All about parsing") < document(tmp_path).index("All about dry_run")
    assert rows(tmp_path, "dry_run") == [{"who": "project", "lines/s": 1.0}]

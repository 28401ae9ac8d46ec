"""What was measured is kept: row by row, and never beside figures of another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cli
from benchmarks.benchmark import Benchmark, Row, all_benchmarks, numbers
from benchmarks.machine import Machine
from benchmarks.results import Results
from benchmarks.table import shown

MACHINE = Machine("here", "Linux", "a processor", 2, 2**30, "3.11.7", {"kubernetes": "36.0.3"}, "2026-11-23")


def benchmark(name: str = "parsing", **changes: Any) -> Benchmark:
    fields: dict[str, Any] = {
        "name": name,
        "title": f"All about {name}",
        "about": "What it is.",
        "columns": ("who", "lines/s"),
        "keys": ("who",),
        "measure": lambda options: iter(()),
    }
    return Benchmark(**(fields | changes))


def document(folder: Path) -> str:
    return (folder / "benchmarks.md").read_text(encoding="utf-8")


def rows(folder: Path, name: str = "parsing") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "benchmarks.json").read_text(encoding="utf-8"))[name]["rows"]
    return found


def test_a_row_measured_again_replaces_the_earlier_one_and_leaves_the_others(tmp_path: Path) -> None:
    for figure in (1.0, 2.0):
        for who in ("project", "kubectl"):
            Results(tmp_path, MACHINE).add(benchmark(), {"who": who, "lines/s": figure})
    Results(tmp_path, replace(MACHINE, date="2026-11-24")).add(benchmark(), {"who": "project", "lines/s": 3.0})
    assert rows(tmp_path) == [{"who": "project", "lines/s": 3.0}, {"who": "kubectl", "lines/s": 2.0}]
    assert document(tmp_path).count("| project | 3.00 |") == 1
    assert document(tmp_path).count("## All about parsing") == 1
    assert "machine here" in document(tmp_path)


def test_rows_of_another_machine_or_with_other_columns_do_not_stay(tmp_path: Path) -> None:
    Results(tmp_path, MACHINE).add(benchmark(), {"who": "project", "lines/s": 1.0})
    Results(tmp_path, replace(MACHINE, cores=4)).add(benchmark(), {"who": "kubectl", "lines/s": 2.0})
    assert rows(tmp_path) == [{"who": "kubectl", "lines/s": 2.0}]
    wider = benchmark(columns=("who", "lines/s", "MB/s"))
    Results(tmp_path, replace(MACHINE, cores=4)).add(wider, {"who": "project", "lines/s": 1.0})
    assert rows(tmp_path) == [{"who": "project", "lines/s": 1.0, "MB/s": None}]


def test_each_benchmark_has_its_section_and_what_a_person_wrote_between_stays(tmp_path: Path) -> None:
    for name in ("parsing", "dry_run"):
        Results(tmp_path, MACHINE).add(benchmark(name), {"who": "project", "lines/s": 1.0})
    text = document(tmp_path).replace("<!-- dry_run: made", "A person's remark.\n\n<!-- dry_run: made")
    (tmp_path / "benchmarks.md").write_text(text, encoding="utf-8")
    Results(tmp_path, MACHINE).add(benchmark("parsing"), {"who": "project", "lines/s": 5.0})
    assert "A person's remark." in document(tmp_path)
    assert document(tmp_path).index("All about parsing") < document(tmp_path).index("All about dry_run")
    assert rows(tmp_path, "dry_run") == [{"who": "project", "lines/s": 1.0}]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("a|b", "a\\|b"), (1234567, "1,234,567"), (1234.5, "1,234"), (12.34, "12.3"), (0.123, "0.12")],
)
def test_figures_are_rounded_for_people(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_benchmark_that_fails_does_not_lose_the_others(monkeypatch: Any, capsys: Any) -> None:
    def fails(_options: Any) -> Iterator[Row]:
        yield {"who": "project", "lines/s": 1.0}
        raise OSError("the disk is full")

    good = benchmark("good", measure=lambda options: iter([{"who": "kubectl", "lines/s": 7.0}]))
    monkeypatch.setattr(cli, "all_benchmarks", lambda: [benchmark("bad", measure=fails), good])
    assert cli.main([]) == 1
    printed = capsys.readouterr()
    assert "| project | 1.00 |" in printed.out
    assert "| kubectl | 7.00 |" in printed.out
    assert "failed: bad" in printed.out
    assert "the disk is full" in printed.err
    assert cli.main(["--only", "goo"]) == 0
    assert cli.main(["--only", "nothing"]) == 2


def test_every_benchmark_has_a_name_of_its_own_and_keys_among_its_columns() -> None:
    found = all_benchmarks()
    assert len({each.name for each in found}) == len(found)
    for each in found:
        assert set(each.keys) <= set(each.columns)


def test_numbers_of_an_option() -> None:
    assert numbers("1000,5_000_000") == (1000, 5_000_000)

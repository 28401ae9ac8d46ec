"""The benchmarks' command line: one that fails does not lose the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import cli
from benchmarks.benchmark import Row
from tests.benchmarks.made_up import benchmark


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

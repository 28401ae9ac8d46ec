"""Where the seconds of a window go: each task taken apart, each part drawn."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmarks.read_only.timeline import GAP, WIDTH, Part, bar, parts
from local_airflow.instance.rest import TaskInstance


def task(name: str, begin: float, seconds: float) -> TaskInstance:
    return TaskInstance(name, -1, "success", 1, datetime.fromtimestamp(begin, UTC), seconds)


def test_a_task_is_taken_apart_by_its_first_and_last_request() -> None:
    tasks = [
        task("arm_window", 0, 5),
        task("set_read_only", 10, 4),
        task("restore_read_write", 15, 2),
        task("report", 20, 1),
    ]
    assert list(parts(tasks, [1, 11, 12, 13, 16])) == [
        Part("set_read_only", "process, DAG file, imports", (10, 11)),
        Part("set_read_only", "work", (11, 13)),
        Part("set_read_only", "end", (13, 14)),
        Part("restore_read_write", "process, DAG file, imports", (15, 16)),
        Part("restore_read_write", "work", (16, 16)),
        Part("restore_read_write", "end", (16, 17)),
        Part("set_read_only", GAP, (14, 15)),
    ]


@pytest.mark.parametrize("span", [(0, 10), (-5, 3), (9.99, 10), (4, 4.001), (10, 12)])
def test_every_bar_is_seen_and_as_wide_as_the_others(span: tuple[float, float]) -> None:
    drawn = bar(span, (0, 10)).strip("`")
    assert len(drawn) == WIDTH
    assert "█" in drawn

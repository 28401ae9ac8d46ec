"""What the matrix tries, and how its rows differ from one another."""

from __future__ import annotations

from itertools import product

from faults.catalogue.kinds import MATRIX, catalogue
from faults.catalogue.matrix import CHANGES, IN_ORDER, MARKS, combinations
from tests.run_tasks import IN_ORDER as TASKS_OF_THE_RUN


def test_every_task_of_the_run_is_in_it() -> None:
    assert sorted(IN_ORDER) == sorted(TASKS_OF_THE_RUN)


def test_every_pair_of_a_task_a_mark_and_a_change_stands_in_some_row() -> None:
    rows = combinations()
    assert {(task, mark) for task, _, mark in rows} == set(product(IN_ORDER, MARKS))
    assert {(mark, change) for _, change, mark in rows} == set(product(MARKS, CHANGES))
    assert {(task, change) for task, change, _ in rows} == set(product(IN_ORDER, CHANGES))
    assert len(rows) <= 130


def test_all_rows_are_chosen_by_one_word_and_each_by_its_own_name() -> None:
    names = [fault.name for fault in catalogue(MATRIX)]
    assert all(name.startswith("matrix, ") for name in names)
    assert len(set(names)) == len(names)
    assert {f"matrix, {task} {mark}, {change}" for task, change, mark in combinations()} < set(names)


def test_every_row_asks_the_six_things_that_must_hold() -> None:
    asked = frozenset(("read-write", "one pruner", "images whole", "no push beside", "report true", "green is true"))
    fewer = {fault.name: fault.asked for fault in catalogue(MATRIX) if fault.asked != asked}
    # After the last look of a run, or where a person has taken it away, nobody can know of another one's window.
    assert fewer == {
        "matrix, verify_restored marked success, another run's window open": asked - {"green is true"},
        "matrix, report marked skipped, another run's window open": asked - {"green is true"},
    }

"""A database that was kept: what its last Airflow left unfinished, and the change to another Airflow."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local_airflow.errors import LocalAirflowError
from local_airflow.instance import kept_database
from local_airflow.instance.kept_database import (
    airflow_version,
    copy_before_upgrade,
    end_what_was_cut_off,
    note_version,
)

BEGUN = "2026-01-01 00:00:00"


def write(database: Path, statement: str, *rows: tuple[object, ...]) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(statement, rows)


def read(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_runs_that_were_cut_off_are_failed_and_named_and_those_that_had_ended_stay(database: Path) -> None:
    write(
        database,
        "INSERT INTO dag_run (run_id, state, end_date) VALUES (?, ?, ?)",
        ("first", "success", BEGUN),
        ("second", "running", None),
        ("third", "queued", None),
        ("fourth", "failed", BEGUN),
    )
    assert end_what_was_cut_off(database) == ["second", "third"]
    assert read(database, "SELECT run_id, state FROM dag_run ORDER BY id") == [
        ("first", "success"),
        ("second", "failed"),
        ("third", "failed"),
        ("fourth", "failed"),
    ]
    ends = [end for (end,) in read(database, "SELECT end_date FROM dag_run ORDER BY id")]
    assert (ends[0], ends[3]) == (BEGUN, BEGUN)
    assert None not in ends
    assert end_what_was_cut_off(database) == []


def test_a_task_that_had_begun_is_failed_and_one_that_had_not_is_skipped(database: Path) -> None:
    write(
        database,
        "INSERT INTO task_instance (task_id, state, start_date, trigger_id) VALUES (?, ?, ?, ?)",
        ("running", "running", BEGUN, None),
        ("deferred", "deferred", BEGUN, 7),
        ("retrying", "up_for_retry", BEGUN, None),
        ("waiting", None, None, None),
        ("queued", "queued", None, None),
        ("done", "success", BEGUN, None),
        ("removed", "removed", None, None),
    )
    write(database, 'INSERT INTO "trigger" (id) VALUES (?)', (7,))
    end_what_was_cut_off(database)
    assert dict(read(database, "SELECT task_id, state FROM task_instance")) == {
        "running": "failed",
        "deferred": "failed",
        "retrying": "failed",
        "waiting": "skipped",
        "queued": "skipped",
        "done": "success",
        "removed": "removed",
    }
    assert read(database, "SELECT task_id FROM task_instance WHERE trigger_id IS NOT NULL") == []
    assert read(database, 'SELECT id FROM "trigger"') == []


def test_a_killed_scheduler_does_not_count_as_healthy_nor_an_old_error_as_new(database: Path) -> None:
    write(database, "INSERT INTO job (state) VALUES (?)", ("running",), ("success",))
    write(database, "INSERT INTO import_error (id) VALUES (?)", (1,))
    end_what_was_cut_off(database)
    assert read(database, "SELECT state FROM job ORDER BY id") == [("failed",), ("success",)]
    assert read(database, "SELECT id FROM import_error") == []


def test_a_damaged_database_is_named_with_the_way_on(tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    database.write_text("no database, and long enough to be seen as none " * 100)
    for use in (end_what_was_cut_off, lambda file: copy_before_upgrade(file, tmp_path / "version")):
        with pytest.raises(LocalAirflowError, match=rf"{database} cannot be used: .*Move the folder {tmp_path} away"):
            use(database)


def test_the_database_of_another_airflow_is_copied_once(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_file = tmp_path / "version"
    note_version(version_file)
    assert copy_before_upgrade(database, version_file) is None
    earlier = airflow_version()
    monkeypatch.setattr(kept_database, "airflow_version", lambda: "99.0")
    write(database, "INSERT INTO job (id) VALUES (?)", (1,))
    copy = copy_before_upgrade(database, version_file)
    assert copy == tmp_path / f"airflow.db.{earlier}"
    # A migration that failed half way is tried again: the copy from before it stays.
    write(database, "INSERT INTO job (id) VALUES (?)", (2,))
    assert copy_before_upgrade(database, version_file) == copy
    assert read(copy, "SELECT id FROM job") == [(1,)]
    note_version(version_file)
    assert copy_before_upgrade(database, version_file) is None


def test_without_a_database_nothing_is_copied(tmp_path: Path) -> None:
    assert copy_before_upgrade(tmp_path / "airflow.db", tmp_path / "version") is None
    assert list(tmp_path.iterdir()) == []

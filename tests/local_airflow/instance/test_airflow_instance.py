"""A database that was kept is migrated, and what to do when that fails."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from local_airflow.errors import LocalAirflowError
from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import AirflowInstance
from local_airflow.instance.environment import AirflowSettings
from local_airflow.instance.kept_database import airflow_version
from local_airflow.interruption import Interruption

Migrating = Callable[[int], AirflowInstance]


@pytest.fixture
def migrating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migrating:
    """``migrating(3)``: an Airflow whose ``db migrate`` ends with exit status 3."""

    def make(exit_status: int) -> AirflowInstance:
        def start(name: str, arguments: list[str]) -> object:
            command = [sys.executable, "-c", f"print('migrating'); raise SystemExit({exit_status})"]
            return processes.start(command, {}, instance.log_file(name), tmp_path)

        settings = AirflowSettings(home=tmp_path, project=tmp_path, dags_folder=tmp_path, port=1)
        instance = AirflowInstance(settings, tmp_path, Interruption())
        monkeypatch.setattr(instance, "_start", start)
        return instance

    return make


def test_a_migrated_database_is_rid_of_what_was_cut_off(database: Path, migrating: Migrating, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO dag_run (run_id, state) VALUES ('manual__1', 'running')")
    assert migrating(0).create_database() == ["manual__1"]
    assert (tmp_path / "airflow-version").read_text().strip() == airflow_version()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_a_database_that_cannot_be_migrated_has_a_copy_from_before_and_a_way_on(
    database: Path, migrating: Migrating, tmp_path: Path
) -> None:
    (tmp_path / "airflow-version").write_text("2.99\n")
    with pytest.raises(LocalAirflowError) as caught:
        migrating(3).create_database()
    assert "ended with exit status 3" in str(caught.value)
    assert f"{tmp_path}/airflow.db.2.99 is a copy from before" in str(caught.value)
    assert f"move the folder {tmp_path} away" in str(caught.value)
    assert (tmp_path / "airflow.db.2.99").is_file()
    assert (tmp_path / "airflow-version").read_text() == "2.99\n"


def test_a_new_database_that_cannot_be_made_is_no_matter_of_history(migrating: Migrating) -> None:
    with pytest.raises(LocalAirflowError) as caught:
        migrating(3).create_database()
    assert "kept" not in str(caught.value)


def test_keys_of_an_airflow_that_is_started_again_fit_its_database(migrating: Migrating) -> None:
    first = migrating(0)
    first.create_database()
    assert migrating(0).secrets.fernet_key == first.secrets.fernet_key

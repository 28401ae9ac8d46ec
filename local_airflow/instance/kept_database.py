"""The database of an Airflow that is started again: copied before an upgrade, rid of what was cut off."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from local_airflow.errors import LocalAirflowError

FINISHED = "('success', 'failed', 'skipped', 'upstream_failed', 'removed')"


def airflow_version() -> str:
    """The version of Airflow that is installed here."""
    return version("apache-airflow")


def copy_before_upgrade(database: Path, version_file: Path) -> Path | None:
    """Copy the database if another version of Airflow worked with it last.

    A migration that fails half way leaves a database that no version can use. A copy that is there already stays: the
    database may have been damaged since by such a migration.

    :param version_file: names the version; :func:`note_version` writes it.
    :return: the copy; ``None`` if none is needed.
    :raises LocalAirflowError: if the file is no database.
    """
    if not database.exists():
        return None
    noted = version_file.read_text(encoding="utf-8").strip() if version_file.exists() else "unknown"
    if noted == airflow_version():
        return None
    copy = database.with_name(f"{database.name}.{noted}")
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.draft")
        with contextlib.closing(sqlite3.connect(draft)) as target, _opened(database) as source:
            source.backup(target)
        draft.rename(copy)
    return copy


def note_version(version_file: Path) -> None:
    """Note that the installed version of Airflow has migrated the database."""
    version_file.write_text(airflow_version() + "\n", encoding="utf-8")


def let_readers_and_writer_work_at_once(database: Path) -> None:
    """Switch to the write-ahead log. The mode stays with the file.

    :raises LocalAirflowError: if the database cannot be used.
    """
    with _opened(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def end_what_was_cut_off(database: Path) -> list[str]:
    """End in the database what its last Airflow was doing when it was killed. No process of it may live.

    The next scheduler would go on with it, be it hours later: with a prune where only a look is asked for, and before
    the run that is asked for, as a DAG has one active run at a time. The teardowns are not run either: the cluster has
    moved on since. What the run left in the cluster, a later run finds by the lease there.

    A task that had begun is failed and one that had not is skipped, as Airflow has it for a run that is marked failed.
    Triggers go, because a triggerer starts those that it finds before it looks whether a task waits for them; so do
    the errors of DAG files, which are read anew.

    :return: the ids of the runs that are marked failed, the oldest first.
    :raises LocalAirflowError: if the database cannot be used.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")  # as SQLAlchemy writes a time into SQLite
    with _opened(database) as connection, connection:
        runs = connection.execute("SELECT run_id FROM dag_run WHERE state IN ('queued', 'running') ORDER BY id")
        cut_off = [str(run_id) for (run_id,) in runs]
        connection.execute(
            "UPDATE task_instance SET state = CASE WHEN start_date IS NULL THEN 'skipped' ELSE 'failed' END,"
            f" end_date = ?, trigger_id = NULL WHERE state IS NULL OR state NOT IN {FINISHED}",
            (now,),
        )
        connection.execute(
            "UPDATE dag_run SET state = 'failed', end_date = ? WHERE state IN ('queued', 'running')", (now,)
        )
        # A scheduler that was killed a moment ago would count as healthy before the new one has begun.
        connection.execute("UPDATE job SET state = 'failed', end_date = ? WHERE state = 'running'", (now,))
        connection.execute('DELETE FROM "trigger"')
        connection.execute("DELETE FROM import_error")
    return cut_off


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(database)
    try:
        yield connection
    except sqlite3.Error as error:
        raise LocalAirflowError(
            f"Airflow's database {database} cannot be used: {error}. Move the folder {database.parent} away to begin "
            "a new one; the lists of earlier runs stay in it."
        ) from error
    finally:
        connection.close()

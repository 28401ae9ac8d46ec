"""Lists that are too old are removed, and nothing else is."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from include.registry_prune.lists.artifacts import artifact_path, candidate_writer
from include.registry_prune.lists.old_lists import remove_old_lists

DAG_ID = "registry_prune"
NOW = datetime.now(UTC)


def lists_of(folder: Path, run_id: str, *, days_old: float, dag_id: str = DAG_ID) -> Path:
    """The folder of a run with both kinds of list."""
    for task_id, what in (("dry_run", "candidates"), ("hard_prune", "deleted-1-20260101T120000000000")):
        path = artifact_path(folder.as_uri(), dag_id=dag_id, run_id=run_id, task_id=task_id, what=what)
        with candidate_writer(path, {}) as writer:
            writer.add_blobs([b"ab" * 32])
    run_folder = folder / dag_id / run_id
    for file in run_folder.iterdir():
        age(file, days_old)
    return run_folder


def age(file: Path, days: float) -> None:
    moment = (NOW - timedelta(days=days)).timestamp()
    os.utime(file, (moment, moment), follow_symlinks=False)


def remove(folder: Path, *, days: float = 30) -> int:
    return remove_old_lists(folder.as_uri(), DAG_ID, before=NOW - timedelta(days=days))


def test_the_lists_of_old_runs_go_and_those_of_newer_ones_stay(tmp_path: Path) -> None:
    old, new = lists_of(tmp_path, "old", days_old=31), lists_of(tmp_path, "new", days_old=29)
    assert remove(tmp_path) == 1
    assert not old.exists()
    assert len(list(new.iterdir())) == 4


@pytest.mark.parametrize(
    "name", ["hard_prune-progress.json", "hard_prune-record.json", "reconcile-deleted.txt.gz", "reconcile-deleted.json"]
)
def test_what_else_a_delete_leaves_goes_with_its_lists(tmp_path: Path, name: str) -> None:
    old = lists_of(tmp_path, "old", days_old=31)
    (old / name).write_text("{}")
    age(old / name, 31)
    assert remove(tmp_path) == 1
    assert not old.exists()


def test_a_run_that_was_done_again_keeps_all_of_its_lists(tmp_path: Path) -> None:
    run = lists_of(tmp_path, "again", days_old=31)
    age(next(run.glob("dry_run-candidates.txt.gz")), 1)
    assert remove(tmp_path) == 0
    assert len(list(run.iterdir())) == 4


def test_what_is_no_list_stays_and_so_does_its_folder(tmp_path: Path) -> None:
    """Guards the names: the setting may name a folder that holds other things too."""
    run = lists_of(tmp_path, "old", days_old=31)
    kept = [run / "notes.txt", run / "dry_run-candidates.txt.gz.bak", run / "deep" / "dry_run-candidates.json"]
    kept += [tmp_path / DAG_ID / "dry_run-candidates.json", tmp_path / "dry_run-candidates.json"]
    for file in kept:
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        age(file, 400)
    assert remove(tmp_path) == 1
    assert all(file.exists() for file in kept)
    assert sorted(path.name for path in run.iterdir()) == ["deep", "dry_run-candidates.txt.gz.bak", "notes.txt"]


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    elsewhere = lists_of(tmp_path / "elsewhere", "old", days_old=400)
    folder = tmp_path / "artifacts"
    (folder / DAG_ID / "run").mkdir(parents=True)
    (folder / DAG_ID / "link").symlink_to(elsewhere)
    (folder / DAG_ID / "run" / "dry_run-candidates.json").symlink_to(elsewhere / "dry_run-candidates.json")
    remove(folder)
    assert len(list(elsewhere.iterdir())) == 4


def test_another_clusters_lists_and_the_reports_stay(tmp_path: Path) -> None:
    other = lists_of(tmp_path, "old", days_old=31, dag_id="registry_prune_hamburg")
    report = tmp_path / "reports" / DAG_ID / "20250101T000000Z-x.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    age(report, 400)
    assert remove(tmp_path) == 0
    assert other.exists()
    assert report.exists()


def test_without_a_folder_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert remove(tmp_path / "none yet") == 0


@pytest.mark.parametrize(("days_ahead", "removed"), [(-1, 0), (1, 1)])
def test_a_bucket_says_when_its_objects_were_written(tmp_path: Path, days_ahead: int, removed: int) -> None:
    attach("memory", fs=MemoryFileSystem())
    place = f"memory://bucket{tmp_path}"
    path = artifact_path(place, dag_id=DAG_ID, run_id="run", task_id="survey")
    with candidate_writer(path, {}) as writer:
        writer.add_blobs([b"ab" * 32])
    assert remove_old_lists(place, DAG_ID, before=datetime.now(UTC) + timedelta(days=days_ahead)) == removed
    assert path.exists() is not bool(removed)

"""The lists of a run as downloads: whole or not at all, and never from outside the run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.registry_prune.lists.artifacts import artifact_path, list_writer
from include.registry_prune.lists.candidate_list import DamagedListError
from include.registry_prune.page.downloads import lists_of, open_list
from include.registry_prune.pruner.dockerregistry import LineKind

DAG, RUN = "registry_prune", "scheduled__2026-01-01T03:15:00+00:00"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def written(store: Path, task: str, what: str, *blobs: str) -> Path:
    path = artifact_path(f"file://{store}", dag_id=DAG, run_id=RUN, task_id=task, what=what)
    with list_writer(path, {"run": RUN}) as writer:
        for blob in blobs:
            writer.add(LineKind.BLOB, blob)
    return Path(path.path)


def listed(store: Path, run_id: str = RUN, dag_id: str = DAG) -> list[str]:
    return [found.name for found in lists_of(f"file://{store}", dag_id, run_id)]


def text(store: Path, name: str, run_id: str = RUN) -> bytes:
    return b"".join(open_list(f"file://{store}", DAG, run_id, name))


def test_the_parts_of_what_was_deleted_are_one_download(tmp_path: Path) -> None:
    written(tmp_path, "dry_run", "candidates", A, B)
    written(tmp_path, "hard_prune", "deleted-1-20260101T031500", A)
    written(tmp_path, "hard_prune", "deleted-2-20260101T031600", B)
    found = lists_of(f"file://{tmp_path}", DAG, RUN)
    assert [(each.name, each.counts["blob"], each.problem) for each in found] == [
        ("dry_run-candidates", 2, ""),
        ("hard_prune-deleted", 2, ""),
    ]
    assert text(tmp_path, "hard_prune-deleted") == f"blob {A}\nblob {B}\n".encode()


def test_a_list_that_is_unfinished_is_refused_at_once(tmp_path: Path) -> None:
    written(tmp_path, "dry_run", "candidates", A).with_name("dry_run-candidates.json").unlink()
    (found,) = lists_of(f"file://{tmp_path}", DAG, RUN)
    assert "is unfinished" in found.problem
    with pytest.raises(DamagedListError):
        open_list(f"file://{tmp_path}", DAG, RUN, "dry_run-candidates")


def test_a_damaged_list_breaks_off(tmp_path: Path) -> None:
    """Guards the download: no part of a list is taken for the whole."""
    file = written(tmp_path, "dry_run", "candidates", A, B)
    content = bytearray(file.read_bytes())
    content[-4] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedListError):
        text(tmp_path, "dry_run-candidates")


@pytest.mark.parametrize("run_id", ["..", ".", "../..", "", "../registry_prune_other/" + RUN])
def test_no_run_id_leads_out_of_the_folder_of_runs(tmp_path: Path, run_id: str) -> None:
    written(tmp_path, "dry_run", "candidates", A)
    (tmp_path / "dry_run-candidates.txt.gz").write_bytes(b"outside")
    (tmp_path / DAG / "dry_run-candidates.txt.gz").write_bytes(b"outside")
    assert listed(tmp_path, run_id) == []


@pytest.mark.parametrize("name", ["../dry_run-candidates", "dry_run-candidates.txt.gz", "", "/etc/passwd", "secret"])
def test_no_name_leads_to_another_file(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path, "dry_run", "candidates", A).parent
    (folder / "secret").write_text("secret")
    with pytest.raises(FileNotFoundError):
        open_list(f"file://{tmp_path}", DAG, RUN, name)


def test_a_link_in_the_folder_is_followed_nowhere(tmp_path: Path) -> None:
    folder = written(tmp_path, "dry_run", "candidates", A).parent
    (folder / "survey-candidates.txt.gz").symlink_to("/etc/passwd")
    assert listed(tmp_path) == ["dry_run-candidates"]


def test_a_run_without_lists_has_none(tmp_path: Path) -> None:
    assert listed(tmp_path) == []

"""Lists of candidates in Airflow's object storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from include.registry_prune.lists.artifacts import (
    artifact_path,
    candidate_digests,
    candidate_writer,
    read_candidates,
    read_seal,
)
from include.registry_prune.lists.candidate_list import DamagedListError
from include.registry_prune.pruner.dockerregistry import LineKind

HEAD = {"run": "registry_prune/manual", "cluster": "https://cluster.test:6443"}
DIGEST = "ab" * 32


class ConnectionLostError(Exception):
    """Played."""


@pytest.fixture(params=["file", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    # A bucket's semantics without a bucket: there are no folders, and a file is there when it is closed.
    attach("memory", fs=MemoryFileSystem())
    folder = tmp_path.as_uri() if request.param == "file" else f"memory://bucket{tmp_path}"
    return artifact_path(folder, dag_id="registry_prune", run_id="manual__2026-11-23T03:15:00+00:00", task_id="survey")


def write(path: ObjectStoragePath, *digests: str, lost: bool = False) -> None:
    with candidate_writer(path, HEAD) as candidates:
        candidates.add_blobs([digest.encode() for digest in digests])
        candidates.add(LineKind.REPOSITORY, "shop/gone")
        if lost:
            raise ConnectionLostError


def test_a_list_is_read_as_it_was_written(path: ObjectStoragePath) -> None:
    write(path, DIGEST)
    assert list(candidate_digests(str(path))) == [bytes.fromhex(DIGEST)]
    assert list(read_candidates(str(path), kind=LineKind.REPOSITORY)) == ["shop/gone"]
    assert read_seal(str(path)).head == HEAD
    assert sorted(each.name for each in path.parent.iterdir()) == ["survey-candidates.json", "survey-candidates.txt.gz"]


def test_an_unfinished_list_is_never_taken_for_a_whole_one(path: ObjectStoragePath) -> None:
    """Guards the order of the two files: the seal comes last."""
    with pytest.raises(ConnectionLostError):
        write(path, DIGEST, lost=True)
    for read in (read_seal, candidate_digests, lambda url: list(read_candidates(url, kind=LineKind.BLOB))):
        with pytest.raises(DamagedListError, match=r"survey-candidates\.txt\.gz is unfinished"):
            read(str(path))
    assert path.exists(), "people can read it all the same"


def test_a_second_try_replaces_the_first(path: ObjectStoragePath) -> None:
    write(path, DIGEST, "cd" * 32)
    write(path, "ef" * 32)
    assert list(candidate_digests(str(path))) == [bytes.fromhex("ef" * 32)]


def test_a_second_try_that_breaks_off_leaves_no_seal_of_the_first(path: ObjectStoragePath) -> None:
    """Guards the removal of the earlier seal."""
    write(path, DIGEST)
    with pytest.raises(ConnectionLostError):
        write(path, DIGEST, lost=True)
    with pytest.raises(DamagedListError, match="is unfinished"):
        candidate_digests(str(path))


def test_a_damaged_seal_is_said(path: ObjectStoragePath) -> None:
    write(path, DIGEST)
    seal = path.parent / "survey-candidates.json"
    for content in ("", "{}", "[1"):
        seal.write_text(content)
        with pytest.raises(DamagedListError, match=r"survey-candidates.json is damaged"):
            candidate_digests(str(path))


def test_a_list_that_is_gone_is_an_error(path: ObjectStoragePath) -> None:
    write(path, DIGEST)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        candidate_digests(str(path))


def test_fewer_blobs_than_were_counted_are_an_error(path: ObjectStoragePath) -> None:
    """Guards the count: a line that is no digest cannot shorten the list."""
    with candidate_writer(path, HEAD) as candidates:
        candidates.add(LineKind.BLOB, "sha256:short")
    with pytest.raises(DamagedListError, match="0 blobs of 1 can be read"):
        candidate_digests(str(path))

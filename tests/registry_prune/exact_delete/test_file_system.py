"""The exact delete in a mounted file system."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.registry_prune.exact_delete import file_system as module
from include.registry_prune.exact_delete.events import Batch, Ended, Event, Keeps, Outcome, outcomes
from include.registry_prune.exact_delete.file_system import FileSystem
from include.registry_prune.exact_delete.keys import blob_folder, blob_key
from include.registry_prune.exact_delete.listed import batches
from include.registry_prune.exact_delete.work import Work
from include.registry_prune.pruner.dockerregistry import LineKind


def test_what_is_listed_goes_and_nothing_else(pod: Any, folder_storage: Any, digest_of: Any) -> None:
    kept = [folder_storage.blob(b"kept %d" % number) for number in range(5)]
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(7)]
    listed = [*orphans, digest_of(b"never there")]
    for name in ("shop/gone", "shop/gone/deeper", "shop/stays"):
        folder_storage.repository(name)
    before = folder_storage.tree()

    told = pod.delete(listed, repositories=["shop/gone"], links=[f"shop/stays@{kept[0]}"])

    assert told.status == 0
    assert told.begun.keeps is Keeps.RENAMED
    after = folder_storage.tree()
    gone = {blob_key(digest) for digest in orphans} | {path for path in before if "/shop/gone/_" in path}
    assert before.keys() - after.keys() == gone
    assert after.items() <= before.items()
    assert (told.ended.blobs.done, told.ended.blobs.missing, told.ended.blobs.failed) == (7, 1, 0)
    assert told.ended.repositories.done == 1
    blobs = [each for each in told.batches if each.kind is LineKind.BLOB]
    record = {digest: outcome for digest, outcome, _ in outcomes(listed, blobs)}
    assert record == {**dict.fromkeys(orphans, Outcome.DONE), listed[-1]: Outcome.MISSING}


def test_an_undo_gives_back_byte_for_byte_what_was_deleted_and_a_second_one_changes_nothing(
    pod: Any, folder_storage: Any
) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(7)]
    folder_storage.write(f"{blob_folder(orphans[0])}/somebody-elses", b"foreign")
    folder_storage.repository("shop/gone")
    before = folder_storage.tree()
    assert pod.delete(orphans, repositories=["shop/gone"]).status == 0
    assert folder_storage.tree() != before

    first = pod.undo(orphans, ["shop/gone"])
    second = pod.undo(orphans, ["shop/gone"])

    assert folder_storage.tree() == before
    assert (first.status, first.ended.blobs.done, first.ended.repositories.done) == (0, 7, 1)
    assert (second.status, second.ended.blobs.missing, second.ended.repositories.missing) == (0, 7, 1)


def test_an_undo_without_a_list_gives_back_all_that_is_kept(pod: Any, folder_storage: Any) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(3)]
    folder_storage.repository("shop/gone")
    before = folder_storage.tree()
    pod.delete(orphans, repositories=["shop/gone"])

    told = pod.run("undo", "--kept-as", "first")

    assert folder_storage.tree() == before
    assert told.ended.blobs.done == 3


def test_an_undo_puts_back_a_part_and_leaves_what_came_again_as_it_is(pod: Any, folder_storage: Any) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(4)]
    before = folder_storage.tree()
    pod.delete(orphans)
    folder_storage.blob(b"orphan 1")

    told = pod.undo(orphans[:2])

    assert folder_storage.tree() == {
        path: content for path, content in before.items() if path in map(blob_key, orphans[:2])
    }
    assert (told.ended.blobs.done, told.ended.blobs.missing) == (1, 1)


def test_what_is_damaged_where_it_is_kept_is_not_put_back(pod: Any, folder_storage: Any) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(2)]
    pod.delete(orphans)
    kept = next(folder_storage.root.glob(f"docker/registry/registry-prune-kept/first/blobs/*/*/{orphans[0][7:]}/data"))
    kept.write_bytes(b"damaged")

    told = pod.undo(orphans)

    assert set(folder_storage.tree()) == {blob_key(orphans[1])}
    assert (told.status, told.ended.blobs.done, told.ended.blobs.failed) == (1, 1, 1)
    assert "damaged" in " ".join(told.notes)


def test_what_is_kept_is_counted_and_removed_and_foreign_files_stay(pod: Any, folder_storage: Any) -> None:
    folder_storage.blob(b"needed")
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(3)]
    folder_storage.write(f"{blob_folder(orphans[0])}/somebody-elses", b"foreign")
    folder_storage.repository("shop/gone")
    pod.delete(orphans, repositories=["shop/gone"])
    tree = folder_storage.tree()

    (kept,) = pod.run("look").kept
    told = pod.run("remove", "--kept-as", "first")

    assert (kept.name, kept.blobs, kept.bytes, kept.repositories) == ("first", 3, 24, 1)
    assert told.ended.freed_bytes == 24
    assert (told.status, told.ended.blobs.failed) == (1, 1)
    assert folder_storage.tree() == tree
    left = [path for path in folder_storage.everything() if "registry-prune-kept" in path]
    assert [path.rpartition("/")[2] for path in left] == ["somebody-elses"]


def test_a_removal_leaves_no_folder_behind(pod: Any, folder_storage: Any) -> None:
    folder_storage.blob(b"needed")
    pod.delete([folder_storage.blob(b"orphan")])
    assert pod.run("remove", "--kept-as", "first").status == 0
    assert not (folder_storage.root / "docker/registry/registry-prune-kept/first").exists()


def test_without_keeping_a_blob_is_gone_and_counted_and_foreign_files_stay(pod: Any, folder_storage: Any) -> None:
    folder_storage.blob(b"needed")
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(2)]
    folder_storage.write(f"{blob_folder(orphans[0])}/somebody-elses", b"foreign")

    told = pod.delete(orphans, "--kept-as", "")

    assert (told.status, told.begun.keeps, told.ended.freed_bytes) == (0, Keeps.NOTHING, 16)
    assert sorted(path.rpartition("/")[2] for path in folder_storage.everything()) == ["data", "somebody-elses"]
    assert not (folder_storage.root / blob_folder(orphans[1])).exists()


def test_a_blob_that_came_again_and_is_deleted_again_can_be_put_back(pod: Any, folder_storage: Any) -> None:
    folder_storage.blob(b"needed")
    orphan = folder_storage.blob(b"orphan")
    pod.delete([orphan])
    folder_storage.blob(b"orphan")

    again = pod.delete([orphan])
    pod.undo([orphan])

    assert again.ended.blobs.done == 1
    assert folder_storage.tree()[blob_key(orphan)] == b"orphan"


@pytest.mark.parametrize("make", ["file", "link"])
def test_what_somebody_put_in_a_blobs_place_is_not_touched(
    make: str, pod: Any, folder_storage: Any, digest_of: Any, tmp_path: Path
) -> None:
    folder_storage.blob(b"needed")
    digest = digest_of(b"foreign")
    place = folder_storage.root / blob_folder(digest)
    place.parent.mkdir(parents=True)
    if make == "file":
        place.write_bytes(b"foreign")
    else:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "data").write_bytes(b"foreign")
        place.symlink_to(tmp_path / "elsewhere")

    told = pod.delete([digest])

    assert (told.status, told.ended.blobs.failed) == (1, 1)
    assert place.is_file() or place.is_symlink()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EXDEV, "on another volume"),
        (errno.ENOSPC, "is full"),
        (errno.EROFS, "mounted read-only"),
        (errno.EIO, "has an error"),
    ],
)
def test_what_no_blob_gets_around_ends_the_delete_and_what_was_done_is_told(
    number: int, says: str, pod: Any, folder_storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(9)]
    before = folder_storage.tree()
    real = os.rename
    calls: list[Any] = []

    def rename(source: str, target: str) -> None:
        if "registry-prune-kept" in target and len(calls) >= 4:
            raise OSError(number, os.strerror(number))
        real(source, target)
        calls.append(target)

    monkeypatch.setattr(module.os, "rename", rename)  # type: ignore[attr-defined]
    told = pod.delete(orphans)

    assert told.status == 1
    assert (told.ended.ended_by, told.ended.blobs.done, told.ended.blobs.open) == ("error", 4, 5)
    assert says in told.ended.problem
    monkeypatch.setattr(module.os, "rename", real)  # type: ignore[attr-defined]
    pod.undo(orphans)
    assert folder_storage.tree() == before


def test_another_volume_is_found_before_anything_is_touched(
    pod: Any, folder_storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = folder_storage.blob(b"orphan")
    real = Path.stat

    def stat(self: Path, **options: Any) -> Any:
        found = real(self, **options)
        if "registry-prune-kept" not in str(self):
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))

    monkeypatch.setattr(Path, "stat", stat)
    told = pod.delete([orphan])

    assert (told.status, "another volume" in told.ended.problem) == (2, True)
    assert blob_key(orphan) in folder_storage.tree()


def test_one_that_is_refused_fails_alone(pod: Any, folder_storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(4)]
    real = os.rename

    def rename(source: str, target: str) -> None:
        if orphans[1][7:] in source:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(source, target)

    monkeypatch.setattr(module.os, "rename", rename)  # type: ignore[attr-defined]
    told = pod.delete(orphans)

    assert (told.status, told.ended.ended_by, told.ended.blobs.done, told.ended.blobs.failed) == (1, "end", 3, 1)
    assert any(orphans[1] in note and "Permission denied" in note for note in told.notes)
    assert set(folder_storage.tree()) == {blob_key(orphans[1])}


def test_a_storage_that_is_not_mounted_is_refused(pod: Any, folder_storage: Any, digest_of: Any) -> None:
    folder_storage.root.mkdir()
    told = pod.delete([digest_of(b"x")])
    assert (told.status, "not mounted" in told.ended.problem) == (2, True)
    assert not list(folder_storage.root.iterdir())


def test_told_to_end_it_ends_between_two_batches_and_its_summary_is_true(
    folder_storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = [folder_storage.blob(b"orphan %d" % number) for number in range(50)]
    monkeypatch.setattr(FileSystem, "at_once", 2)
    storage, stopping, said = FileSystem(folder_storage.root, kept_as="first"), threading.Event(), []
    storage.prepare()

    def say(event: Event) -> None:
        said.append(event)
        if sum(isinstance(each, Batch) for each in said) == 3:
            stopping.set()

    work = Work("delete", storage, listed={"blob": 50}, say=say, stopping=stopping)
    ended: Ended = work.run([(batches(LineKind.BLOB, iter(orphans), 5), storage.delete_blobs)])

    left = set(folder_storage.tree())
    assert ended.ended_by == "SIGTERM"
    assert 15 <= ended.blobs.done < 50
    assert len(left) == 50 - ended.blobs.done == ended.blobs.open
    record = {digest: outcome for digest, outcome, _ in outcomes(orphans, [e for e in said if isinstance(e, Batch)])}
    assert {blob_key(digest) for digest, outcome in record.items() if outcome is Outcome.UNKNOWN} == left


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_gone_is_always_on_the_list_and_an_undo_gives_it_back(data: st.DataObject) -> None:
    """For any storage and any list: gone ⊆ list, nothing else changes, and undone it is as before, also in parts."""
    contents = data.draw(st.sets(st.integers(0, 30), max_size=12))
    listed = data.draw(st.lists(st.integers(0, 30), max_size=15))
    damage = data.draw(st.sets(st.sampled_from(sorted(contents)), max_size=3)) if contents else set()
    parts = data.draw(st.integers(1, 3))
    root = Path(tempfile.mkdtemp(prefix="exact-delete-"))
    try:
        for number in contents:
            _write(root, blob_key(_digest(number)), b"%d" % number)
        for number in damage:
            _write(root, f"{blob_folder(_digest(number))}/foreign", b"foreign")
        (root / "docker/registry/v2/blobs").mkdir(parents=True, exist_ok=True)
        before, digests = _tree(root), [_digest(number) for number in listed]

        ended = _do(root, "delete", digests)
        after = _tree(root)
        assert after.items() <= before.items()
        assert {path.split("/")[-2] for path in before.keys() - after.keys()} <= {each[7:] for each in digests}
        assert ended.blobs.done == len(contents & set(listed))
        assert not any(blob_key(digest) in after for digest in digests)

        for part in range(parts):
            _do(root, "undo", digests[part::parts])
        _do(root, "undo", digests)
        assert _tree(root) == before
    finally:
        shutil.rmtree(root)


def _digest(number: int) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}"


def _write(root: Path, path: str, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def _tree(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and "registry-prune-kept" not in str(path))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _do(root: Path, name: str, digests: list[str]) -> Ended:
    storage = FileSystem(root, kept_as="first")
    storage.prepare()
    step = storage.delete_blobs if name == "delete" else storage.put_back_blobs
    work = Work(name, storage, listed={"blob": len(digests)}, say=lambda _: None, stopping=threading.Event())
    return work.run([(batches(LineKind.BLOB, iter(digests), 4), step)])

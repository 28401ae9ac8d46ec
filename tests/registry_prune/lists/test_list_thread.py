"""A list whose storage is slow, full, or never answers: whoever fills it goes on, or fails in time and says why."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from include.registry_prune.lists import artifacts
from include.registry_prune.lists.artifacts import candidate_digests, candidate_writer, read_seal
from include.registry_prune.lists.candidate_list import DamagedListError, ListWriter
from include.registry_prune.lists.list_thread import ListStalledError, ListThread
from include.registry_prune.pruner.dockerregistry import LineKind
from tests.registry_prune.deletion.detached_pod import wait_for
from tests.registry_prune.lists.test_candidate_list import digit_digests


class Storage(BytesIO):
    """A storage that takes what it is given when it may."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__()
        self.may_write = threading.Event()
        self.asked = threading.Event()
        if answers:
            self.may_write.set()

    def write(self, data: Any) -> int:
        self.asked.set()
        self.may_write.wait()
        return super().write(data)


def begun(storage: BytesIO, *, patience: float = 60.0, waiting_lines: int = 30_000) -> tuple[ListThread, ListWriter]:
    writer = ListWriter(storage, {})

    @contextmanager
    def opened() -> Iterator[ListWriter]:
        with writer:
            yield writer

    thread = ListThread(opened, "the list", patience_seconds=patience, waiting_lines=waiting_lines)
    thread.start()
    return thread, writer


def fill(thread: ListThread) -> None:
    while True:
        thread.add_blobs(digit_digests(1_000))


def lines(storage: Storage) -> list[str]:
    return gzip.decompress(storage.getvalue()).decode().splitlines()[1:]


def test_what_is_added_is_written_in_its_order() -> None:
    storage = Storage()
    thread, writer = begun(storage)
    thread.add(LineKind.REPOSITORY, "shop/first")
    thread.add_blobs(digit_digests(5_000))
    thread.add_blobs([])
    thread.add(LineKind.REPOSITORY, "shop/last")
    thread.finish()
    assert lines(storage)[0] == "repository shop/first"
    assert lines(storage)[-1] == "repository shop/last"
    assert writer.seal.counts["blob"] == 5_000
    assert writer.seal.complete


def test_a_storage_that_never_answers_fails_the_next_who_waits_in_time_and_says_what_to_do() -> None:
    """Guards the window: a task that hangs beside its lease keeps the registry read-only."""
    thread, _ = begun(Storage(answers=False), patience=0.05, waiting_lines=2_000)
    with pytest.raises(ListStalledError, match="the list cannot be written: its storage has taken nothing for"):
        fill(thread)
    with pytest.raises(ListStalledError, match="See that what the setting artifacts names answers"):
        thread.finish()


def test_what_waits_for_a_slow_storage_is_bounded_and_nothing_of_it_is_lost() -> None:
    """Guards the memory of a worker whose bucket is slower than the pruner."""
    storage = Storage(answers=False)
    thread, writer = begun(storage, waiting_lines=3_000)
    added = 0

    def fill() -> None:
        nonlocal added
        for _ in range(20):
            thread.add_blobs(digit_digests(1_000))
            added += 1

    filler = threading.Thread(target=fill)
    filler.start()
    assert storage.asked.wait(60)
    wait_for(lambda: added == 3)
    assert (thread._waiting, filler.is_alive()) == (3_000, True), (
        "nothing more is taken while the storage does not move"
    )
    storage.may_write.set()
    filler.join(60)
    thread.finish()
    assert writer.seal.counts["blob"] == 20_000


def test_a_storage_that_is_slow_and_moves_is_waited_for() -> None:
    """Guards lists on slow storage: the patience is for one step, not for the whole."""

    class Slow(BytesIO):
        def write(self, data: Any) -> int:
            threading.Event().wait(0.2)
            return super().write(data)

    thread, writer = begun(Slow(), patience=60, waiting_lines=1_000)
    for _ in range(5):
        thread.add_blobs(digit_digests(1_000))
    thread.finish()
    assert writer.seal.counts["blob"] == 5_000


def test_what_the_storage_raises_is_raised_to_whoever_adds() -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    thread, _ = begun(Full())
    with pytest.raises(OSError, match="No space left"):
        fill(thread)
    with pytest.raises(OSError, match="No space left"):
        thread.finish()


def hanging(monkeypatch: pytest.MonkeyPatch, method: str) -> threading.Event:
    """A storage one of whose operations does not end, as on a share that has stopped answering."""
    released = threading.Event()
    right = getattr(ObjectStoragePath, method)

    def hang(self: ObjectStoragePath, *arguments: Any, **options: Any) -> Any:
        released.wait()
        return right(self, *arguments, **options)

    monkeypatch.setattr(ObjectStoragePath, method, hang)
    return released


@pytest.mark.parametrize("method", ["mkdir", "unlink", "open", "write_text"])
def test_a_dry_runs_list_fails_in_time_whatever_of_its_storage_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(artifacts, "STORE_PATIENCE_SECONDS", 0.2)
    path = ObjectStoragePath(tmp_path.as_uri()) / "folder" / "list.txt.gz"
    released = hanging(monkeypatch, method)
    with pytest.raises(ListStalledError), candidate_writer(path, {}) as candidates:
        candidates.add_blobs(digit_digests(10))
    released.set()


def test_a_list_that_is_given_up_is_not_finished_by_its_thread(tmp_path: Path) -> None:
    path = ObjectStoragePath(tmp_path.as_uri()) / "list.txt.gz"
    before = threading.active_count()

    def begin() -> None:
        with candidate_writer(path, {}) as candidates:
            candidates.add_blobs(digit_digests(10_000))
            raise ValueError("cut")

    with pytest.raises(ValueError, match="cut"):
        begin()
    wait_for(lambda: threading.active_count() <= before)
    with pytest.raises(DamagedListError, match="is unfinished"):
        read_seal(str(path))


def test_a_list_that_lacks_lines_says_so_in_its_seal(tmp_path: Path) -> None:
    path = ObjectStoragePath(tmp_path.as_uri()) / "list.txt.gz"
    with candidate_writer(path, {}) as candidates:
        candidates.add_blobs(digit_digests(2))
        candidates.complete = False
    assert not read_seal(str(path)).complete
    assert len(candidate_digests(str(path))) == 2

"""How far a delete is, kept for the page."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath

from include.registry_prune.lists import kept_progress
from include.registry_prune.lists.kept_progress import KeptProgress, progress_path, read_progress
from include.registry_prune.pruner.progress import DeleteProgress


def progress(blobs: int) -> DeleteProgress:
    return DeleteProgress(at=datetime.now(UTC), blobs=blobs, expected_blobs=100, seconds=1.0)


def path_of(folder: Path) -> ObjectStoragePath:
    return progress_path(f"file://{folder}", dag_id="d", run_id="r+1", task_id="hard_prune")


async def kept(progress_keeper: KeptProgress, blobs: int) -> None:
    progress_keeper.keep(progress(blobs))
    assert progress_keeper._work is not None
    await progress_keeper._work


def test_the_last_one_is_read(tmp_path: Path) -> None:
    async def work() -> None:
        keeper = KeptProgress(path_of(tmp_path))
        for blobs in (3, 7):
            await kept(keeper, blobs)

    asyncio.run(work())
    found = read_progress(path_of(tmp_path))
    assert found is not None
    assert found.blobs == 7


def test_a_storage_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the delete's follower: the page is no reason to wait."""
    answers, asked = threading.Event(), []

    def hang(*_: object) -> None:
        asked.append(1)
        answers.wait(60)

    monkeypatch.setattr(kept_progress, "write_whole", hang)

    async def work() -> None:
        keeper = KeptProgress(path_of(tmp_path))
        for blobs in range(5):
            keeper.keep(progress(blobs))
            await asyncio.sleep(0)
        answers.set()
        assert keeper._work is not None
        await keeper._work

    asyncio.run(work())
    assert asked == [1]


def test_a_storage_that_fails_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "d").write_text("no folder")

    async def work() -> None:
        keeper = KeptProgress(path_of(tmp_path))
        for blobs in (1, 2):
            await kept(keeper, blobs)

    asyncio.run(work())
    assert caplog.text.count("How far the delete is cannot be written") == 1


@pytest.mark.parametrize("content", [None, b"no JSON", b'{"version": 9}'])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, content: bytes | None) -> None:
    path = path_of(tmp_path)
    if content is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    assert read_progress(path) is None

"""The list of what a delete deletes: it never holds up following, closing, or the end of a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from include.registry_prune.lists import deleted_list
from include.registry_prune.lists.artifacts import finished_parts, read_seal
from include.registry_prune.lists.deleted_list import DeletedList, DeletedListPlace
from include.registry_prune.pruner.dockerregistry import LineKind
from tests.registry_prune.deletion.detached_pod import wait_for

PROJECT = Path(__file__).parents[3]


def place(folder: Path) -> DeletedListPlace:
    return DeletedListPlace(configured=folder.as_uri(), dag_id="d", run_id="r", task_id="t", server="s")


def fill(made: DeletedList, count: int) -> None:
    for number in range(count):
        made.add(LineKind.BLOB, f"sha256:{number:064x}")


def test_a_part_is_whole_when_it_is_closed(tmp_path: Path) -> None:
    async def main() -> list[bool]:
        made = DeletedList(place(tmp_path), attempt=1, pod="pod")
        fill(made, 2_500)
        written = [made.flush()]
        fill(made, 5)
        return [*written, await made.close(), await made.close()]

    assert asyncio.run(main()) == [True, True, True]
    (part,) = finished_parts(str(place(tmp_path).path("*")))
    seal = read_seal(part)
    assert (seal.counts["blob"], seal.complete, seal.head["attempt"]) == (2_505, True, 1)


def test_without_a_line_there_is_no_part(tmp_path: Path) -> None:
    made = DeletedList(place(tmp_path), attempt=1, pod="pod")
    assert asyncio.run(made.close())
    assert finished_parts(str(place(tmp_path).path("*"))) == []


@pytest.mark.parametrize("method", ["mkdir", "open", "write_text"])
def test_a_storage_that_never_answers_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Guards the end of a delete: hung here, a thread would renew the lease for ever, and every guard stay away."""
    monkeypatch.setattr(deleted_list, "CLOSE_SECONDS", 0.2)
    released = threading.Event()
    monkeypatch.setattr(ObjectStoragePath, method, lambda *_, **__: released.wait() and None)

    async def main() -> bool:
        made = DeletedList(place(tmp_path), attempt=1, pod="pod")
        fill(made, 3_000)
        made.flush()
        return await made.close()

    assert not asyncio.run(main()), "and its end, that of the loop, was not waited for"
    released.set()


def test_lines_for_which_there_is_no_room_are_left_out_and_the_list_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_list, "WAITING_LINES", 2_000)
    may_open = threading.Event()
    right = ObjectStoragePath.open

    def late(self: ObjectStoragePath, *arguments: Any, **options: Any) -> Any:
        may_open.wait()
        return right(self, *arguments, **options)

    monkeypatch.setattr(ObjectStoragePath, "open", late)

    async def main() -> list[bool]:
        made = DeletedList(place(tmp_path), attempt=1, pod="pod")
        fill(made, 10_000)
        whole = made.flush()
        may_open.set()
        return [whole, await made.close()]

    assert asyncio.run(main()) == [False, False]
    wait_for(lambda: finished_parts(str(place(tmp_path).path("*"))) != [])
    (part,) = finished_parts(str(place(tmp_path).path("*")))
    seal = read_seal(part)
    assert not seal.complete
    assert 2_000 <= seal.counts["blob"] < 10_000


def test_a_process_ends_beside_a_storage_that_hangs(tmp_path: Path) -> None:
    """Guards the daemon thread: an executor's would be waited for, by the loop and by the interpreter."""
    program = f"""
import asyncio, threading
from airflow.sdk import ObjectStoragePath
from include.registry_prune.lists import deleted_list
from include.registry_prune.lists.deleted_list import DeletedList, DeletedListPlace
from include.registry_prune.pruner.dockerregistry import LineKind
deleted_list.CLOSE_SECONDS = 0.1
ObjectStoragePath.mkdir = lambda *_, **__: threading.Event().wait()
async def main():
    place = DeletedListPlace(configured={tmp_path.as_uri()!r}, dag_id="d", run_id="r", task_id="t", server="s")
    made = DeletedList(place, attempt=1, pod="pod")
    made.add(LineKind.BLOB, "sha256:00")
    return await made.close()
print(asyncio.run(main()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=200, cwd=PROJECT
    )
    assert done.stdout.splitlines()[-1] == "False"

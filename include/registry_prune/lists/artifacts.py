"""Where lists and reports are kept: in files, never in XCom alone.

Written through Airflow's object storage, so that it may be a local folder or a bucket. What is in them, and how it is
seen that one is whole: ``candidate_list``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from include.registry_prune.lists.candidate_list import (
    DamagedListError,
    ListWriter,
    Seal,
    lines,
    packed_digests,
    subjects,
    whole_lines,
)
from include.registry_prune.lists.digests import DigestSet
from include.registry_prune.lists.list_thread import ListThread
from include.registry_prune.pruner.dockerregistry import LineKind

STORE_PATIENCE_SECONDS = 120.0
"""A bucket that is busy, or a share that fails over, has answered by then."""
_ENDING = ".txt.gz"
_STORED_BLOCK_BYTES = 256 * 1024


def artifact_folder(configured: str) -> ObjectStoragePath:
    """The folder or bucket that artifacts go to.

    :param configured: the cluster's setting; empty: ``registry-prune`` below Airflow's home.
    """
    return ObjectStoragePath(configured or (Path(AIRFLOW_HOME) / "registry-prune").as_uri())


def artifact_path(
    configured: str, *, dag_id: str, run_id: str, task_id: str, what: str = "candidates"
) -> ObjectStoragePath:
    """Where the list of one task goes; a second try overwrites the first.

    :param what: the list's name beside that of the task.
    """
    return artifact_folder(configured) / dag_id / name_in_files(run_id) / f"{task_id}-{what}{_ENDING}"


def name_in_files(run_id: str) -> str:
    """A run's id as the names of files have it."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", run_id)


def write_whole(path: ObjectStoragePath, content: bytes) -> None:
    """Write a small file so that whoever reads it finds it whole, the earlier one or this one.

    An object storage shows an object once it is whole. On a disk the file gets its name when it is.
    """
    if not isinstance(path.fs, LocalFileSystem):
        path.fs.pipe_file(path.path, content)
        return
    place = Path(path.path)
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def _seal_path(path: ObjectStoragePath) -> ObjectStoragePath:
    return path.parent / f"{path.name.removesuffix(_ENDING)}.json"


@contextmanager
def list_writer(path: ObjectStoragePath, head: Mapping[str, Any]) -> Iterator[ListWriter]:
    """Opens a list for writing, in place of an earlier one.

    It is finished when the ``with`` block ends without an exception. Otherwise it can be read by people, and no program
    takes it for whole.

    :param head: run, cluster, time and pod, as JSON.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    seal_path = _seal_path(path)
    seal_path.unlink(missing_ok=True)
    with path.open("wb") as file, ListWriter(file, head) as writer:
        yield writer
    seal_path.write_text(writer.seal.model_dump_json(indent=1) + "\n", encoding="utf-8")


@contextmanager
def candidate_writer(path: ObjectStoragePath, head: Mapping[str, Any]) -> Iterator[ListThread]:
    """As :func:`list_writer`, for a task that does not wait for ever: beside it a lease is renewed, and the registry
    may be read-only.

    :raises ListStalledError: if the storage takes nothing for two minutes.
    """
    writing = ListThread(lambda: list_writer(path, head), path, patience_seconds=STORE_PATIENCE_SECONDS)
    writing.start()
    try:
        yield writing
    except BaseException:
        writing.abandon()
        raise
    writing.finish()


def copy_without(
    url: str,
    path: ObjectStoragePath,
    head: Mapping[str, Any],
    *,
    blobs: Collection[bytes],
    repositories: Collection[str],
) -> None:
    """Write a list anew, without some of its lines.

    :param url: the list that is there.
    :param path: where the new one goes; ``head`` as for :func:`list_writer`.
    :param blobs: digests that it has no more, 32 bytes each; ``repositories``: likewise, ``NS/NAME``.
    :raises OSError: as :func:`read_blocks`, and if the new list has not as many lines less.
    """
    with candidate_writer(path, head) as copy:
        for block in read_blocks(url):
            for kind, subject in lines(block):
                if kind is LineKind.BLOB:
                    if bytes.fromhex(subject.removeprefix("sha256:")) not in blobs:
                        copy.add_blobs((subject.removeprefix("sha256:").encode(),))
                elif kind is not LineKind.REPOSITORY or subject not in repositories:
                    copy.add(kind, subject)
    before, after = read_seal(url).counts, read_seal(str(path)).counts
    for kind, left_out in ((LineKind.BLOB, len(blobs)), (LineKind.REPOSITORY, len(repositories))):
        if before[kind] - after[kind] != left_out:
            raise DamagedListError(f"{path} should have {left_out:,} lines of kind {kind} less than {url}")


def read_seal(url: str) -> Seal:
    """What a finished list is: its counts, whose it is.

    :raises DamagedListError: if the list is unfinished.
    """
    seal_path = _seal_path(ObjectStoragePath(url))
    try:
        return Seal.model_validate_json(seal_path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DamagedListError(f"{url} is unfinished: {seal_path} is not there, which is written last") from error
    except (ValidationError, ValueError) as error:
        raise DamagedListError(f"{url} cannot be checked: {seal_path} is damaged") from error


def read_blocks(url: str) -> Iterator[bytes]:
    """A list's lines, in blocks that end at a line's end; it is whole if this comes to its end.

    :raises DamagedListError: if the list is unfinished or damaged.
    :raises OSError: if it is not there.
    """
    seal = read_seal(url)
    with ObjectStoragePath(url).open("rb") as file:
        yield from whole_lines(file, seal, url)


def stored_blocks(url: str) -> Iterator[bytes]:
    """A list as it is stored, compressed, in blocks; unchecked.

    :raises OSError: if it is not there.
    """
    with ObjectStoragePath(url).open("rb") as file:
        while block := file.read(_STORED_BLOCK_BYTES):
            yield block


def read_candidates(url: str, *, kind: LineKind) -> Iterator[str]:
    """The candidates of one kind.

    :raises OSError: as :func:`read_blocks`.
    """
    return subjects(read_blocks(url), kind)


def candidate_digests(url: str) -> DigestSet:
    """The digests of all blobs in a list.

    :raises OSError: as :func:`read_blocks`; and if there are fewer than were written.
    """
    digests = DigestSet()
    for packed in packed_digests(read_blocks(url)):
        digests.add_packed(packed)
    expected = read_seal(url).counts[LineKind.BLOB]
    if len(digests) != expected:
        raise DamagedListError(f"{url} is damaged: {len(digests):,} blobs of {expected:,} can be read")
    return digests


def finished_parts(pattern: str) -> list[str]:
    """The finished lists whose place a pattern gives: the last part of a URL, with ``*`` in it."""
    place = ObjectStoragePath(pattern)
    return sorted(str(path) for path in place.parent.glob(place.name) if _seal_path(path).exists())


def digest_reader(*urls: str) -> Callable[[str], Iterator[bytes]]:
    """Reads the blobs of lists: see :data:`include.registry_prune.lists.reconciliation.DigestReader`."""

    def read(first_digits: str) -> Iterator[bytes]:
        for url in urls:
            yield from packed_digests(read_blocks(url), first_digits)

    return read

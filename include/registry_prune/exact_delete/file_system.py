"""A registry's storage in a mounted file system: what is deleted is renamed into a folder beside ``v2``.

One operation a blob, whatever its size, so that the read-only time is the shortest. Whatever else lies in a blob's
folder moves with it, and comes back with it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.registry_prune.exact_delete import keys
from include.registry_prune.exact_delete.events import Keeps, Kept
from include.registry_prune.exact_delete.storage import NothingThereError, Result, StorageError
from include.registry_prune.pruner.dockerregistry import LineKind

_ENDS_THE_WORK = {
    errno.EXDEV: "the folder for what is kept is on another volume than the blobs. Delete without keeping: nothing can "
    "be put back then",
    errno.ENOSPC: "the file system is full, so nothing can be kept. Delete without keeping: nothing can be put back "
    "then",
    errno.EDQUOT: "the quota of the file system is used up, so nothing can be kept. Delete without keeping: nothing "
    "can be put back then",
    errno.EROFS: "the file system is mounted read-only. See why in the node's log: often it has an error",
    errno.EIO: "the file system has an error. Look at the volume",
    errno.ESTALE: "the file system was taken away from under the pod. Look at the NFS server",
    errno.ENOTCONN: "the file system is not connected any more. Look at the volume",
}
"""What no further key gets around."""
_THERE = (errno.ENOTEMPTY, errno.EEXIST)


class _DamagedError(Exception):
    """What is kept is not what was taken."""


class _PresentError(Exception):
    """What is to be put back is there already."""


class FileSystem:
    """See :class:`include.registry_prune.exact_delete.storage.Storage`.

    :param root: where ``docker/registry/v2`` lies.
    :param kept_as: name of the folder for what is kept; empty: what is deleted is gone.
    """

    batch_size = 1_000
    at_once = 8
    """Renames on NFS wait for the server one by one."""
    tells_missing = True

    def __init__(self, root: Path, *, kept_as: str) -> None:
        self.root = root
        self._served = f"{root}/{keys.VERSION}"
        self._kept = f"{root}/{keys.kept_folder(kept_as)}" if kept_as else ""

    def text(self) -> str:
        return f"file system {self.root}"

    def requests(self) -> tuple[int, int]:
        return 0, 0

    def prepare(self) -> Keeps:
        blobs = self.root / keys.BLOBS
        if not blobs.is_dir():
            raise NothingThereError(
                f"{blobs} is no folder: this is not the registry's storage, or it is not mounted. Nothing was touched."
            )
        if not self._kept:
            return Keeps.NOTHING
        try:
            Path(self._kept).mkdir(parents=True, exist_ok=True)
            same_volume = Path(self._kept).stat().st_dev == blobs.stat().st_dev
        except OSError as error:
            raise _ends(error, self._kept) or StorageError(f"{self._kept} cannot be made: {error}") from error
        if not same_volume:
            raise StorageError(f"{self._kept}: {_ENDS_THE_WORK[errno.EXDEV]}. Nothing was touched.")
        return Keeps.RENAMED

    def delete_blobs(self, digests: Sequence[str]) -> Result:
        delete = self._keep_blob if self._kept else self._remove_blob
        return _each(digests, delete)

    def delete_repositories(self, names: Sequence[str]) -> Result:
        return _each(names, self._delete_repository)

    def put_back_blobs(self, digests: Sequence[str]) -> Result:
        return _each(digests, lambda digest, result: self._put_back_blob(digest))

    def put_back_repositories(self, names: Sequence[str]) -> Result:
        return _each(names, lambda name, result: self._put_back_repository(name))

    def kept_subjects(self, kind: LineKind) -> Iterator[str]:
        """The blobs, or the repositories, of which something is kept."""
        return kept_blobs(self._kept) if kind is LineKind.BLOB else kept_repositories(self._kept)

    def remove_kept_blobs(self, digests: Sequence[str]) -> Result:
        return _each(digests, self._remove_kept_blob)

    def remove_kept_repositories(self, names: Sequence[str]) -> Result:
        return _each(names, self._remove_kept_repository)

    def kept(self) -> Iterator[Kept]:
        folder = f"{self.root}/{keys.KEPT}"
        for entry in _folders(folder):
            since = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
            sizes = [_size(f"{entry.path}/{keys.blob_place(each)}/data") for each in kept_blobs(entry.path)]
            repositories = sum(1 for _ in kept_repositories(entry.path))
            yield Kept(name=entry.name, since=since, blobs=len(sizes), bytes=sum(sizes), repositories=repositories)

    def sweep_kept(self) -> None:
        for folder, _, _ in os.walk(self._kept, topdown=False):
            _remove_empty(folder)

    def _keep_blob(self, digest: str, result: Result) -> None:
        place = keys.blob_place(digest)
        served, kept = f"{self._served}/{place}", f"{self._kept}/{place}"
        try:
            _rename(served, kept)
        except OSError as error:
            if error.errno not in _THERE:
                raise
            # An earlier try of this delete took it, and it came again since: what is kept gives way to what is newer.
            with suppress(FileNotFoundError):
                _remove_blob(kept)
            _rename(served, kept)

    def _remove_blob(self, digest: str, result: Result) -> None:
        result.freed_bytes += _remove_blob(f"{self._served}/{keys.blob_place(digest)}")

    def _remove_kept_blob(self, digest: str, result: Result) -> None:
        kept = f"{self._kept}/{keys.blob_place(digest)}"
        result.freed_bytes += _remove_blob(kept)
        if os.path.lexists(kept):
            raise OSError(errno.ENOTEMPTY, "its content is removed; files of somebody else lie beside it and stay")

    def _remove_kept_repository(self, name: str, result: Result) -> None:
        for part in keys.REPOSITORY_PARTS:
            shutil.rmtree(f"{self._kept}/{keys.repository_place(name)}/{part}", ignore_errors=True)

    def _delete_repository(self, name: str, result: Result) -> None:
        served, kept = self._repository(name)
        parts = [part for part in keys.REPOSITORY_PARTS if os.path.lexists(f"{served}/{part}")]
        if not parts:
            raise FileNotFoundError(errno.ENOENT, "no repository", name)
        for part in parts:
            if self._kept:
                _rename(f"{served}/{part}", f"{kept}/{part}")
            else:
                shutil.rmtree(f"{served}/{part}")
        _remove_empty(served)

    def _put_back_blob(self, digest: str) -> None:
        place = keys.blob_place(digest)
        served, kept = f"{self._served}/{place}", f"{self._kept}/{place}"
        with Path(f"{kept}/data").open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        if f"sha256:{content}" != digest:
            raise _DamagedError(f"what is kept is damaged: its content is sha256:{content}")
        if os.path.lexists(f"{served}/data"):
            raise _PresentError
        # An empty folder, as a broken-off push leaves one, gives way to a rename by itself.
        _rename(kept, served)

    def _put_back_repository(self, name: str) -> None:
        served, kept = self._repository(name)
        parts = [part for part in keys.REPOSITORY_PARTS if os.path.lexists(f"{kept}/{part}")]
        if not parts:
            raise FileNotFoundError(errno.ENOENT, "not kept", name)
        present = [part for part in parts if os.path.lexists(f"{served}/{part}")]
        for part in parts:
            if part not in present:
                _rename(f"{kept}/{part}", f"{served}/{part}")
        if present:
            raise _PresentError

    def _repository(self, name: str) -> tuple[str, str]:
        """Where it is served from, and where it is kept."""
        place = keys.repository_place(name)
        return f"{self._served}/{place}", f"{self._kept}/{place}"


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def kept_blobs(kept: str) -> Iterator[str]:
    """Digests of the blobs in a folder of what is kept."""
    for algorithm in _folders(f"{kept}/blobs"):
        for prefix in _folders(algorithm.path):
            for blob in _folders(prefix.path):
                if keys.is_digest(f"{algorithm.name}:{blob.name}"):
                    yield f"{algorithm.name}:{blob.name}"


def kept_repositories(kept: str, below: str = "") -> Iterator[str]:
    """Names of the repositories of which something is in a folder of what is kept."""
    names = [entry.name for entry in _folders(f"{kept}/repositories/{below}")]
    if below and any(name in keys.REPOSITORY_PARTS for name in names):
        yield below
    for name in names:
        if not name.startswith("_"):
            yield from kept_repositories(kept, f"{below}/{name}".lstrip("/"))


def _folders(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(
                (entry for entry in entries if entry.is_dir(follow_symlinks=False)), key=lambda each: each.name
            )
    except FileNotFoundError:
        return []


def _each(names: Sequence[str], work: Callable[[str, Result], Any]) -> Result:
    result = Result()
    for place, name in enumerate(names):
        try:
            work(name, result)
        except (FileNotFoundError, _PresentError):
            result.missing.append(place)
        except _DamagedError as error:
            result.fail(place, str(error))
        except OSError as error:
            result.problem = _ends(error, name)
            if result.problem is not None:
                result.reached = place
                return result
            result.fail(place, error.strerror or str(error))
    return result


def _ends(error: OSError, name: str) -> StorageError | None:
    why = _ENDS_THE_WORK.get(error.errno or 0)
    return StorageError(f"{name}: {why}. What was done before stays done.") if why else None


def _rename(source: str, target: str) -> None:
    """Rename a folder, and make the folders above the target.

    :raises FileNotFoundError: if there is no such folder.
    :raises NotADirectoryError: if somebody put a file or a link in its place.
    """
    # With the slash only a folder is renamed, and neither a file nor a link; pathlib would take it away.
    try:
        os.rename(f"{source}/", target)  # noqa: PTH104
    except FileNotFoundError:
        os.lstat(source)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.rename(f"{source}/", target)  # noqa: PTH104


def _remove_blob(folder: str) -> int:
    """Remove a blob's content, and its folder if nothing else is in it; returns the bytes."""
    size = os.lstat(f"{folder}/data").st_size
    Path(f"{folder}/data").unlink()
    _remove_empty(folder)
    return size


def _remove_empty(folder: str) -> bool:
    try:
        Path(folder).rmdir()
    except OSError as error:
        if error.errno not in (*_THERE, errno.ENOENT):
            raise
        return error.errno == errno.ENOENT
    return True

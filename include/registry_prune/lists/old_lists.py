"""Lists that are older than somebody wants to keep them, removed. Nothing else is: no file but lists, and the
mark that a run leaves beside them."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from include.registry_prune.lists.artifacts import artifact_folder
from include.registry_prune.lists.shared_place import MARK_FILE

log = logging.getLogger(__name__)

_LIST = re.compile(
    r"[a-z_]+-(candidates\.(txt\.gz|json)|deleted(-[0-9A-Za-z-]+)?\.(txt\.gz|json)|progress\.json|record\.json)"
    rf"|{re.escape(MARK_FILE)}"
)


def remove_old_lists(configured: str, dag_id: str, *, before: datetime) -> int:
    """Remove the lists of each run whose newest list is from before a time; of how many runs these were.

    :param configured: the cluster's setting ``artifacts``.
    :raises OSError: if the storage does not let it; or what its library raises.
    """
    folder = artifact_folder(configured) / dag_id
    fs = folder.fs
    fs.invalidate_cache()
    lists: dict[str, list[str]] = defaultdict(list)
    newest: dict[str, datetime] = {}
    # A depth of two: the folders of runs, and what is in them.
    for path, info in fs.find(folder.path, maxdepth=2, detail=True).items():
        run_folder, _, name = str(path).rpartition("/")
        if info.get("islink") or not _LIST.fullmatch(name) or run_folder.rstrip("/") == folder.path.rstrip("/"):
            continue
        lists[run_folder].append(str(path))
        newest[run_folder] = max(newest.get(run_folder, datetime.min.replace(tzinfo=UTC)), _written_at(fs, path, info))
    old = [run_folder for run_folder, written_at in newest.items() if written_at < before]
    for run_folder in old:
        fs.rm(lists[run_folder])
        if isinstance(fs, LocalFileSystem) and not fs.ls(run_folder):
            fs.rmdir(run_folder)
    return len(old)


def _written_at(fs: Any, path: str, info: dict[str, Any]) -> datetime:
    """When a file was written: each kind of storage has a name of its own for it."""
    found = next((info[name] for name in ("mtime", "LastModified", "last_modified", "updated") if info.get(name)), None)
    if found is None:
        found = fs.modified(path)
    if isinstance(found, int | float):
        return datetime.fromtimestamp(found, UTC)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    return found if found.tzinfo else found.replace(tzinfo=UTC)

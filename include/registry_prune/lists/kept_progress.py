"""How far a delete is, in a small file beside its lists: for the page, which asks no cluster."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from pydantic import ValidationError

from include.registry_prune.lists.artifacts import artifact_folder, name_in_files, write_whole
from include.registry_prune.lists.deleted_list import DaemonThreads
from include.registry_prune.pruner.progress import DeleteProgress

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)


def progress_path(configured: str, *, dag_id: str, run_id: str, task_id: str) -> ObjectStoragePath:
    """Where the progress of a run's delete is.

    :param configured: the cluster's setting ``artifacts``.
    """
    return artifact_folder(configured) / dag_id / name_in_files(run_id) / f"{task_id}-progress.json"


class KeptProgress:
    """Keeps the progress of one run's delete. It waits for nothing, and what goes wrong is the page's loss alone.

    :param path: as :func:`progress_path` has it.
    """

    def __init__(self, path: ObjectStoragePath) -> None:
        self._path = path
        self._work: asyncio.Task[None] | None = None
        self._failed = False

    def keep(self, progress: DeleteProgress) -> None:
        """Keep it, by who has a running loop. While the storage is at work on an earlier one, this one is left out."""
        if self._work is not None and not self._work.done():
            return
        # Of asgiref's: such threads may ask Airflow for the connection of an object storage; others may not.
        threads: Any = DaemonThreads()
        write = sync_to_async(self._write, thread_sensitive=False, executor=threads)
        self._work = asyncio.create_task(write(progress))

    def _write(self, progress: DeleteProgress) -> None:
        try:
            write_whole(self._path, progress.model_dump_json().encode() + b"\n")
        except Exception as error:  # object storages raise errors of their own libraries
            if not self._failed:
                log.warning("How far the delete is cannot be written to %s: %s", self._path, error)
            self._failed = True


def read_progress(path: ObjectStoragePath) -> DeleteProgress | None:
    """What was kept last; None if nothing that can be read is there.

    :raises Exception: of the storage's library, if it does not answer.
    """
    try:
        path.fs.invalidate_cache()
        return DeleteProgress.model_validate_json(path.fs.cat_file(path.path))
    except (FileNotFoundError, ValidationError):
        return None

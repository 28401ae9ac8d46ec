"""Do all tasks see the same lists? One task leaves a mark where the lists go, and later ones look for it.

On local disks that nobody shares, two tasks of one run see each other's lists only when the same worker happens to get
both. Without the mark, the run would find that out in the read-only window.
"""

from __future__ import annotations

import re
import socket
import time

from airflow.sdk import ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from include.registry_prune.lists.artifacts import artifact_folder, name_in_files, write_whole
from include.registry_prune.records import Record

MARK_FILE = "verify_access-mark.json"
"""Its name in the folder of a run. ``old_lists`` removes it with the lists."""
SHARE_LAG_SECONDS = 10.0
"""A share may show a file to another machine this much later."""
_POLL_SECONDS = 0.5
ONE_PLACE = (
    "Set artifacts in clusters.yaml to a place that all workers and the triggerer share: s3://CONNECTION@BUCKET/FOLDER,"
    " or file:///FOLDER on a volume that all of them mount (docs/settings.md#where-the-lists-are-kept)."
)


class NotSharedError(Exception):
    """Lists that one task writes are not seen by another. The message names the setting."""


class PlaceError(Exception):
    """The place of the lists does not answer, or does not let a file be written or read."""


class Mark(Record):
    """What ``verify_access`` hands over of its mark.

    :ivar url: where it is.
    :ivar token: of the run; it is the mark's content.
    :ivar host: whose disk it is on, if the place is local.
    """

    url: str
    token: str
    host: str


def leave_mark(configured: str, *, dag_id: str, run_id: str, token: str) -> Mark:
    """Write the mark, in place of an earlier one.

    :param configured: the cluster's setting ``artifacts``.
    :param token: of the run.
    :raises PlaceError: if it cannot be written.
    """
    try:
        path = artifact_folder(configured) / dag_id / name_in_files(run_id) / MARK_FILE
        write_whole(path, token.encode())
    except Exception as error:  # object storages raise errors of their own libraries
        raise PlaceError(
            f"Nothing can be written to {configured or 'the default place of the lists'}, which the setting artifacts "
            f"names: {error}"
        ) from error
    return Mark(url=str(path), token=token, host=socket.gethostname())


def require_mark(mark: Mark, *, lag_seconds: float = SHARE_LAG_SECONDS) -> None:
    """Look for the mark. A bucket is one place for all, so it is looked for on disks alone.

    :param lag_seconds: how long it may take to show up.
    :raises NotSharedError: if this task does not see it.
    :raises PlaceError: if that cannot be said.
    """
    path = ObjectStoragePath(mark.url)
    if not isinstance(path.fs, LocalFileSystem):
        return
    deadline = time.monotonic() + lag_seconds
    while not _seen(path, mark):
        if time.monotonic() > deadline:
            raise NotSharedError(
                f"verify_access, on {mark.host}, wrote {mark.url}; this task, on {socket.gethostname()}, does not find "
                f"it: they do not share the disk that the lists of this run go to. No window is opened. {ONE_PLACE}"
            )
        time.sleep(_POLL_SECONDS)


def _seen(path: ObjectStoragePath, mark: Mark) -> bool:
    try:
        return bool(path.read_text(encoding="utf-8") == mark.token)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PlaceError(f"{mark.url}, which verify_access wrote, cannot be read: {error}. {ONE_PLACE}") from error


def why_not_shared(configured: str, executor: str) -> str:
    """Why lists in this place cannot be seen by all tasks, as far as that can be told from the settings.

    :param configured: the cluster's setting ``artifacts``.
    :param executor: Airflow's setting ``[core] executor``: one or several, perhaps with a team or an alias.
    :return: what to do; empty if nothing speaks against it.
    """
    named = re.split(r"[,;]", executor)
    if configured or all(re.split(r"[:=.]", name.strip())[-1] == "LocalExecutor" for name in named):
        return ""
    return f"Airflow's executor is {executor}, and artifacts is not set: tasks run on different disks. {ONE_PLACE}"

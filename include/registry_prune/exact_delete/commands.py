"""What the pod can be told to do: delete, undo, remove, look."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include.registry_prune.exact_delete.configuration import (
    ConfigurationError,
    FileSystemConfiguration,
    configuration,
    pod_is_read_only,
)
from include.registry_prune.exact_delete.events import Begun, Ended, Keeps
from include.registry_prune.exact_delete.file_system import FileSystem
from include.registry_prune.exact_delete.hand_over import wait_for_list
from include.registry_prune.exact_delete.keys import is_kept_name
from include.registry_prune.exact_delete.listed import CheckedList, batches
from include.registry_prune.exact_delete.storage import Storage, StorageError
from include.registry_prune.exact_delete.work import Say, Step, Work
from include.registry_prune.lists.candidate_list import Seal
from include.registry_prune.pruner.dockerregistry import LineKind

_KINDS = (LineKind.REPOSITORY, LineKind.BLOB)
"""In the order of the documented delete: a repository without its stream goes before its blobs."""


@dataclass(frozen=True)
class Order:
    """What this pod was told.

    :param kept_as: name of the folder of what is kept; empty: nothing is to be kept.
    :param seal: of the list that is handed over; None: there is none.
    :param folder: takes the list, and can be written to.
    :param list_seconds: how long to wait for the list.
    """

    environ: Mapping[str, str]
    kept_as: str
    seal: Seal | None
    folder: Path
    list_seconds: float
    say: Say
    stopping: threading.Event


def storage_of(order: Order) -> Storage:
    """The storage that the environment configures.

    :raises ConfigurationError: if it is none that can be used.
    """
    if order.kept_as and not is_kept_name(order.kept_as):
        raise ConfigurationError(f"{order.kept_as!r} cannot be the name of a folder of what is kept")
    configured = configuration(order.environ)
    if isinstance(configured, FileSystemConfiguration):
        return FileSystem(configured.root, kept_as=order.kept_as)
    # Only where it is needed: boto3 takes 40 MiB and half a second.
    from include.registry_prune.exact_delete.s3 import S3
    from include.registry_prune.exact_delete.s3_client import s3_client

    client = s3_client(configured, at_once=S3.at_once, environ=os.environ, work_folder=order.folder)
    return S3(configured, client, order.stopping)


def delete(order: Order) -> Ended:
    """Delete what the list names.

    :raises ConfigurationError, StorageError, DamagedListError: nothing was touched.
    """
    if not pod_is_read_only(order.environ):
        raise ConfigurationError(
            "The registry's template did not serve read-only when this pod was made from it: what is pushed meanwhile "
            "would be torn. Nothing was touched."
        )
    storage = storage_of(order)
    keeps = storage.prepare()
    listed = _list(order)
    _begin(order, "delete", storage, keeps)
    steps: dict[LineKind, Step] = {
        LineKind.BLOB: storage.delete_blobs,
        LineKind.REPOSITORY: storage.delete_repositories,
    }
    return _work(order, "delete", storage, listed.seal.counts).run(
        (listed.batches(kind, storage.batch_size), steps[kind]) for kind in _KINDS
    )


def undo(order: Order) -> Ended:
    """Put back what the list names and is kept; without a list all that is kept.

    :raises ConfigurationError, StorageError, DamagedListError: nothing was touched.
    """
    storage = storage_of(order)
    keeps = storage.prepare()
    if keeps is Keeps.NOTHING:
        raise StorageError(f"{storage.text()} keeps nothing of what a delete took: nothing can be put back")
    steps: dict[LineKind, Step] = {
        LineKind.BLOB: storage.put_back_blobs,
        LineKind.REPOSITORY: storage.put_back_repositories,
    }
    if order.seal is None:
        return _over_kept(order, "undo", storage, keeps, steps)
    listed = _list(order)
    _begin(order, "undo", storage, keeps)
    return _work(order, "undo", storage, listed.seal.counts).run(
        (listed.batches(kind, storage.batch_size), steps[kind]) for kind in _KINDS
    )


def remove(order: Order) -> Ended:
    """Remove for good what is kept.

    :raises ConfigurationError, StorageError: nothing was touched.
    """
    if not order.kept_as:
        raise ConfigurationError("Which delete's is to be removed? --kept-as says it")
    storage = storage_of(order)
    steps: dict[LineKind, Step] = {
        LineKind.BLOB: storage.remove_kept_blobs,
        LineKind.REPOSITORY: storage.remove_kept_repositories,
    }
    keeps = storage.prepare()
    ended = _over_kept(order, "remove", storage, keeps, steps)
    storage.sweep_kept()
    return ended


def look(order: Order) -> Ended:
    """Reach the storage, and say what is kept there. With a name for what is to be kept, it sees that there could be.

    :raises ConfigurationError, StorageError: it cannot be reached.
    """
    storage = storage_of(order)
    keeps = storage.prepare()
    storage.sweep_kept()
    _begin(order, "look", storage, keeps)
    for kept in storage.kept():
        order.say(kept)
    return _work(order, "look", storage, {}).run(())


def _over_kept(order: Order, name: str, storage: Storage, keeps: Keeps, steps: Mapping[LineKind, Step]) -> Ended:
    counts = {str(kind): sum(1 for _ in storage.kept_subjects(kind)) for kind in _KINDS}
    _begin(order, name, storage, keeps, counts)
    return _work(order, name, storage, counts).run(
        (batches(kind, storage.kept_subjects(kind), storage.batch_size), steps[kind]) for kind in _KINDS
    )


def _list(order: Order) -> CheckedList:
    if order.seal is None:
        raise ConfigurationError("There is no seal, so it is not known which list is meant. Nothing was touched.")
    path = wait_for_list(order.folder, limit_seconds=order.list_seconds, stopping=order.stopping)
    return CheckedList(path, order.seal)


def _begin(order: Order, name: str, storage: Storage, keeps: Keeps, counts: Mapping[str, int] | None = None) -> None:
    order.say(
        Begun(
            work=name,
            storage=storage.text(),
            sha256=order.seal.sha256 if order.seal else "",
            counts=dict(counts if counts is not None else order.seal.counts if order.seal else {}),
            keeps=keeps,
            kept_as=order.kept_as if keeps is Keeps.RENAMED else "",
            tells_missing=storage.tells_missing,
        )
    )


def _work(order: Order, name: str, storage: Storage, counts: Mapping[str, int]) -> Work:
    return Work(name, storage, listed=dict(counts), say=order.say, stopping=order.stopping)

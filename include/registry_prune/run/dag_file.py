"""For which clusters a DAG file makes DAGs: in the dag-processor for all, in a task's process for its own alone."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.configuration import conf
from airflow.sdk import get_parsing_context

from include.registry_prune.lists.shared_place import why_not_shared
from include.registry_prune.settings.clusters import (
    BASE_DAG_ID,
    BASE_GUARD_DAG_ID,
    BASE_UNDO_DAG_ID,
    ClusterSettings,
    dag_id_of,
)
from include.registry_prune.settings.clusters_file import ClustersFile
from include.registry_prune.settings.parameters import SettingsError


def clusters_to_prune() -> Iterator[ClusterSettings]:
    """The clusters with a DAG ``registry_prune``: those whose entries are right.

    :raises SettingsError: if the file cannot be read, or this is a task of a cluster whose entry is wrong.
    """
    yield from _right_ones(BASE_DAG_ID)


def clusters_to_undo() -> Iterator[ClusterSettings]:
    """The clusters with a DAG ``registry_undo``: those that can delete by the list.

    :raises SettingsError: as :func:`clusters_to_prune`.
    """
    for settings in _right_ones(BASE_UNDO_DAG_ID):
        if settings.small_image:
            yield settings


def require_shared_lists() -> None:
    """Refuse entries whose lists go to each task's own disk. The dag-processor alone can say so for every executor: in
    a pod of KubernetesExecutor the executor is always LocalExecutor.

    :raises SettingsError: with every cluster that it is so for.
    """
    executor = conf.get("core", "executor")
    faults = [
        f"cluster {settings.name!r}: {problem}"
        for settings in clusters_to_prune()
        if (problem := why_not_shared(settings.artifacts, executor))
    ]
    if faults:
        raise SettingsError("\n".join(faults))


def _right_ones(base: str) -> Iterator[ClusterSettings]:
    file = ClustersFile.read()
    asked = get_parsing_context().dag_id
    for name in _wanted(file, base, asked):
        try:
            yield file.settings(name)
        except SettingsError:
            # Why it has no DAG is told once for all entries, by dags/registry_settings.py: an import error here would
            # end every DAG of this file.
            if asked:
                raise


def clusters_to_guard() -> Iterator[ClusterSettings]:
    """The clusters with a guard: those whose names and connections can be read.

    :raises SettingsError: if the file cannot be read.
    """
    file = ClustersFile.read()
    for name in _wanted(file, BASE_GUARD_DAG_ID, get_parsing_context().dag_id):
        settings = file.guard_settings(name)
        if settings is not None:
            yield settings


def _wanted(file: ClustersFile, base: str, asked: str | None) -> list[str]:
    """A task's process needs no DAG but its own; with 200 clusters the others would cost it seconds of CPU."""
    return [name for name in file.names if asked in (None, dag_id_of(base, name))]

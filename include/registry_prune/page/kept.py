"""What runs have kept in the store, read with patience that ends: a page that is late is read by nobody.

Where the api-server cannot reach it (clusters.yaml, or the folder that ``artifacts`` names, is not on its machine), the
page shows what Airflow's database still has, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TypeVar

from include.registry_prune.report.kept_reports import KeptReports, kept_reports
from include.registry_prune.settings.clusters import BASE_DAG_ID, ClusterSettings, dag_id_of
from include.registry_prune.settings.clusters_file import ClustersFile
from include.registry_prune.settings.parameters import SettingsError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""A storage that has not answered by then is left out."""

T = TypeVar("T")


class NoSettingsError(Exception):
    """The api-server cannot read clusters.yaml; the message says why."""


def settings_by_dag(only: str | None = None) -> dict[str, ClusterSettings]:
    """The settings of each cluster whose entry is right, by the id of its DAG.

    :param only: of this DAG alone; to check the entries of hundreds takes a second.
    :raises NoSettingsError: if there are none to read.
    """
    try:
        file = ClustersFile.read()
    except SettingsError as error:
        raise NoSettingsError(f"the api-server cannot read the settings. {error}") from error
    found: dict[str, ClusterSettings] = {}
    for name in file.names:
        if only is not None and dag_id_of(BASE_DAG_ID, name) != only:
            continue
        # A wrong entry is that cluster's own trouble.
        with suppress(SettingsError):
            cluster = file.settings(name)
            found[cluster.dag_id] = cluster
    return found


def reports_of(
    dag_ids: list[str], count: int, settings: Mapping[str, ClusterSettings] | None, *, why_none: str = ""
) -> dict[str, KeptReports]:
    """The reports that the runs of each DAG have kept; where they cannot be read, that is what is said.

    :param count: the newest of each.
    :param settings: by DAG; None if they cannot be read, and ``why_none`` says why.
    """
    if settings is None:
        return {dag_id: KeptReports(damaged=(_not_shown(why_none),)) for dag_id in dag_ids}
    reading = {
        dag_id: begun(partial(kept_reports, settings[dag_id].artifacts, dag_id, newest=count))
        for dag_id in dag_ids
        if dag_id in settings
    }
    wait(reading.values(), timeout=PATIENCE_SECONDS)
    return {dag_id: _what_came(reading[dag_id]) if dag_id in reading else KeptReports() for dag_id in dag_ids}


def begun(work: Callable[[], T]) -> Future[T]:
    """Work in a thread of its own, which nobody waits for longer than for an answer."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is raised to whoever waits
            future.set_exception(error)

    Thread(target=run, name="registry prune: storage", daemon=True).start()
    return future


def in_time(work: Callable[[], T]) -> T:
    """What the storage answers.

    :raises OSError: if it has not answered by then, or cannot.
    """
    try:
        return begun(work).result(timeout=PATIENCE_SECONDS)
    except TimeoutError as error:
        raise OSError(f"the storage has not answered for {PATIENCE_SECONDS:g} s") from error
    except Exception as error:  # of the storage, or of the connection to it
        raise OSError(str(error)) from error


def _what_came(future: Future[KeptReports]) -> KeptReports:
    try:
        return future.result(timeout=0)
    except TimeoutError:
        why = f"their storage has not answered for {PATIENCE_SECONDS:g} s"
    except Exception as error:  # of the storage, or of the connection to it
        why = str(error)
    return KeptReports(damaged=(_not_shown(why),))


def _not_shown(why: str) -> str:
    return f"Runs that Airflow has forgotten are not shown: {why}"

"""The earlier runs of a run's cluster, as they are remembered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from include.registry_prune.verdict.history import History

if TYPE_CHECKING:
    from include.registry_prune.run.run_context import Run
    from include.registry_prune.settings.clusters import ClusterSettings

log = logging.getLogger(__name__)

_READ_REPORTS = 60
"""Runs that failed early leave a report that says nothing: so many are read to find the twenty that count."""


def history_asset(settings: ClusterSettings) -> Asset:
    """What the runs of a cluster left to later ones up to release 0.1.0: an event of this asset, with a ``PastRun``.

    Nothing is added to it any more; it is read until there are reports enough.
    """
    return Asset(name=f"{settings.dag_id} runs", group="registry-prune")


def history_of(run: Run) -> History:
    """The earlier runs of this cluster, by their reports. A task that reads it has the asset among its inlets.

    :raises OSError: if the reports cannot be read.
    """
    from include.registry_prune.report.kept_reports import kept_reports
    from include.registry_prune.report.report import past_run

    kept = kept_reports(run.settings.artifacts, run.dag_id, newest=_READ_REPORTS)
    for damaged in kept.damaged:
        log.warning("A report of an earlier run is passed over: %s", damaged)
    runs: list[Any] = [past_run(report).to_json() for report in kept.reports if report.run_id != run.run_id]
    if len(runs) < _READ_REPORTS:
        events = run.context["inlet_events"][history_asset(run.settings)].ascending(False).limit(_READ_REPORTS)
        runs += [event.extra for event in events]
    return History.of(runs)

"""Figures for monitoring, by Airflow's own metrics: StatsD or OpenTelemetry, whichever Airflow is set to.

``deploy/prometheus-rules.yaml`` has rules on them. A gauge is lost when whoever keeps it is restarted: the guard says
all of them again in each round.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf

from include.registry_prune.report.backlog import left
from include.registry_prune.report.report import Outcome

if TYPE_CHECKING:
    from include.registry_prune.report.report import RunReport

log = logging.getLogger(__name__)

PREFIX = "registry_prune"
VERDICTS = {"skip": 0, "prune": 1, "stop": 2}
_TAGGED = ("otel_on", "statsd_influxdb_enabled", "statsd_datadog_enabled")
_BAD = (Outcome.FAILED, Outcome.END_NOT_KNOWN)


def emit(cluster: str, figures: Mapping[str, float]) -> None:
    """Hand figures to Airflow's metrics. It never raises.

    Plain StatsD has no tags: there the cluster is a part of the name, and the mapping in ``deploy/values.yaml`` makes a
    label of it.

    :param figures: by name, with the unit in it.
    """
    from airflow.sdk.observability import stats

    try:
        tagged = any(conf.getboolean("metrics", name, fallback=False) for name in _TAGGED)
        for name, value in figures.items():
            if tagged:
                stats.gauge(f"{PREFIX}.{name}", value, tags={"cluster": cluster})
            else:
                stats.gauge(f"{PREFIX}.{cluster}.{name}", value)
    except Exception as error:  # of the metrics' library, and of its configuration
        log.warning("The metrics of cluster %s did not get out: %s", cluster, error)


def report_figures(reports: Iterable[RunReport]) -> dict[str, float]:
    """What the last reports say in figures; what is not known is left out.

    :param reports: the newest first.
    """
    reports = list(reports)
    if not reports:
        return {}
    newest = reports[0]
    known: dict[str, Any] = {
        "orphaned_blobs": newest.orphaned_blobs,
        "orphaned_bytes": newest.orphaned_bytes,
        "left_blobs": left(newest),
        "freed_bytes": newest.freed_bytes,
        "read_only_seconds": newest.read_only_seconds,
        "slices_left": newest.slices_left,
        "verdict": VERDICTS.get(str(newest.verdict)),
        "run_failed": int(newest.outcome in _BAD),
    }
    good = next((each.reported_at for each in reports if each.outcome not in _BAD and each.reported_at), None)
    known["last_success_timestamp_seconds"] = good.timestamp() if good else None
    return {name: float(value) for name, value in known.items() if value is not None}


def window_figures(opened_at: datetime | None, ends_at: datetime | None, *, now: datetime) -> dict[str, float]:
    """What a round of the guard says in figures.

    :param opened_at: when the lease that is there was written; None: there is none.
    :param ends_at: when its window has to have ended.
    """
    return {
        "guard_last_round_timestamp_seconds": now.timestamp(),
        "lease_age_seconds": max((now - opened_at).total_seconds(), 0.0) if opened_at else 0.0,
        "window_overdue_seconds": max((now - ends_at).total_seconds(), 0.0) if ends_at else 0.0,
    }

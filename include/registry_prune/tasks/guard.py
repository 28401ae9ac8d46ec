"""The guard's step: closes a window whose run is gone."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.fleet.others import release_turn
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.run.run_context import Run, closing_limits

if TYPE_CHECKING:
    from include.registry_prune.records import Record


PERIOD = timedelta(minutes=5)
"""From one round to the next."""
ALERT_TEST = "alert_test"
"""The parameter of the guard's DAG that asks for a test message by every channel."""


class GuardWindow(RegistryOperator):
    """Closes a window whose run is gone; says so when a registry is read-only without a lease."""

    retries_refusals = True

    def work(self, run: Run) -> Record:
        from include.registry_prune.cluster.settling import NotSettledError
        from include.registry_prune.pruner.processes import PrunerLivesError
        from include.registry_prune.window.guard import guard, guard_to_the_end
        from include.registry_prune.window.guard_round import GuardRound

        warning = timedelta(seconds=self.cluster.seconds("window_warning"))

        def look() -> GuardRound:
            return guard(
                run.cluster,
                limits=closing_limits(self.cluster),
                run_is_over=run.is_over,
                needs_role=run.another_is_at_work,
                warning=warning,
            )

        def warned(late: GuardRound) -> None:
            # At once: what is told of a round when it is over comes after the window's end.
            Alert(AlertKind.GUARD, self.cluster, late.message).notify(run.context)

        try:
            seen = guard_to_the_end(look, warning=warning, within=PERIOD, warned=warned)
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        self.log.info("%s", seen.message)
        seen = seen.model_copy(
            update={
                "token_expires_at": run.cluster.token_expires_at,
                "looked_at": datetime.now(UTC),
                "cluster_id": self._cluster_id(run),
            }
        )
        release_turn(self.cluster, seen.closed_run)
        self._emit(run)
        if run.context["dag_run"].conf and run.context["dag_run"].conf.get(ALERT_TEST):
            self._try_alerts(run)
        return seen.judged(
            run.last_result(GuardRound),
            now=datetime.now(UTC),
            limit_seconds=self.cluster.seconds("unexplained_read_only"),
        )

    def _cluster_id(self, run: Run) -> str:
        """By it the page finds two entries that reach one cluster. A round does not fail for it."""
        from include.registry_prune.cluster.error import ClusterError

        try:
            return run.cluster.cluster_id()
        except ClusterError as error:
            self.log.warning("The cluster's id is not known: %s", error)
            return ""

    def _emit(self, run: Run) -> None:
        """Say all figures again: whoever keeps them may have been restarted."""
        from include.registry_prune.cluster.error import ClusterError
        from include.registry_prune.report.backlog import recent_reports
        from include.registry_prune.report.metrics import emit, report_figures, window_figures
        from include.registry_prune.window.config_lease import held_lease
        from include.registry_prune.window.lease import LeaseError

        figures: dict[str, float] = {}
        try:
            lease = held_lease(run.cluster.config())
            ends = (lease.must_end_by or lease.expires_at) if lease else None
            figures = window_figures(lease.armed_at if lease else None, ends, now=datetime.now(UTC))
            if lease is None:
                figures["restore_failed"] = 0.0
        except (ClusterError, LeaseError) as error:
            self.log.warning("The figures of the window are not known: %s", error)
        try:
            figures |= report_figures(recent_reports(self.cluster))
        except OSError as error:
            self.log.warning("The figures of the last runs are not known: %s", error)
        emit(self.cluster.name, figures)

    def _try_alerts(self, run: Run) -> None:
        """Send a test by every channel, from where alerts are sent.

        :raises AirflowFailException: naming each channel that did not take it, and why.
        """
        from include.registry_prune.alerts.alerts import Alert, AlertKind
        from include.registry_prune.alerts.delivery import try_channels

        text = f"A test of the alerts of cluster {self.cluster.name}, asked for by {run.asked_by}."
        message = Alert(AlertKind.TEST, self.cluster, text).message(run.context)
        assert message is not None
        found = try_channels(message, self.cluster)
        for channel, problem in found.items():
            self.log.log(logging.ERROR if problem else logging.INFO, "%s: %s", channel, problem or "it took the test")
        failed = "".join(f"\n  - {channel}: {problem}" for channel, problem in found.items() if problem)
        if failed:
            raise AirflowFailException(f"{len(found)} channels were tried, and these did not take the test:{failed}")
        if not found:
            self.log.warning("No channel is set: alerts go to the log alone (docs/settings.md)")

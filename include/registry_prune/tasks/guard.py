"""The guard's step: closes a window whose run is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.tasks.base import RegistryOperator
from include.registry_prune.tasks.run_context import Run, closing_limits

if TYPE_CHECKING:
    from include.registry_prune.records import Record


PERIOD = timedelta(minutes=5)
"""From one round to the next."""


class GuardWindow(RegistryOperator):
    """Closes a window whose run is gone; says so when a registry is read-only without a lease."""

    retries_refusals = True

    def work(self, run: Run) -> Record:
        from include.registry_prune.cluster.settling import NotSettledError
        from include.registry_prune.pruner.processes import PrunerLivesError
        from include.registry_prune.window.guard import GuardRound, guard, guard_to_the_end

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
            Alert(AlertKind.WINDOW_ENDS, self.cluster, late.message).notify(run.context)

        try:
            seen = guard_to_the_end(look, warning=warning, within=PERIOD, warned=warned)
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        self.log.info("%s", seen.message)
        return seen.judged(
            run.last_result(GuardRound),
            now=datetime.now(UTC),
            limit_seconds=self.cluster.seconds("unexplained_read_only"),
        )

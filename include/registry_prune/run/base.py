"""What every step of a run is in Airflow's terms, and what several of them do.

Kubernetes and the modules that need it are imported when a task works, not when a DAG file is parsed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.records import WindowRecord
from include.registry_prune.run.run_context import Run
from include.registry_prune.run.tries import note_try
from include.registry_prune.settings.parameters import SettingsError
from include.registry_prune.window.lease import LeaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from include.registry_prune.cluster.registry_state import RegistryState
    from include.registry_prune.records import Record
    from include.registry_prune.settings.clusters import ClusterSettings


FIRST_OF_ALL: Mapping[str, Any] = {"priority_weight": 10_000, "weight_rule": "absolute"}
"""Of the tasks that open, use and close a window, and of the guard: where workers are few, they start before the
surveys and base prunes of other clusters."""

NO_BACKFILLS: Mapping[str, Any] = {
    "allowed_run_types": ["scheduled", "manual", "asset_triggered", "operator_triggered", "asset_materialization"]
}
"""Of every DAG: each kind of run but a backfill. Airflow does not count the runs of a backfill in ``max_active_runs``
(seen on 3.3.2), so they would prune one registry side by side."""


class RegistryOperator(BaseOperator):
    """A step of a run.

    :param cluster: settings of the cluster that the run is for.
    """

    retries_refusals = False
    """Whether a request that the cluster refuses (401, 403 …) is worth a retry: only for what must be put back."""
    of_window = False
    """Whether what the step hands over belongs to the run's window, and to no other one."""
    before_window = False
    """Whether the step begins something before the window: it first looks whether all tasks see the same lists."""

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Do the step; what it returns goes to XCom as JSON."""
        return self.carry_out(context, self.work)

    def carry_out(self, context: Context, work: Callable[[Run], Record | None]) -> dict[str, Any] | None:
        """Do some work, and say in Airflow's terms what goes wrong in it."""
        try:
            return self._carry_out(context, work)
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except Exception:
            note_try(context)
            raise

    def _carry_out(self, context: Context, work: Callable[[Run], Record | None]) -> dict[str, Any] | None:
        from include.registry_prune.cluster.error import ClusterError
        from include.registry_prune.preflight.access import AccessError
        from include.registry_prune.window.in_the_way import InTheWayError

        run = Run(context, self.cluster)
        try:
            if self.before_window:
                # Not above: in the window no task's process needs it.
                from include.registry_prune.run.place_of_lists import require_shared_place

                require_shared_place(run)
            record = work(run)
            if self.of_window and isinstance(record, WindowRecord):
                record = record.of_window(run.window.token)
        except (SettingsError, AccessError) as error:
            raise AirflowFailException(str(error)) from error
        except LeaseError as error:
            raise (AirflowException if self.retries_refusals else AirflowFailException)(str(error)) from error
        except InTheWayError as error:
            raise AirflowException(str(error)) from error
        except ClusterError as error:
            refused = error.permanent and not self.retries_refusals
            raise (AirflowFailException if refused else AirflowException)(str(error)) from error
        return None if record is None else record.to_json()

    @abstractmethod
    def work(self, run: Run) -> Record | None:
        """The step itself."""


class CandidateList(RegistryOperator):
    """``dockerregistry -prune=check``; the candidates go to an artifact."""

    limit_name = "dry_run_limit"
    """The setting that bounds it."""

    def list_candidates(self, run: Run, *, hands_over: bool = True) -> PrunerResult:
        """Do it.

        :param hands_over: also the result of a dry run that failed.
        """
        from include.registry_prune.lists.artifacts import artifact_path, candidate_writer
        from include.registry_prune.pruner.checks import choose_pod, run_dry_run

        cluster = run.cluster
        pod = choose_pod(self.state(run))
        limit_seconds = self.limit_seconds(run)
        path = artifact_path(self.cluster.artifacts, dag_id=run.dag_id, run_id=run.run_id, task_id=self.task_id)
        head = {"cluster": cluster.server, "run": run.name, "pod": pod, "time": datetime.now(UTC).isoformat()}
        with candidate_writer(path, head) as candidates:
            result = run_dry_run(
                cluster,
                pod,
                holder=run.identity,
                limit_seconds=limit_seconds,
                candidates=candidates,
                artifact=str(path),
            )
            if hands_over:
                run.hand_over(result.of_window(run.window.token) if self.of_window else result)
            problem = result.problem()
            if problem and result.exit_status is None and result.seconds >= limit_seconds:
                # Inside the window the registry is read-only meanwhile.
                raise AirflowFailException(
                    f"{problem} It is not done again: it would take as long. Raise the setting {self.limit_name}, or "
                    "see why the storage is slow."
                )
            if problem and result.exit_status is None:
                # A lost connection is worth another try; what the pruner itself reports is not.
                raise AirflowException(f"{problem} The dry run is done again, if retries are left: it changes nothing.")
            if problem:
                raise AirflowFailException(problem)
        return result

    def limit_seconds(self, run: Run) -> float:
        """How long the dry run may take."""
        return self.cluster.seconds("dry_run_limit")

    def state(self, run: Run) -> RegistryState:
        """The registry as it is now, without what an earlier try left in it; inside the window more is asked for."""
        from include.registry_prune.pruner.checks import end_leftovers
        from include.registry_prune.pruner.own_checks import CheckKind
        from include.registry_prune.window.in_the_way import require_clear_way

        end_leftovers(run.cluster, run.cluster.registry_state(), holder=run.identity, kind=CheckKind.DRY_RUN)
        require_clear_way(run.cluster)
        return run.cluster.registry_state()


def closing_timeout(settings: ClusterSettings) -> timedelta:
    """For a task that closes a window: as long as its steps may take one after the other, and time to say so.

    They are the end of the pruners, the wait until settled, and the replacement of pods; the margin has the searches,
    and the wait for a pod that is deleted (``pruner/processes.py``).
    """
    return timedelta(seconds=settings.seconds("pruner_stop") + 2 * settings.seconds("settle_limit"), minutes=10)

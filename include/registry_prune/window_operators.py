"""The tasks inside the read-only window, and the guard's: thin shells over ``window.py`` and ``pruning.py``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.lease import Lease
from include.registry_prune.operators import CandidateList, RegistryOperator
from include.registry_prune.registry_state import Opening, Settled
from include.registry_prune.run_context import Run

if TYPE_CHECKING:
    from include.registry_prune.records import Record
    from include.registry_prune.settings import ClusterSettings

OPENING = "opening"
"""The XCom in which ``set_read_only`` notes what its patch made, before it waits."""


class ArmWindow(RegistryOperator):
    """Writes the lease and suspends the ImagePruner; changes nothing else."""

    def work(self, run: Run) -> Record:
        from include.registry_prune.role import Grant
        from include.registry_prune.window import arm

        grant = run.result("grant_image_pruner", Grant)
        return arm(
            run.cluster,
            holder=run.holder,
            run_url=run.url,
            lasts=timedelta(seconds=self.cluster.seconds("lease")),
            binding_ours=grant is not None and grant.ours,
            limits=closing_limits(self.cluster),
        )


class SetReadOnly(RegistryOperator):
    """Step 3, read-only: patch ``readOnly: true``, then wait until no pod takes pushes any more."""

    def work(self, run: Run) -> Record:
        from include.registry_prune.settling import NotSettledError
        from include.registry_prune.window import open_window

        try:
            with run.lease_keeper():
                return open_window(
                    run.cluster,
                    holder=run.holder,
                    limit_seconds=self.cluster.seconds("settle_limit"),
                    opened=lambda opening: run.hand_over(opening, OPENING),
                )
        except NotSettledError as error:
            raise AirflowFailException(str(error)) from error


class DryRun(CandidateList):
    """Step 5, dry run: what the delete will do, with the registry read-only. The list is kept."""

    def work(self, run: Run) -> Record:
        with run.lease_keeper():
            return self.list_candidates(run)

    def state(self, run: Run) -> Any:
        return _require_window(run)


def _require_window(run: Run) -> Any:
    """The registry's state, if this run's window is open and nothing else prunes; else the task fails."""
    from include.registry_prune.own_checks import CheckKind
    from include.registry_prune.pruning import end_leftovers
    from include.registry_prune.settling import NotSettledError
    from include.registry_prune.window import require_settled_read_only

    try:
        return require_settled_read_only(run.cluster, holder=run.holder)
    except NotSettledError:
        # Perhaps the pruner at work is this run's own, of a try whose connection was cut. It is looked for only now:
        # the registry is read-only meanwhile.
        end_leftovers(run.cluster, run.cluster.registry_state(), holder=run.holder, kind=CheckKind.DRY_RUN)
    try:
        return require_settled_read_only(run.cluster, holder=run.holder)
    except NotSettledError as error:
        raise AirflowFailException(str(error)) from error


def closing_limits(settings: ClusterSettings, *, revokes_role: bool = True) -> Any:
    """The limits for closing a window of this cluster."""
    from include.registry_prune.window_closing import ClosingLimits

    return ClosingLimits(
        settle_seconds=settings.seconds("settle_limit"),
        stop_seconds=settings.seconds("pruner_stop"),
        reopen_anyway_seconds=settings.seconds("reopen_anyway"),
        revokes_role=revokes_role,
    )


class RestoreReadWrite(RegistryOperator):
    """Step 7, read-write: no pruner lives, what the lease says is put back, every pod takes pushes again."""

    retries_refusals = True

    def work(self, run: Run) -> Record | None:
        from include.registry_prune.pruner_processes import PrunerLivesError
        from include.registry_prune.settling import NotSettledError
        from include.registry_prune.window_closing import close_window

        try:
            self._reclaim_window(run)
            with run.lease_keeper():
                return close_window(
                    run.cluster, holder=run.holder, limits=closing_limits(self.cluster, revokes_role=False)
                )
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error

    def _reclaim_window(self, run: Run) -> None:
        """A person may have removed the lease; whether the window is still this run's, the run itself knows."""
        from include.registry_prune.lost_lease import reclaim_window

        armed, opening = run.result("arm_window", Lease), run.result("set_read_only", Opening, OPENING)
        if armed is not None and opening is not None:
            reclaim_window(run.cluster, armed=armed, opening=opening, settled=run.result("set_read_only", Settled))


class GuardWindow(RegistryOperator):
    """Closes a window whose run is gone; says so when a registry is read-only without a lease.

    :param period: time between two rounds.
    """

    retries_refusals = True

    def __init__(self, *, period: timedelta, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.period = period

    def work(self, run: Run) -> Record:
        from include.registry_prune.guard import guard, worth_an_alert
        from include.registry_prune.pruner_processes import PrunerLivesError
        from include.registry_prune.settling import NotSettledError

        try:
            seen = guard(run.cluster, limits=closing_limits(self.cluster), run_is_over=run.is_over)
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        self.log.info("%s", seen.text)
        alert = worth_an_alert(
            seen,
            limit_seconds=self.cluster.seconds("unexplained_read_only"),
            period_seconds=self.period.total_seconds(),
        )
        return seen.model_copy(update={"alert": alert})

"""The tasks inside the read-only window, and the guard's: thin shells over ``window.py`` and ``pruning.py``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.dockerregistry import PrunerResult
from include.registry_prune.lease import Lease, TakenOverError
from include.registry_prune.operators import CandidateList, RegistryOperator, survey_basis
from include.registry_prune.registry_state import Opening, Settled
from include.registry_prune.run_context import Run
from include.registry_prune.survey_basis import BASIS, SurveyBasis
from include.registry_prune.units import format_seconds

if TYPE_CHECKING:
    from include.registry_prune.records import Record
    from include.registry_prune.settings import ClusterSettings

FIRST_OF_ALL: Mapping[str, Any] = {"priority_weight": 10_000, "weight_rule": "absolute"}
"""Of the tasks that open, use and close a window, and of the guard: where workers are few, they start before the
surveys and base prunes of other clusters."""
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
            # This run has taken the dead run's role binding over, and needs it for its dry run.
            limits=closing_limits(self.cluster, revokes_role=False),
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
            return self._standing_survey(run) or self.list_candidates(run)

    def _standing_survey(self, run: Run) -> PrunerResult | None:
        """The survey, if it may stand for the dry run. The gate holds its list against the Images once more."""
        longest = self.cluster.seconds("survey_stands_for")
        if not longest:
            return None
        survey, basis = run.result("survey", PrunerResult), run.result("survey", SurveyBasis, BASIS)
        if survey is None or basis is None or not survey.complete:
            return None
        # Before the look at the cluster: only then nothing can be written any more.
        _require_window(run)
        now = survey_basis(run)
        reasons = basis.reasons_against(now, longest=timedelta(seconds=longest))
        if reasons:
            self.log.info("The survey does not stand for the dry run, which is done again: %s", "; ".join(reasons))
            return None
        age = format_seconds((now.began_at - basis.began_at).total_seconds())
        self.log.warning(
            "The survey stands for the dry run: it began %s ago, and Images and Deployment are what they were then "
            "(setting survey_stands_for)",
            age,
        )
        return survey

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


def closing_timeout(settings: ClusterSettings) -> timedelta:
    """For a task that closes a window: as long as its steps may take one after the other, and time to say so.

    They are the end of the pruners, the wait until settled, and the replacement of pods; the margin has the searches,
    and the wait for a pod that is deleted (``pruner_processes.py``).
    """
    return timedelta(seconds=settings.seconds("pruner_stop") + 2 * settings.seconds("settle_limit"), minutes=10)


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
        except TakenOverError as error:
            # Not again: without its lease the window would be taken for one that lost it.
            raise AirflowFailException(str(error)) from error
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error

    def _reclaim_window(self, run: Run) -> None:
        """A person may have removed the lease; whether the window is still this run's, the run itself knows."""
        from include.registry_prune.lost_lease import reclaim_window

        armed, opening = run.result("arm_window", Lease), run.result("set_read_only", Opening, OPENING)
        if armed is not None and opening is not None:
            reclaim_window(run.cluster, armed=armed, opening=opening, settled=run.result("set_read_only", Settled))


class GuardWindow(RegistryOperator):
    """Closes a window whose run is gone; says so when a registry is read-only without a lease."""

    retries_refusals = True

    def work(self, run: Run) -> Record:
        from include.registry_prune.guard import GuardRound, guard
        from include.registry_prune.pruner_processes import PrunerLivesError
        from include.registry_prune.settling import NotSettledError

        try:
            seen = guard(
                run.cluster,
                limits=closing_limits(self.cluster),
                run_is_over=run.is_over,
                needs_role=run.another_is_at_work,
            )
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        self.log.info("%s", seen.text)
        return seen.judged(
            run.last_result(GuardRound),
            now=datetime.now(UTC),
            limit_seconds=self.cluster.seconds("unexplained_read_only"),
        )

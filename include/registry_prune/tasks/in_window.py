"""The steps inside the read-only window, up to the gate of the delete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from include.registry_prune.cluster.registry_state import PodsSeen
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.tasks.base import CandidateList, RegistryOperator
from include.registry_prune.tasks.before_window import survey_basis
from include.registry_prune.tasks.run_context import Run, closing_limits
from include.registry_prune.units import format_seconds
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.verdict.survey_basis import BASIS, SurveyBasis
from include.registry_prune.window.lease import LeaseError

if TYPE_CHECKING:
    from include.registry_prune.cluster.registry_state import RegistryState
    from include.registry_prune.records import Record


OPENING = "opening"
"""The XCom in which ``set_read_only`` notes what its patch made, before it waits."""
PODS_SEEN = "pods_seen"
"""The XCom in which it notes what it saw of the pods, if they did not settle."""


MOMENT_LASTS = timedelta(minutes=30)
"""How long a look of ``right_moment`` counts. The next task begins at once; where it begins much later, a person has
cleared it, or a database of Airflow was put back."""


class ArmWindow(RegistryOperator):
    """Writes the lease and suspends the ImagePruner; changes nothing else.

    A window is opened once, on an approval and a look at the moment that are its own.
    """

    def work(self, run: Run) -> Record:
        from include.registry_prune.cluster.role import Grant
        from include.registry_prune.window.opening import arm

        approval, moment = run.of_window("approve_window", Approval), run.of_window("right_moment", Verdict)
        if not approval.approved or moment.action is not Action.PRUNE or moment.given_at is None:
            raise LeaseError(f"The window is not opened: {approval.text()}; right_moment: {moment.text()}")
        age = datetime.now(UTC) - moment.given_at
        if age > MOMENT_LASTS:
            raise LeaseError(
                f"right_moment looked {format_seconds(age.total_seconds())} ago, and what was in order then need not "
                "be so now. Clear approve_window with all that comes after it, or trigger a new run."
            )
        grant = run.result("grant_image_pruner", Grant)
        return arm(
            run.cluster,
            holder=run.window,
            run_url=run.url,
            lasts=timedelta(seconds=self.cluster.seconds("lease")),
            binding_ours=grant is not None and grant.ours,
            # This run has taken the dead run's role binding over, and needs it for its dry run.
            limits=closing_limits(self.cluster, revokes_role=False),
        )


class SetReadOnly(RegistryOperator):
    """Step 3, read-only: patch ``readOnly: true``, then wait until no pod takes pushes any more."""

    of_window = True

    def work(self, run: Run) -> Record:
        from include.registry_prune.cluster.settling import NotSettledError
        from include.registry_prune.window.opening import open_window

        try:
            with run.lease_keeper():
                return open_window(
                    run.cluster,
                    holder=run.window,
                    limit_seconds=self.cluster.seconds("settle_limit"),
                    opened=lambda opening: run.hand_over(opening.of_window(run.window.token), OPENING),
                )
        except NotSettledError as error:
            run.hand_over(PodsSeen(first_pod_at=error.first_pod_at), PODS_SEEN)
            raise AirflowFailException(str(error)) from error


class DryRun(CandidateList):
    """Step 5, dry run: what the delete will do, with the registry read-only. The list is kept."""

    of_window = True

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

    def state(self, run: Run) -> RegistryState:
        return _require_window(run)


def _require_window(run: Run) -> RegistryState:
    """The registry's state, if this run's window is open and nothing else prunes; else the task fails."""
    from include.registry_prune.cluster.settling import NotSettledError
    from include.registry_prune.pruner.checks import end_leftovers
    from include.registry_prune.pruner.own_checks import CheckKind
    from include.registry_prune.window.in_the_way import InTheWayError
    from include.registry_prune.window.opening import require_settled_read_only

    try:
        try:
            return require_settled_read_only(run.cluster, holder=run.window)
        except InTheWayError:
            # Perhaps the pruner at work is this run's own, of a try whose connection was cut. It is looked for only
            # now: the registry is read-only meanwhile.
            end_leftovers(run.cluster, run.cluster.registry_state(), holder=run.identity, kind=CheckKind.DRY_RUN)
        return require_settled_read_only(run.cluster, holder=run.window)
    except (InTheWayError, NotSettledError) as error:
        raise AirflowFailException(str(error)) from error

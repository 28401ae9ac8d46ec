"""The steps inside the read-only window, up to the gate of the delete."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.cluster.registry_state import PodsSeen, Settled
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.run.base import CandidateList, RegistryOperator
from include.registry_prune.run.run_context import Run, closing_limits
from include.registry_prune.tasks.before_window import registry_deployment
from include.registry_prune.tasks.gates import HELD, Revived, hold
from include.registry_prune.units import format_seconds
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.verdict.references import MalformedObjectError
from include.registry_prune.verdict.survey_basis import BASIS, SurveyBasis
from include.registry_prune.window.lease import LeaseError
from include.registry_prune.window.window_end import WindowEnd

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

    before_window = True

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
        now = datetime.now(UTC)
        closed = run.hours.why_not(now)
        if closed:
            raise LeaseError(f"The window is not opened: {closed}")
        end = WindowEnd.of(
            now, limit=timedelta(seconds=self.cluster.seconds("window_limit")), hours_end=run.hours.end_of(now)
        )
        return arm(
            run.cluster,
            holder=run.window,
            run_url=run.url,
            lasts=timedelta(seconds=self.cluster.seconds("lease")),
            must_end_by=end.must_end_by,
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

        now = datetime.now(UTC)
        left = (run.window_end.rollout_ends_by(now) - now).total_seconds()
        try:
            with run.lease_keeper():
                return open_window(
                    run.cluster,
                    holder=run.window,
                    limit_seconds=min(self.cluster.seconds("settle_limit"), left),
                    opened=lambda opening: run.hand_over(opening.of_window(run.window.token), OPENING),
                )
        except NotSettledError as error:
            run.hand_over(PodsSeen(first_pod_at=error.first_pod_at), PODS_SEEN)
            raise AirflowFailException(str(error)) from error


class DryRun(CandidateList):
    """Step 5, dry run: what the delete will do, with the registry read-only. The list is kept.

    The survey's list stands for it where it can: held against the Images of now, which takes seconds where a second
    scan of the storage takes hours. What an Image names that was pushed since is taken out of it.
    """

    of_window = True
    limit_name = "window_limit or dry_run_limit"

    def work(self, run: Run) -> Record:
        with run.lease_keeper():
            survey, basis = run.result("survey", PrunerResult), run.result("survey", SurveyBasis, BASIS)
            reasons = self._reasons_to_scan(run, survey, basis)
            result = None if reasons else self._hold_survey(run, survey, basis, reasons)
            if result is not None:
                return result
            self.log.info("The storage is scanned again, with the registry read-only: %s", "; ".join(reasons))
            return self.list_candidates(run)

    def _reasons_to_scan(self, run: Run, survey: PrunerResult | None, basis: SurveyBasis | None) -> list[str]:
        """Why the survey cannot stand for the dry run, as far as is known without a look at the Images."""
        if self.cluster.dry_run_in_window == "always":
            return ["the setting dry_run_in_window is always"]
        if survey is None or basis is None or not survey.complete or survey.artifact is None:
            return ["there is no survey"]
        # Before the look at the cluster: only then nothing can be pushed any more.
        _require_window(run)
        lasts = timedelta(seconds=self.cluster.seconds("survey_lasts"))
        return basis.reasons_against(registry_deployment(run), now=datetime.now(UTC), lasts=lasts)

    def _hold_survey(
        self, run: Run, survey: PrunerResult | None, basis: SurveyBasis | None, reasons: list[str]
    ) -> PrunerResult | None:
        """The survey without what is needed again by now; None if it cannot stand for the dry run.

        :param reasons: gets why not.
        """
        assert survey is not None
        assert survey.artifact is not None
        assert basis is not None
        try:
            held, revived = hold(run, survey.artifact, older_than=basis.older_than)
            reason = basis.reason_of_images(held.images.older_images)
            if reason is not None:
                reasons.append(reason)
                return None
            artifact = self._list_without(run, survey.artifact, revived) if revived else survey.artifact
        except (OSError, EOFError, zlib.error) as error:
            raise AirflowException(
                f"The survey's list cannot be read, so nothing is deleted: {error}. If tasks run on different "
                "machines, set artifacts to a place that all workers and the triggerer share, and trigger a new run."
            ) from error
        except MalformedObjectError as error:
            raise AirflowFailException(f"The survey cannot be held against the Images: {error}") from error
        run.hand_over(held.of_window(run.window.token), HELD)
        self.log.info(
            "The survey of %s stands for the dry run: held against %s Images; %s of its blobs are needed again",
            basis.began_at.isoformat(timespec="seconds"), f"{held.images.images:,}", f"{len(revived.blobs):,}",
        )  # fmt: skip
        return survey.model_copy(
            update={
                "artifact": artifact,
                "revived_blobs": len(revived.blobs),
                "counted_repositories": survey.counted_repositories - len(revived.repositories),
            }
        )

    def _list_without(self, run: Run, listed: str, revived: Revived) -> str:
        from include.registry_prune.lists.artifacts import artifact_path, copy_without

        path = artifact_path(self.cluster.artifacts, dag_id=run.dag_id, run_id=run.run_id, task_id=self.task_id)
        head = {"cluster": run.cluster.server, "run": run.name, "time": datetime.now(UTC).isoformat(), "of": listed}
        copy_without(listed, path, head, blobs=revived.blobs, repositories=revived.repositories)
        return str(path)

    def limit_seconds(self, run: Run) -> float:
        ends_by = run.window_end.work_ends_by(run.of_window("set_read_only", Settled).seconds)
        left = (ends_by - datetime.now(UTC)).total_seconds()
        return max(min(super().limit_seconds(run), left), 1.0)

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

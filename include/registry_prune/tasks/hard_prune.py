"""Step 6, delete: starts it, or finds it, follows it for a while and defers; the trigger goes on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import ImageLostError
from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.parameters import DeleteBy
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.window.lease import LeaseError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from airflow.sdk import Context

    from include.registry_prune.cluster.async_cluster import AsyncCluster
    from include.registry_prune.deletion.handover import Delete, DeleteEnd, FollowSettings
    from include.registry_prune.lists.deleted_list import DeletedListPlace
    from include.registry_prune.records import Record


class HardPrune(RegistryOperator):
    """``dockerregistry -prune=delete`` in a registry pod, where it lives on its own; or, if the run wants it so, the
    delete by the list (``delete_by_list.py``).

    Begins only on a dry run and a verdict of this very window. Looks for itself, right before it starts, that the
    window is this run's, that every pod is read-only, and that no pruner is at work. A second try finds the delete and
    follows it. One that was interrupted is begun again in another pod. It ends in time for the window to be closed:
    what is left then is the next run's. What was deleted is handed over also when it fails.

    There is no ``on_kill``: a worker that is restarted must not end the delete, and where the task is to end for good,
    ``restore_read_write`` ends the pruner.
    """

    of_window = True

    def work(self, run: Run) -> Record:
        if run.parameters.delete_by is DeleteBy.LIST:
            return self._delete_by_list(run)
        return self._follow(run, self._begin(run))

    def _delete_by_list(self, run: Run) -> Record:
        """Takes minutes and not hours, so this task sees it to its end."""
        from include.registry_prune.tasks.delete_by_list import delete_by_list

        dry_run, _ = self._require_verdict(run)
        result = delete_by_list(run, dry_run, ends_by=self._ends_by(run))
        if result.sliced:
            self.log.info("A slice: %s; the next run goes on from there", result.text())
        return result

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | None:
        """Go on with what the trigger found."""

        def work(run: Run) -> Record:
            from include.registry_prune.deletion.handover import DeleteEnd

            end = DeleteEnd.from_json(event)
            return self._follow(run, self._begin(run, end)) if end.interrupted else self._conclude(run, end)

        return self.carry_out(context, work)

    def _begin(self, run: Run, before: DeleteEnd | None = None) -> Delete:
        """The delete to follow: found, or begun.

        :param before: an attempt that was interrupted.
        """
        from include.registry_prune.cluster.settling import NotSettledError
        from include.registry_prune.deletion.attempts import NotStartedError, find_or_begin
        from include.registry_prune.deletion.handover import Delete
        from include.registry_prune.window.in_the_way import InTheWayError
        from include.registry_prune.window.lease import Earlier

        if before is not None:
            run.hand_over(self._listed(run, before.result))
            self.log.warning("The delete was interrupted (%s); it is begun again", before.result.ended_how)
        dry_run, verdict = self._require_verdict(run)
        ends_by = self._ends_by(run, at_work=before is not None)
        try:
            with run.lease_keeper():
                attempt = find_or_begin(
                    run.cluster,
                    holder=run.window,
                    over=before.delete.attempt if before else None,
                    earlier=before.delete.so_far() if before else Earlier(),
                    attempts=self.cluster.delete_attempts,
                    log_bytes=self.cluster.pod_log_bytes,
                    settle_seconds=self.cluster.seconds("settle_limit"),
                )
        except (NotStartedError, NotSettledError, InTheWayError) as error:
            raise AirflowFailException(str(error)) from error
        return Delete(
            holder=run.window,
            attempt=attempt,
            ends_by=ends_by,
            expected_blobs=dry_run.orphans,
            estimated_seconds=verdict.estimated_delete_seconds,
            earlier=attempt.earlier,
        )

    def _ends_by(self, run: Run, *, at_work: bool = False) -> datetime:
        """When the delete has to be over.

        :raises AirflowFailException: if that is now, and none is at work.
        """
        ends_by = run.window_end.work_ends_by(run.of_window("set_read_only", Settled).seconds)
        if not at_work and datetime.now(UTC) >= ends_by:
            raise AirflowFailException(
                f"Nothing is deleted: the window has to end by {run.window_end.text()}, and the rollout back takes the "
                "rest of that time. Raise the setting window_limit, or see why the rollout to read-only took so long."
            )
        return ends_by

    def _require_verdict(self, run: Run) -> tuple[PrunerResult, Verdict]:
        """The dry run of this window, and the verdict that was given in it, on that dry run's list.

        A person may have marked or cleared any task before this one: what its state says is no ground for a delete.

        :raises LeaseError: if one of them is missing, of another window, or says anything but *prune*.
        """
        from include.registry_prune.lists.artifacts import read_seal

        dry_run, verdict = run.of_window("dry_run", PrunerResult), run.of_window("blob_threshold", Verdict)
        if verdict.action is not Action.PRUNE:
            raise LeaseError(f"Nothing is deleted: the verdict of blob_threshold is {verdict.text()}")
        if not dry_run.complete or not dry_run.artifact or read_seal(dry_run.artifact).sha256 != verdict.judged:
            raise LeaseError(
                "Nothing is deleted: blob_threshold judged another list than the dry run of this window has. Trigger a "
                "new run."
            )
        return dry_run, verdict

    def _follow(self, run: Run, delete: Delete) -> Record:
        """Follow it to its end; defers when that is not soon."""
        while True:
            end, delete = self._follow_at_first(run, delete)
            if end is None:
                self._defer(run, delete)
            elif not end.interrupted:
                return self._conclude(run, end)
            else:
                delete = self._begin(run, end)

    def _follow_at_first(self, run: Run, delete: Delete) -> tuple[DeleteEnd | None, Delete]:
        from include.registry_prune.cluster.async_cluster import AsyncCluster
        from include.registry_prune.deletion.follower import DeleteFollower
        from include.registry_prune.lists.deleted_list import DeletedList
        from include.registry_prune.lists.kept_progress import KeptProgress, progress_path

        seconds = self.cluster.seconds("defer_after")
        if seconds == 0:
            return None, delete

        def connect() -> AbstractAsyncContextManager[AsyncCluster]:
            return AsyncCluster.like(run.cluster.configuration)

        deleted = DeletedList(self._place(run), attempt=delete.attempt.number, pod=delete.attempt.pod)
        told = progress_path(self.cluster.artifacts, dag_id=run.dag_id, run_id=run.run_id, task_id=self.task_id)
        follower = DeleteFollower(connect, delete, self._settings(), deleted, KeptProgress(told).keep)
        end = asyncio.run(follower.follow(seconds))
        return end, follower.handed_on()

    def _defer(self, run: Run, delete: Delete) -> None:
        from include.registry_prune.tasks.triggers import DeleteTrigger

        self.log.info("The delete goes on in pod %s; the triggerer follows it", delete.attempt.pod)
        self.defer(
            trigger=DeleteTrigger(
                self.cluster.connection,
                delete=delete.to_json(),
                settings=self._settings().to_json(),
                place=self._place(run).to_json(),
            ),
            method_name=self.resume.__name__,
        )

    def _conclude(self, run: Run, end: DeleteEnd) -> PrunerResult:
        result = self._listed(run, end.result)
        run.hand_over(result.of_window(run.window.token))
        if end.tripped is not None:
            raise ImageLostError(f"{end.tripped.text()}. {result.problem() or result.text()}")
        problem = result.problem()
        if problem and self._worth_another_try(end):
            raise AirflowException(f"{problem} The delete is looked for and followed again, if retries are left.")
        if problem:
            raise AirflowFailException(f"{end.lost}. {problem}" if end.lost else problem)
        if result.sliced:
            self.log.info("A slice: %s; the next run goes on from there", result.text())
        return result

    def _worth_another_try(self, end: DeleteEnd) -> bool:
        """Whether the delete may still be at work, in a window that is whole: it would be ended if the task failed."""
        in_time = datetime.now(UTC) < end.delete.ends_by
        return end.result.exit_status is None and end.lost is None and in_time

    def _listed(self, run: Run, result: PrunerResult) -> PrunerResult:
        """The result, with the place of the lists of what was deleted: ``*`` in it stands for their parts."""
        return result.model_copy(update={"artifact": str(self._place(run).path("*"))})

    def _settings(self) -> FollowSettings:
        from include.registry_prune.deletion.handover import FollowSettings

        return FollowSettings(
            follow_every=self.cluster.seconds("follow_every"),
            patience=self.cluster.seconds("follow_patience"),
            silence=self.cluster.seconds("silence"),
            lease=self.cluster.seconds("lease"),
        )

    def _place(self, run: Run) -> DeletedListPlace:
        from include.registry_prune.lists.deleted_list import DeletedListPlace

        return DeletedListPlace(
            configured=self.cluster.artifacts,
            dag_id=run.dag_id,
            run_id=run.run_id,
            task_id=self.task_id,
            server=run.cluster.server,
        )

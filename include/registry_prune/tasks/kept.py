"""What deletes by the list have kept: looked at before a run, removed when its time is over, put back by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.exact_delete.events import Keeps
from include.registry_prune.exact_pod.kept import LOOK, Removal, StorageLook, Undone
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.settings.clusters import SMALL_IMAGE_NEEDED
from include.registry_prune.settings.parameters import DeleteBy, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from include.registry_prune.exact_delete.events import Kept
    from include.registry_prune.exact_pod.errand import Done
    from include.registry_prune.lists.candidate_list import Seal
    from include.registry_prune.records import Record
    from include.registry_prune.run.run_context import Run

LOOK_SECONDS = 60.0
UNSEEN = timedelta(days=7)
"""So long is kept at least what no run has seen to be needless: after whose delete no look found an image broken."""
_SHOWN_RUNS = 10
_READ_REPORTS = 1_000


def look_at_storage(run: Run) -> StorageLook:
    """Have the small image reach the storage: it can be pulled then, and the storage is one that it knows.

    :raises AirflowFailException: if not, and what to do.
    """
    done = _errand(run, "look", limit_seconds=LOOK_SECONDS, kept_as=run.token)
    if not done.end.complete or done.begun is None:
        raise AirflowFailException(f"The delete by the list cannot be used here: {done.end.text()}")
    return StorageLook(storage=done.begun.storage, keeps=done.begun.keeps, kept=done.kept)


def _errand(
    run: Run,
    purpose: Literal["look", "undo", "remove"],
    *,
    limit_seconds: float,
    kept_as: str,
    seal: Seal | None = None,
    blocks: Callable[[], Iterable[bytes]] = tuple,
) -> Done:
    """Do it, once nothing is in the way.

    :raises SettingsError: if there is no small image.
    :raises InTheWayError: if something is in the way.
    """
    from include.registry_prune.exact_pod.errand import make_way, run_errand
    from include.registry_prune.exact_pod.pod import ExactPodError
    from include.registry_prune.pruner.processes import PrunerLivesError

    if not run.settings.small_image:
        raise SettingsError(f"A delete by the list needs the setting small_image: {SMALL_IMAGE_NEEDED}")
    try:
        make_way(run.cluster, run.name)
        return run_errand(
            run.cluster,
            purpose,
            image=run.settings.small_image,
            window=run.name,
            kept_as=kept_as,
            seal=seal,
            blocks=blocks,
            limit_seconds=limit_seconds,
        )
    except (ExactPodError, PrunerLivesError) as error:
        raise AirflowException(str(error)) from error


class RemoveDeleted(RegistryOperator):
    """Removes for good what deletes by the list have kept long enough, while pushes are taken.

    At once only what a run has seen to be needless: until then an undo may be wanted.
    """

    def work(self, run: Run) -> Record | None:
        if run.parameters.delete_by is not DeleteBy.LIST or not run.parameters.may_open_window:
            self.log.info("This run does not delete by the list")
            return None
        look = run.result("verify_access", StorageLook, LOOK)
        if look is None or run.task_states().get("hard_prune") == "success":
            look = look_at_storage(run)
        needless = self._needless(run) if look.kept else set()
        removal = Removal(kept=look.kept)
        keep_deleted = timedelta(seconds=self.cluster.seconds("keep_deleted"))
        for kept in look.kept:
            keep = keep_deleted if kept.name in needless else max(keep_deleted, UNSEEN)
            if keep > keep_deleted:
                self.log.info("No run has seen that no image misses what %s has kept: it stays a week", kept.name)
            if kept.since + keep <= datetime.now(UTC):
                removal = self._remove(run, kept, removal)
        self.log.info("%s", removal.text())
        return removal

    def _needless(self, run: Run) -> set[str]:
        """Names of what is kept of deletes after which every image was looked at, and none had broken: this one (or
        else this task would not run), and those of the reports."""
        from include.registry_prune.report.kept_reports import kept_reports

        reports = kept_reports(self.cluster.artifacts, self.cluster.dag_id, newest=_READ_REPORTS).reports
        good = (Outcome.PRUNED, Outcome.SLICE)
        seen = {each.kept_as for each in reports if each.outcome in good and each.broken_after is not None}
        deletion, checks = run.result("hard_prune", PrunerResult), ("integrity_before", "integrity_after")
        compared = all(run.result(check, IntegrityCheck) is not None for check in checks)
        if compared and deletion is not None and deletion.by_list is not None and deletion.problem() is None:
            seen.add(deletion.by_list.kept_as)
        return seen

    def _remove(self, run: Run, kept: Kept, removal: Removal) -> Removal:
        limit = self.cluster.seconds("dry_run_limit")
        done = _errand(run, "remove", limit_seconds=limit, kept_as=kept.name)
        if not done.end.complete or done.end.ended is None:
            raise AirflowException(f"What {kept.name} has kept could not all be removed: {done.end.text()}")
        return removal.model_copy(
            update={
                "names": (*removal.names, kept.name),
                "blobs": removal.blobs + done.end.ended.blobs.done,
                "freed_bytes": removal.freed_bytes + (done.end.ended.freed_bytes or 0),
                "kept": tuple(each for each in removal.kept if each.name != kept.name),
            }
        )


class UndoDelete(RegistryOperator):
    """Puts back what the delete by the list of one run took, as far as it is kept. It needs no window: a blob is named
    by its content."""

    def work(self, run: Run) -> Record:
        from include.registry_prune.lists.artifacts import read_seal, stored_blocks

        asked = str((run.context["dag_run"].conf or {}).get("run", "")).strip()
        report = self._report(run, asked)
        seal = None
        try:
            seal = read_seal(report.artifact) if report.artifact else None
        except OSError as error:
            if report.keeps != Keeps.RENAMED:
                raise AirflowFailException(f"What that run deleted is not known any more: {error}") from error
            self.log.warning("The list of that run cannot be read, so all that is kept of it is put back: %s", error)
        limit = self.cluster.seconds("dry_run_limit")
        done = _errand(
            run,
            "undo",
            limit_seconds=limit,
            kept_as=report.kept_as,
            seal=seal,
            blocks=lambda: stored_blocks(str(report.artifact)),
        )
        if not done.end.complete or done.end.ended is None:
            raise AirflowException(f"Not all could be put back: {done.end.text()}")
        blobs, repositories = done.end.ended.blobs, done.end.ended.repositories
        undone = Undone(run=asked, put_back=blobs.done, there=blobs.missing, repositories=repositories.done)
        self.log.info("%s", undone.text())
        return undone

    def _report(self, run: Run, asked: str) -> RunReport:
        """The report of the run whose delete is to be undone.

        :raises AirflowFailException: if there is none, or nothing of it is kept.
        """
        from include.registry_prune.report.kept_reports import kept_reports

        by_list = {
            report.run_id: report
            for report in kept_reports(self.cluster.artifacts, self.cluster.dag_id, newest=_READ_REPORTS).reports
            if report.deleted_by == "list"
        }
        report = by_list.get(asked)
        if report is None:
            known = ", ".join(list(by_list)[:_SHOWN_RUNS]) or "none"
            raise AirflowFailException(
                f"There is no run {asked!r} of {self.cluster.dag_id} that deleted by the list. There are: {known}. The "
                "documented delete keeps nothing."
            )
        if report.keeps not in (Keeps.RENAMED, Keeps.VERSIONS):
            raise AirflowFailException(f"The storage kept nothing of what run {asked} deleted: it cannot be undone")
        here = run.cluster.cluster_id()
        if report.cluster_id and report.cluster_id != here:
            raise AirflowFailException(
                f"Run {asked} worked on the cluster {report.cluster_id}, and connection {self.cluster.connection} "
                f"points to {here}. Nothing is changed there."
            )
        return report

"""After the window: what became of the candidates. A thin Airflow shell over ``reconciliation.py``."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import ImageLostError
from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.lists.digests import SHORT_BYTES, DigestSet
from include.registry_prune.lists.reconciliation import KEPT_NAMES, Basis, Comparison, Reconciliation, compare
from include.registry_prune.pruner.dockerregistry import ByList, LineKind, PrunerResult
from include.registry_prune.run.base import CandidateList
from include.registry_prune.run.run_context import Run
from include.registry_prune.tasks.gates import hold

if TYPE_CHECKING:
    from include.registry_prune.records import Record


class Reconcile(CandidateList):
    """Which candidates were deleted, which were not, and was anything deleted that was none?

    By the list that the delete left. Where that is incomplete or cannot be read, by a dry run now, while the registry
    takes pushes: a candidate that is listed again was not deleted. That something could not be found out is said, and
    is no reason for a run to fail: whether the delete did its work is not decided here. A blob that was none, was
    deleted, and is named by an Image, is one: the loudest.
    """

    def work(self, run: Run) -> Record | None:
        if run.task_states().get("hard_prune") in ("skipped", "upstream_failed"):
            self.log.info("Nothing was to be deleted: there is nothing to reconcile")
            return None
        dry_run, deletion = run.result("dry_run", PrunerResult), run.result("hard_prune", PrunerResult)
        if dry_run is None or dry_run.artifact is None:
            found = Reconciliation(basis=Basis.NOTHING, why_unknown="there is no list of candidates")
        else:
            found = self._reconcile(run, dry_run.artifact, deletion)
        self.log.info("%s", found.text())
        alarm = found.alarm()
        if alarm and found.lost_images:
            run.hand_over(found)
            raise ImageLostError(alarm)
        if alarm:
            self.log.error("%s", alarm)
        return found

    def _reconcile(self, run: Run, listed: str, deletion: PrunerResult | None) -> Reconciliation:
        if deletion is not None and deletion.by_list is not None and deletion.by_list.record:
            found = reconcile_record(run, listed, deletion, task_id=self.task_id)
            return self._hold_deleted(run, deletion.by_list, found) if found.deleted_artifact else found
        by_list, unlisted = self._by_list(listed, deletion)
        if by_list is not None and len(unlisted):
            by_list = self._held_against_images(run, by_list, unlisted)
        if by_list is not None and by_list.list_complete:
            return by_list
        self.log.info("Not all that was deleted is known. A dry run, which changes nothing, shows what is left")
        from include.registry_prune.cluster.error import ClusterError

        try:
            left = self.list_candidates(run, hands_over=False).artifact
            return self._by_closing_check(listed, str(left), by_list)
        except (AirflowException, ClusterError, OSError) as error:
            if run.has_another_try and not isinstance(error, AirflowFailException):
                raise
            self.log.warning("What is left could not be found out: %s", error)
            return Reconciliation(basis=Basis.NOTHING, why_unknown=str(error))

    def _hold_deleted(self, run: Run, by_list: ByList, found: Reconciliation) -> Reconciliation:
        """What Images name of what was deleted by now: one may have come in the very moment in which the delete ended.

        What is kept is put back, needed or pushed anew; else an Image that was there before pushes were taken again
        has lost it.
        """
        from include.registry_prune.cluster.error import ClusterError
        from include.registry_prune.exact_pod.errand import make_way
        from include.registry_prune.pruner.processes import PrunerLivesError
        from include.registry_prune.tasks.delete_by_list import NotPutBackError, put_back_what_images_name
        from include.registry_prune.window.in_the_way import InTheWayError

        restored, deleted = run.result("restore_read_write", Settled), str(found.deleted_artifact)
        try:
            if by_list.can_be_undone:
                make_way(run.cluster, run.name)
                count = put_back_what_images_name(run, by_list, deleted, window=run.name)
                return found.model_copy(update={"put_back": count})
            held, _ = hold(run, deleted, older_than=restored.closed_at if restored else None)
        except (NotPutBackError, InTheWayError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        except (ClusterError, OSError, ValueError) as error:
            if run.has_another_try:
                raise
            self.log.warning("It is not known whether an Image names what was deleted: %s", error)
            return found
        return found.model_copy(
            update={
                "deleted_in_use": tuple(hit.text() for hit in held.images.hits[:KEPT_NAMES]),
                "deleted_in_use_count": held.images.hit_count,
            }
        )

    def _held_against_images(self, run: Run, found: Reconciliation, unlisted: DigestSet) -> Reconciliation:
        """Whether Images name what was deleted unlisted.

        Only Images that were there before the window: the blobs of later ones have been pushed since.
        """
        from include.registry_prune.cluster.error import ClusterError
        from include.registry_prune.verdict.references import audit, audit_streams
        from include.registry_prune.window.lease import Lease

        armed = run.result("arm_window", Lease)
        try:
            images = audit(unlisted, run.cluster.images(), older_than=armed.armed_at if armed else None)
            if images.hit_count:
                tags = audit_streams((), run.cluster.image_streams(), images=images.named_images()).tags
                images = images.with_tags(tags)
        except (ClusterError, ValueError) as error:
            if run.has_another_try:
                raise
            self.log.warning("It is not known whether an Image names what was deleted unlisted: %s", error)
            return found
        return found.model_copy(
            update={
                "unlisted_in_use": tuple(hit.text() for hit in images.hits[:KEPT_NAMES]),
                "unlisted_in_use_count": images.hit_count,
            }
        )

    def _by_list(self, listed: str, deletion: PrunerResult | None) -> tuple[Reconciliation | None, DigestSet]:
        """By what the delete's list has; None if it has nothing that can be read. And what was deleted unlisted.

        The parts may be out of sight: a triggerer may have written its own to a disk of another machine. So they are
        taken for the whole list only if they name as many blobs as the delete counted.
        """
        from include.registry_prune.lists.artifacts import finished_parts, read_seal

        if deletion is None or deletion.artifact is None:
            return None, DigestSet()
        try:
            begun = read_seal(listed).head["time"]
            parts = finished_parts(deletion.artifact)
            # An earlier part is of an earlier delete: the dry run, and so this run, was cleared and done again.
            of_this = [part for part in parts if read_seal(part).head["time"] >= begun]
            compared, unlisted = _compare_all([listed], of_this)
            whole = _names_all(compared, deletion)
            if not whole and of_this != parts:
                # Or the clock of the machine that wrote it is slow.
                with_all = _compare_all([listed], parts)
                whole = _names_all(with_all[0], deletion)
                compared, unlisted = with_all if whole else (compared, unlisted)
        except OSError as error:
            self.log.warning("The delete's list cannot be used: %s", error)
            return None, DigestSet()
        if not whole:
            self.log.warning(
                "%d blobs are in the delete's lists at %s, but the delete counted %d. If its tasks and the triggerer "
                "run on different machines, set artifacts to a place that all of them share",
                _named(compared),
                deletion.artifact,
                _counted(deletion),
            )
        found = Reconciliation(
            basis=Basis.LIST,
            candidates=compared.both.count + compared.first_only.count,
            deleted=compared.both.count,
            not_deleted=compared.first_only.count,
            not_deleted_names=compared.first_only.names,
            unlisted=compared.second_only.count,
            unlisted_names=compared.second_only.names,
            list_complete=deletion.list_complete and whole,
            stopped=not deletion.complete,
            deleted_artifact=deletion.artifact,
        )
        return found, unlisted

    def _by_closing_check(self, listed: str, left: str, by_list: Reconciliation | None) -> Reconciliation:
        """By what a dry run lists now; what was deleted unlisted is known from the delete's list alone."""
        compared = _compare([listed], [left])
        known = by_list or Reconciliation(basis=Basis.NOTHING)
        return known.model_copy(
            update={
                "basis": Basis.CLOSING_CHECK,
                "candidates": compared.both.count + compared.first_only.count,
                "deleted": compared.first_only.count,
                "not_deleted": compared.both.count,
                "not_deleted_names": compared.both.names,
                "list_complete": False,
                "left_artifact": left,
            }
        )


def reconcile_record(run: Run, listed: str, deletion: PrunerResult, *, task_id: str) -> Reconciliation:
    """By the record that the delete by the list left of every key. Nothing but the list can be gone.

    :param task_id: whose list of what was deleted it is.
    """
    from airflow.sdk import ObjectStoragePath

    from include.registry_prune.exact_delete.events import Outcome
    from include.registry_prune.exact_pod.record import DeleteRecord
    from include.registry_prune.lists.artifacts import artifact_path, candidate_writer, read_candidates

    assert deletion.by_list is not None
    assert deletion.by_list.record is not None
    try:
        record = DeleteRecord.model_validate_json(ObjectStoragePath(deletion.by_list.record).read_bytes())
    except (OSError, ValueError) as error:
        return Reconciliation(basis=Basis.NOTHING, why_unknown=f"the delete's record cannot be read: {error}")
    place = artifact_path(run.settings.artifacts, dag_id=run.dag_id, run_id=run.run_id, task_id=task_id, what="deleted")
    head = {"cluster": run.cluster.server, "run": run.name, "time": datetime.now(UTC).isoformat(), "of": listed}
    counts, left = dict.fromkeys(Outcome, 0), []  # type: tuple[dict[Outcome, int], list[str]]
    with candidate_writer(place, head) as deleted:
        for kind in (LineKind.REPOSITORY, LineKind.BLOB):
            for subject, outcome in record.outcomes(kind, partial(read_candidates, listed, kind=kind)):
                if outcome is Outcome.DONE:
                    deleted.add(kind, subject)
                elif kind is LineKind.BLOB and outcome is not Outcome.MISSING and len(left) < KEPT_NAMES:
                    left.append(subject)
                counts[outcome] += kind is LineKind.BLOB
    gone = counts[Outcome.DONE] + counts[Outcome.MISSING]
    return Reconciliation(
        basis=Basis.RECORD,
        candidates=sum(counts.values()),
        deleted=gone,
        not_deleted=sum(counts.values()) - gone,
        not_deleted_names=tuple(left),
        stopped=not deletion.complete,
        deleted_artifact=str(place),
    )


def _compare(first: list[str], second: list[str], second_only: DigestSet | None = None) -> Comparison:
    from include.registry_prune.lists.artifacts import digest_reader, read_seal

    sizes = [sum(read_seal(url).counts[LineKind.BLOB] for url in urls) for urls in (first, second)]
    return compare(digest_reader(*first), digest_reader(*second), size=max(sizes), second_only=second_only)


def _compare_all(first: list[str], second: list[str]) -> tuple[Comparison, DigestSet]:
    """Also with all that is in the second alone."""
    second_only = DigestSet(kept_bytes=SHORT_BYTES)
    return _compare(first, second, second_only), second_only


def _named(compared: Comparison) -> int:
    """So many different blobs are in the second list."""
    return compared.both.count + compared.second_only.count


def _counted(deletion: PrunerResult) -> int:
    return deletion.counted_blobs + deletion.earlier_blobs


def _names_all(compared: Comparison, deletion: PrunerResult) -> bool:
    """Whether the second list has as many blobs as the delete counted, and these are all that a whole delete told."""
    told = not deletion.complete or deletion.said is None or deletion.said.blobs == deletion.counted_blobs
    return told and _named(compared) == _counted(deletion)

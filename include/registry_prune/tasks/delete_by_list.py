"""The delete by the list, as ``hard_prune`` does it: the audited list and nothing else, in a pod of its own."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import ImageLostError
from include.registry_prune.exact_pod.kept import LOOK, StorageLook
from include.registry_prune.lists.candidate_list import ListWriter
from include.registry_prune.pruner.dockerregistry import ByList, LineKind, PrunerResult, Summary
from include.registry_prune.tasks.gates import hold

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from include.registry_prune.exact_pod.deletion import ListEnd, ListWork
    from include.registry_prune.exact_pod.record import DeleteRecord
    from include.registry_prune.run.run_context import Run

log = logging.getLogger(__name__)

PUT_BACK_SECONDS = 120.0
"""For the few blobs that an Image came to name: the registry is read-only meanwhile."""
RECORD_SECONDS = 20.0
"""For the store to take the record: it has some 100 bytes for each thousand blobs."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def delete_by_list(run: Run, dry_run: PrunerResult, *, ends_by: datetime) -> PrunerResult:
    """Delete what the dry run's list names; what an Image came to name meanwhile is put back.

    :param dry_run: of this window, with the list that the gate judged.
    :param ends_by: then it is ended.
    :raises AirflowException: if another try may find it at work.
    :raises AirflowFailException: if nothing was deleted, and another try would not help.
    :raises ImageLostError: if a blob that an Image names is gone.
    """
    from include.registry_prune.cluster.async_cluster import AsyncCluster
    from include.registry_prune.cluster.settling import NotSettledError
    from include.registry_prune.exact_pod.deletion import EndedError, ListDelete
    from include.registry_prune.exact_pod.pod import ExactPodError
    from include.registry_prune.lists.kept_progress import KeptProgress, progress_path
    from include.registry_prune.pruner.processes import PrunerLivesError
    from include.registry_prune.window.in_the_way import InTheWayError

    work = _work(run, dry_run, ends_by)
    configuration = run.cluster.configuration
    path = progress_path(run.settings.artifacts, dag_id=run.dag_id, run_id=run.run_id, task_id="hard_prune")
    tell = KeptProgress(path).keep
    try:
        end = asyncio.run(ListDelete(run.cluster, lambda: AsyncCluster.like(configuration), work, tell).carry_out())
    except (ExactPodError, EndedError, NotSettledError, InTheWayError) as error:
        raise AirflowFailException(str(error)) from error
    except PrunerLivesError as error:
        raise AirflowException(str(error)) from error
    result = _result(run, dry_run, end)
    run.hand_over(result.of_window(run.window.token))
    if end.tripped is not None:
        result = _put_back(run, end, result)
    problem = result.problem()
    if problem:
        raise AirflowFailException(f"{end.lost}. {problem}" if end.lost else problem)
    return result


def _work(run: Run, dry_run: PrunerResult, ends_by: datetime) -> ListWork:
    from include.registry_prune.exact_pod.deletion import ListWork
    from include.registry_prune.lists.artifacts import read_blocks, read_seal, stored_blocks
    from include.registry_prune.lists.candidate_list import packed_digests

    listed, settings = str(dry_run.artifact), run.settings
    return ListWork(
        holder=run.window,
        image=settings.small_image,
        seal=read_seal(listed),
        blocks=lambda: stored_blocks(listed),
        digests=lambda: packed_digests(read_blocks(listed)),
        ends_by=ends_by,
        attempts=settings.delete_attempts,
        lease_seconds=settings.seconds("lease"),
        settle_seconds=settings.seconds("settle_limit"),
        patience_seconds=settings.seconds("follow_patience"),
        earlier=_kept_record(run),
        keep=lambda record: _keep_record(run, record),
    )


def _record_place(run: Run) -> ObjectStoragePath:
    from include.registry_prune.lists.artifacts import artifact_folder, name_in_files

    return artifact_folder(run.settings.artifacts) / run.dag_id / name_in_files(run.run_id) / "hard_prune-record.json"


def _keep_record(run: Run, record: DeleteRecord) -> None:
    """Write it, for some seconds only: the registry is read-only, and a share that hangs would hold it up for ever."""
    from include.registry_prune.lists.artifacts import write_whole

    def write() -> None:
        try:
            write_whole(_record_place(run), record.model_dump_json().encode())
        except Exception:  # object storages raise errors of their own libraries
            log.exception("The record of the delete could not be kept: reconcile will not know what was deleted")

    writing = threading.Thread(target=write, name="record", daemon=True)
    writing.start()
    writing.join(RECORD_SECONDS)
    if writing.is_alive():
        log.error("The store took no record of the delete within %.0f s: reconcile may not find it", RECORD_SECONDS)


def _kept_record(run: Run) -> DeleteRecord:
    """What an earlier try in this window has kept."""
    from include.registry_prune.exact_pod.record import DeleteRecord

    try:
        kept = DeleteRecord.model_validate_json(_record_place(run).read_bytes())
    except (OSError, ValueError):
        return DeleteRecord()
    return kept if kept.window == run.window.token else DeleteRecord()


def _result(run: Run, dry_run: PrunerResult, end: ListEnd) -> PrunerResult:
    """As the documented delete hands it over; its record is kept beside the lists."""
    from include.registry_prune.names import EXACT_DELETE_POD

    record, ended = end.record, end.record.ended
    blobs = record.tally(LineKind.BLOB)
    begun = record.begun
    problem = ended.problem if ended and ended.problem else end.end.why
    return PrunerResult(
        mode="delete",
        said=Summary(blobs=blobs.done, rounded_bytes=_about_bytes(dry_run, blobs.done)) if ended else None,
        counted_blobs=blobs.done,
        counted_repositories=record.tally(LineKind.REPOSITORY).done,
        exit_status=end.end.exit_status,
        ended_how=end.end.text(),
        errors=(problem,) if problem and not end.end.complete else (),
        list_complete=ended is not None,
        sliced=end.sliced,
        attempts=1,
        seconds=round(end.seconds, 3),
        pod=EXACT_DELETE_POD,
        by_list=ByList(
            storage=begun.storage if begun else "",
            keeps=begun.keeps if begun else "",
            kept_as=begun.kept_as if begun else "",
            record=str(_record_place(run)),
            missing=blobs.missing,
            failed=blobs.failed,
        ),
    )


def _about_bytes(dry_run: PrunerResult, deleted: int) -> int:
    """The dry run said the size of all of them; the list has no sizes."""
    if dry_run.said is None or not dry_run.said.blobs:
        return 0
    return round(dry_run.said.rounded_bytes * min(deleted / dry_run.said.blobs, 1.0))


def _put_back(run: Run, end: ListEnd, result: PrunerResult) -> PrunerResult:
    """An Image came to name something of the list: all that Images name now is put back, if it is kept.

    :raises ImageLostError: if it cannot be.
    """
    assert end.tripped is not None
    assert result.by_list is not None
    listed = run.of_window("dry_run", PrunerResult).artifact
    by_list = result.by_list
    if not by_list.keeps:
        # Nobody heard its first word.
        look = run.result("verify_access", StorageLook, LOOK)
        by_list = by_list.model_copy(update={"keeps": look.keeps if look else "", "kept_as": run.window.token})
    if not by_list.can_be_undone:
        raise ImageLostError(f"{end.tripped.text()}. {result.problem() or result.text()}")
    log.warning("%s", end.tripped.text())
    try:
        count = put_back_what_images_name(run, by_list, str(listed), window=run.window.token)
    except NotPutBackError as error:
        raise ImageLostError(f"{end.tripped.text()}. {error}") from error
    return result.model_copy(update={"by_list": by_list.model_copy(update={"put_back": count})})


class NotPutBackError(Exception):
    """What an Image names is gone, and could not be put back; the message says why."""


def put_back_what_images_name(run: Run, by_list: ByList, listed: str, *, window: str) -> int:
    """Put back all that the list has and Images name by now; returns how many blobs.

    :param listed: the list that was deleted.
    :param window: whose errand it is.
    :raises NotPutBackError: if that cannot be done.
    """
    from include.registry_prune.cluster.error import ClusterError
    from include.registry_prune.exact_pod.errand import run_errand
    from include.registry_prune.exact_pod.pod import ExactPodError
    from include.registry_prune.pruner.processes import PrunerLivesError

    # Whatever Images name now: of which age they are does not count.
    _, needed = hold(run, listed, older_than=_EARLIEST)
    if not needed:
        return 0
    file = io.BytesIO()
    with ListWriter(file, {"run": run.name, "what": "put back"}) as writer:
        for repository in sorted(needed.repositories):
            writer.add(LineKind.REPOSITORY, repository)
        for digest in sorted(needed.blobs):
            writer.add(LineKind.BLOB, f"sha256:{digest.hex()}")
    try:
        done = run_errand(
            run.cluster,
            "undo",
            image=run.settings.small_image,
            window=window,
            kept_as=by_list.kept_as,
            seal=writer.seal,
            blocks=lambda: (file.getvalue(),),
            limit_seconds=PUT_BACK_SECONDS,
        )
    except (ExactPodError, PrunerLivesError, ClusterError) as error:
        raise NotPutBackError(f"It could not be put back: {error}") from error
    if not done.end.complete or done.end.ended is None:
        raise NotPutBackError(f"It could not be put back: {done.end.text()}")
    count = done.end.ended.blobs.done
    log.warning("Images name %d blobs of the list by now: %d put back", len(needed.blobs), count)
    return count

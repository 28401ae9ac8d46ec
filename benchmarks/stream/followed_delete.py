"""The task ``hard_prune`` from the moment on in which it defers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from include.registry_prune.tasks.hard_prune import HardPrune

if TYPE_CHECKING:
    from include.registry_prune.records import Record
    from include.registry_prune.run.run_context import Run

HOLDER = "following/benchmark"
ARMED_AT = datetime(2026, 11, 23, tzinfo=UTC)
POD = "image-registry-played"
POD_UID = "played"


class FollowedDelete(HardPrune):
    """Defers at once, to the trigger of a delete that has been at work for a while; resumes as ``hard_prune`` does."""

    def work(self, run: Run) -> Record:
        """Defer."""
        from include.registry_prune.deletion.handover import Delete
        from include.registry_prune.window.lease import DeleteAttempt, Holder, attempt_name

        begun_at = datetime.now(UTC) - timedelta(minutes=5)
        name = attempt_name(HOLDER, 1)
        attempt = DeleteAttempt(number=1, name=name, pod=POD, pod_uid=POD_UID, begun_at=begun_at)
        holder, ends_by = Holder(run=HOLDER, token=HOLDER), datetime.now(UTC) + timedelta(days=1)
        self._defer(run, Delete(holder=holder, attempt=attempt, ends_by=ends_by, expected_blobs=100_000))
        raise AssertionError("a task that defers does not come here")

"""What one process hands to the next that follows a delete (pure)."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from include.registry_prune.deletion.detached_log import LogPosition
from include.registry_prune.deletion.tripwire import Tripped
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.records import Record
from include.registry_prune.window.lease import DeleteAttempt, Earlier, Holder


class FollowSettings(Record):
    """How to follow; times in seconds.

    :param follow_every: how long one look stays in the pod before the next one takes over.
    :param patience: how long nothing may be known of the delete before it is given up as unknown.
    :param silence: after this long without another blob the log says so; 0: never.
    :param lease: how long the lease is valid from each renewal.
    """

    follow_every: float
    patience: float
    silence: float
    lease: float


class Delete(Record):
    """A delete to follow: everything that another process needs to go on.

    :param holder: whose window it is.
    :param attempt: the attempt to follow.
    :param position: how far its log was read.
    :param ends_by: then it is ended between two blobs: closing the window takes the rest of its time.
    :param expected_blobs: by the dry run; ``estimated_seconds``: how long all of it will take, by the gate.
    :param earlier: what the attempts before this one did.
    :param last_blob: the last one that this attempt has named.
    :param list_complete: no line about something deleted was lost in this attempt.
    """

    version: Literal[1] = 1
    holder: Holder
    attempt: DeleteAttempt
    ends_by: AwareDatetime
    position: LogPosition = LogPosition()
    expected_blobs: int | None = None
    estimated_seconds: float | None = None
    earlier: Earlier = Earlier()
    last_blob: str | None = None
    list_complete: bool = True

    def so_far(self) -> Earlier:
        """What this attempt and those before it did, for the next."""
        return Earlier(
            blobs=self.earlier.blobs + self.position.blobs,
            last_blob=self.last_blob or self.earlier.last_blob,
            list_complete=self.earlier.list_complete and self.list_complete,
        )


class DeleteEnd(Record):
    """What became of an attempt.

    :param delete: as it is now.
    :param result: of this attempt.
    :param interrupted: it was ended from outside; another one may go on from there.
    :param lost: why the delete was ended, by whoever followed it: the window is not this run's any more, or it is not
        known what Images name, or the tripwire; None if it was not.
    :param tripped: the pruner was at work on a blob that an Image names.
    """

    version: Literal[1] = 1
    delete: Delete
    result: PrunerResult
    interrupted: bool = False
    lost: str | None = None
    tripped: Tripped | None = None

"""The lease: the annotation on the Config CR that says which run opened the window (pure)."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from include.registry_prune.names import CONFIG
from include.registry_prune.records import Record

ANNOTATION = "registry-prune/lease"


class LeaseError(Exception):
    """The window may not be opened, or is not ours to close; the message says why and what to do."""


class TakenOverError(LeaseError):
    """Somebody else made the registry read-only again while a window was being closed: it is theirs now."""


class Earlier(Record):
    """What the attempts before one did.

    :param blobs: deleted by them, counted in their logs.
    :param last_blob: the last one that they named: it may be there still, and is then named again.
    :param list_complete: no line about something deleted was lost.
    """

    blobs: int = 0
    last_blob: str | None = None
    list_complete: bool = True


class DeleteAttempt(Record):
    """One start of the delete, in one pod: written into the lease before it is started there.

    :param number: from 1; the next is begun when this one was interrupted.
    :param name: what it is called in the pod; see :func:`attempt_name`.
    """

    number: int
    name: str
    pod: str
    pod_uid: str
    begun_at: AwareDatetime
    earlier: Earlier = Earlier()


def attempt_name(holder: str, armed_at: datetime, number: int) -> str:
    """Name of the folder of an attempt, and the value of its variable: the same for all who know of it.

    :param holder: ``dag_id/run_id``.
    :param armed_at: of the lease: a run that is cleared and arms anew does not find the attempts of its first window.
    """
    identity = hashlib.sha256(f"{holder} {armed_at.isoformat()}".encode()).hexdigest()[:16]
    return f"registry-prune-{identity}-{number}"


class Lease(Record):
    """Which run opened the window, when, until when, and what was there before.

    :param holder: ``dag_id/run_id`` of the run.
    :param armed_at: when it was written, before anything was changed.
    :param opened_at: when readOnly was patched to true; None before that.
    :param expires_at: when it may be taken away; moved on while the run works.
    :param image_pruner_suspended_before: ``spec.suspend`` of the ImagePruner; None if there is no ImagePruner.
    :param binding_ours: the role binding is this project's and goes with the run.
    :param delete_started_at: when a delete was begun; None if none was, so that no cache knows a deleted blob.
    :param attempt: the last start of the delete.
    :param closing_since: when somebody first set about closing the window.
    :param pods_before_closing: uids of the registry pods until no pruner lived: after a delete each has to be replaced.
    :param reopened_at: when readOnly was first set back; if it is true after that, somebody else has set it.
    """

    version: Literal[1] = 1
    holder: str
    run_url: str = ""
    armed_at: AwareDatetime
    opened_at: AwareDatetime | None = None
    expires_at: AwareDatetime
    read_only_before: bool = False
    image_pruner_suspended_before: bool | None = None
    binding_ours: bool = False
    delete_started_at: AwareDatetime | None = None
    attempt: DeleteAttempt | None = None
    closing_since: AwareDatetime | None = None
    pods_before_closing: tuple[str, ...] = ()
    reopened_at: AwareDatetime | None = None

    def to_annotation(self) -> str:
        """The annotation's value."""
        return self.model_dump_json(exclude_none=True)

    def opened(self, at: datetime) -> Lease:
        """The same lease once readOnly is patched; the first opening counts."""
        return self if self.opened_at else self.model_copy(update={"opened_at": at})

    def deleting(self, at: datetime) -> Lease:
        """The same lease once a delete is about to begin; the first one counts."""
        return self if self.delete_started_at else self.model_copy(update={"delete_started_at": at})

    def attempting(self, attempt: DeleteAttempt) -> Lease:
        """The same lease once this attempt of the delete is about to be started."""
        return self.deleting(attempt.begun_at).model_copy(update={"attempt": attempt})

    def closing(self, at: datetime, pods: tuple[str, ...]) -> Lease:
        """The same lease once somebody sets about closing the window; the first time counts."""
        if self.closing_since:
            return self
        return self.model_copy(update={"closing_since": at, "pods_before_closing": pods})

    def reopened(self, at: datetime, pods: tuple[str, ...]) -> Lease:
        """The same lease once readOnly is set back, with these pods besides those that were noted; the first time
        counts."""
        if self.reopened_at:
            return self
        noted = tuple(dict.fromkeys(self.pods_before_closing + pods))
        return self.model_copy(update={"reopened_at": at, "pods_before_closing": noted})

    def of_same_window(self, other: Lease | None) -> bool:
        """Whether both are the lease of one window: a run that arms again has another one."""
        return other is not None and (self.holder, self.armed_at) == (other.holder, other.armed_at)

    def renewed(self, until: datetime) -> Lease:
        """The same lease, valid until then."""
        return self.model_copy(update={"expires_at": until})

    def expired(self, now: datetime) -> bool:
        """Whether it may be taken away."""
        return self.expires_at <= now


def parse_lease(annotation: str | None) -> Lease | None:
    """Read the annotation back; None if there is none.

    :raises LeaseError: if it is no lease (somebody edited it).
    """
    if annotation is None:
        return None
    try:
        return Lease.model_validate_json(annotation)
    except ValidationError as error:
        raise LeaseError(
            f"The annotation {ANNOTATION} of Config cluster is no lease that this version can read: "
            f"{annotation[:300]!r}. See that no prune runs and the registry is read-write, then remove it: "
            f"{REMOVE_COMMAND}"
        ) from error


REMOVE_COMMAND = f"oc annotate {CONFIG} {ANNOTATION}-"


def check_may_arm(held: Lease | None, *, holder: str, read_only: bool, now: datetime) -> Lease | None:
    """Whether ``holder`` may write its lease now.

    :param held: the lease that is there.
    :param read_only: ``spec.readOnly`` as it is.
    :return: an expired lease of another run, whose window has to be closed first; else None.
    :raises LeaseError: another run holds the window, or somebody else made the registry read-only.
    """
    if held is not None and held.holder != holder and not held.expired(now):
        raise LeaseError(
            f"Another run holds the read-only window: {held.holder} since {held.armed_at:%Y-%m-%d %H:%M:%S %Z}, "
            f"until {held.expires_at:%Y-%m-%d %H:%M:%S %Z} {held.run_url}. A run that works moves that time on; if it "
            "is gone, the guard or the next run closes its window after that time."
        )
    if read_only and (held is None or held.opened_at is None):
        raise LeaseError(
            "Config cluster: spec.readOnly is already true and no lease of this project says why: somebody else made "
            "the registry read-only. It is left alone: neither pruned nor set back. Set spec.readOnly to false when "
            "its reason is gone."
        )
    return held if held is not None and held.holder != holder else None

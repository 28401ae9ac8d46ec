"""The lease: the annotation on the Config CR that says which run opened the window (pure).

How long one lasts is a cluster's setting ``lease`` (``settings/clusters.py``); here is what it says, and what of it is
believed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from include.registry_prune.names import CONFIG
from include.registry_prune.records import Record

ANNOTATION = "registry-prune/lease"
CLOSED_ANNOTATION = "registry-prune/closed-windows"
"""The tokens of the last windows that were closed, the newest first: none of them is opened again."""
KEPT_CLOSED = 20
"""A cleared task of a window that is older than these meets the look at the moment, which is too old by then."""

LONGEST_LEASE = timedelta(days=1)
LONGEST_WINDOW = timedelta(days=14)
"""No settings ask for more: a lease that claims more was not written by a run."""
CLOCKS = timedelta(minutes=10)
"""So far apart the clocks of two machines may be."""
_LARGEST_BYTES = 65_536
"""A lease has about 1 KiB, and 39 bytes for each registry pod. The API server takes 256 KiB for all annotations."""
LONGEST_TOKEN = 600
"""Characters of a token, and of any other text of a lease; an id of a DAG or a run has at most 250."""
_ATTEMPT_NAME = re.compile(r"registry-prune-[0-9a-f]{1,64}-[0-9]{1,6}")


class LeaseError(Exception):
    """The window may not be opened, or is not ours to close; the message says why and what to do."""


class TakenOverError(LeaseError):
    """Somebody else made the registry read-only again while a window was being closed: it is theirs now."""


class Holder(Record):
    """Whose a window is.

    :param run: ``dag_id/run_id`` of the run, for people. Two Airflows with one schedule have the same.
    :param token: the window's own name. It alone decides whose the window is: two windows never share one, be they of
        the same run.
    """

    run: str
    token: str

    @classmethod
    def of(cls, dag_id: str, run_id: str, token: str) -> Holder:
        """The holder of a window of this run."""
        return cls(run=f"{dag_id}/{run_id}", token=token)

    @property
    def dag_id(self) -> str:
        """Id of the run's DAG, which has no slash in it."""
        return self.run.partition("/")[0]

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.partition("/")[2]

    def text(self) -> str:
        """For people."""
        return self.run

    def of_run(self, run_token: str) -> bool:
        """Whether the window is one of this run's, of this time or an earlier one.

        :param run_token: the run's own name, with which the names of its windows begin.
        """
        return bool(run_token) and self.token.startswith(f"{run_token}-")


def new_window(run_token: str) -> str:
    """A token for one more window of a run; see :meth:`Holder.of_run`."""
    return f"{run_token}-{secrets.token_hex(4)}"


class _Kept(Record):
    """A part of the lease, read leniently: what a newer version has added is kept as it is, and written back."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Earlier(_Kept):
    """What the attempts before one did.

    :param blobs: deleted by them, counted in their logs.
    :param last_blob: the last one that they named: it may be there still, and is then named again.
    :param list_complete: no line about something deleted was lost.
    """

    blobs: int = Field(default=0, ge=0)
    last_blob: str | None = None
    list_complete: bool = True


class DeleteAttempt(_Kept):
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


def attempt_name(token: str, number: int) -> str:
    """Name of the folder of an attempt, and the value of its variable: the same for all who know of it.

    :param token: of the window: no window finds the attempts of another one, be it of the same run.
    """
    identity = hashlib.sha256(token.encode()).hexdigest()[:16]
    return f"registry-prune-{identity}-{number}"


class Lease(_Kept):
    """Which run opened the window, when, until when, and what was there before.

    :param holder: ``dag_id/run_id`` of the run.
    :param token: the window's own name. A lease of 0.1.0 has none; it is made of what names its window there.
    :param cluster_id: of the cluster that the window was armed on; empty if the cluster does not tell.
    :param armed_at: when it was written, before anything was changed.
    :param opened_at: when readOnly was patched to true; None before that.
    :param expires_at: when it may be taken away; moved on while the run works.
    :param must_end_by: when the registry has to take pushes again, and whoever looks closes the window; nothing moves
        it. None: a lease of 0.1.0, which knew no end.
    :param image_pruner_suspended_before: ``spec.suspend`` of the ImagePruner; None if there is no ImagePruner.
    :param binding_ours: the role binding is this project's and goes with the run.
    :param delete_started_at: when a delete was begun; None if none was, so that no cache knows a deleted blob.
    :param attempt: the last start of the delete.
    :param deletes_by_list: an exact delete may have been begun, in a pod of its own. Set before that pod is made.
    :param closing_since: when somebody first set about closing the window.
    :param pods_before_closing: uids of the registry pods until no pruner lived: after a delete each has to be replaced.
    :param reopened_at: when readOnly was first set back; if it is true after that, somebody else has set it.
    """

    version: int = 1
    holder: str
    token: str
    cluster_id: str = ""
    run_url: str = ""
    armed_at: AwareDatetime
    opened_at: AwareDatetime | None = None
    expires_at: AwareDatetime
    must_end_by: AwareDatetime | None = None
    read_only_before: bool = False
    image_pruner_suspended_before: bool | None = None
    binding_ours: bool = False
    delete_started_at: AwareDatetime | None = None
    attempt: DeleteAttempt | None = None
    deletes_by_list: bool = False
    closing_since: AwareDatetime | None = None
    pods_before_closing: tuple[str, ...] = ()
    reopened_at: AwareDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_window_of_old_lease(cls, value: Any) -> Any:
        if isinstance(value, dict) and "token" not in value and "holder" in value and "armed_at" in value:
            name = f"{value['holder']}@{value['armed_at']}"
            return {**value, "token": name.replace(" ", "_")}
        return value

    @property
    def owner(self) -> Holder:
        """Whose the window is."""
        return Holder(run=self.holder, token=self.token)

    def held_by(self, holder: Holder) -> bool:
        """Whether it is the lease of this window, and not of another one, be it of the same run."""
        return self.token == holder.token

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

    def deleting_by_list(self, at: datetime) -> Lease:
        """The same lease once the pod of an exact delete is about to be made."""
        return self.deleting(at).model_copy(update={"deletes_by_list": True})

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

    def renewed(self, until: datetime) -> Lease:
        """The same lease, valid until then."""
        return self.model_copy(update={"expires_at": until})

    def expired(self, now: datetime) -> bool:
        """Whether it may be taken away: nobody has renewed it, or its window's time is over, whoever renews it; or it
        is no run's."""
        return self.expires_at <= now or self.overdue(now) or self.claims_too_much(now)

    def overdue(self, now: datetime) -> bool:
        """Whether the registry should take pushes again by now."""
        return self.must_end_by is not None and self.must_end_by <= now

    def claims_too_much(self, now: datetime) -> bool:
        """Whether it claims to be good for longer than any run asks for: somebody has written it by hand."""
        far_end = self.must_end_by is not None and self.must_end_by - now > LONGEST_WINDOW + CLOCKS
        return far_end or self.expires_at - now > LONGEST_LEASE + CLOCKS

    @property
    def ends_at(self) -> datetime:
        """When somebody else closes the window, as far as it is known now."""
        return self.expires_at if self.must_end_by is None else min(self.expires_at, self.must_end_by)

    def end_text(self, now: datetime) -> str:
        """Why it is taken away, once it is expired."""
        if self.expires_at > now and not self.overdue(now):
            claimed = max(self.expires_at, self.must_end_by or self.expires_at)
            return f"its lease claims to be good until {claimed:%Y-%m-%d}, which no run asks for"
        if self.must_end_by is not None and self.must_end_by <= self.expires_at:
            return f"its window had to end by {self.must_end_by:%Y-%m-%d %H:%M:%S %Z}"
        return f"its lease ran out at {self.expires_at:%Y-%m-%d %H:%M:%S %Z}"


def parse_lease(annotation: str | None) -> Lease | None:
    """Read the annotation back; None if there is none.

    :raises LeaseError: if it is no lease (somebody edited it).
    """
    if annotation is None:
        return None
    try:
        return _checked(annotation)
    except ValueError as error:  # pydantic's is one, too
        raise LeaseError(
            f"The annotation {ANNOTATION} of Config cluster is no lease that this version can read: "
            f"{annotation[:300]!r}. See that no prune runs and the registry is read-write, then remove it: "
            f"{REMOVE_COMMAND}"
        ) from error


def _checked(annotation: str) -> Lease:
    """The lease, if it is such as a run writes: its texts go into logs, alerts and commands in pods.

    :raises ValueError: if it is not.
    """
    if len(annotation) > _LARGEST_BYTES:
        raise ValueError(f"it has {len(annotation):,} characters")
    lease = Lease.model_validate_json(annotation)
    for text in (lease.holder, lease.token, lease.cluster_id, lease.run_url, *lease.pods_before_closing):
        if len(text) > LONGEST_TOKEN or not text.isprintable():
            raise ValueError("a text in it is too long, or has characters that cannot be shown")
    attempt = lease.attempt
    if attempt is not None and not (_ATTEMPT_NAME.fullmatch(attempt.name) and attempt.pod.isprintable()):
        raise ValueError("no attempt of a delete has such a name")
    return lease


REMOVE_COMMAND = f"oc annotate {CONFIG} {ANNOTATION}-"


def check_may_arm(
    held: Lease | None, *, holder: Holder, closed: Collection[str], read_only: bool, now: datetime
) -> Lease | None:
    """Whether ``holder`` may write its lease now.

    :param held: the lease that is there.
    :param closed: tokens of the windows that were closed.
    :param read_only: ``spec.readOnly`` as it is.
    :return: an expired lease of another window, which has to be closed first; else None.
    :raises LeaseError: another run holds the window, this window was closed, or somebody else made the registry
        read-only.
    """
    if holder.token in closed or (held is not None and held.held_by(holder) and held.closing_since is not None):
        raise LeaseError(
            f"This window of {holder.text()} was closed, and a window is opened once: what was found and decided in it "
            "is of that time. To prune again, clear approve_window with all that comes after it, or trigger a new run."
        )
    others = held is not None and not held.held_by(holder)
    if held is not None and others and not held.expired(now):
        raise LeaseError(
            f"Another run holds the read-only window: {held.holder} since {held.armed_at:%Y-%m-%d %H:%M:%S %Z}, "
            f"until {held.ends_at:%Y-%m-%d %H:%M:%S %Z} {held.run_url}. A run that works may move that time on; if it "
            "is gone, the guard or the next run closes its window after that time."
        )
    if problem := read_only_of_others(held, read_only=read_only):
        raise LeaseError(problem)
    return held if others else None


def read_only_of_others(held: Lease | None, *, read_only: bool) -> str:
    """What to say of a registry that somebody else made read-only; empty if nobody did.

    :param held: the lease that is there.
    :param read_only: ``spec.readOnly`` as it is.
    """
    if not read_only or (held is not None and held.opened_at is not None):
        return ""
    return (
        "Config cluster: spec.readOnly is already true and no lease of this project says why: somebody else made "
        "the registry read-only. It is left alone: neither pruned nor set back. Set spec.readOnly to false when "
        "its reason is gone."
    )

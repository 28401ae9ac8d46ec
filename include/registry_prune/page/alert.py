"""A run that an alert begins: what Alertmanager posts to its webhook is held against a cluster's runs.

Of what is posted, only that something fires, since when, and in which group are looked at: no label and no annotation
becomes a parameter. The run has the cluster's defaults, and takes ``force`` for ``auto`` (``RunParameters.unforced``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Annotated, Literal

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.exceptions import DagRunAlreadyExists
from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunTriggeredByType
from fastapi import Depends, HTTPException, Request, status
from pydantic import AwareDatetime, BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from include.registry_prune.names import ALERT_RUN
from include.registry_prune.page.rights import TriggerableDag
from include.registry_prune.settings.parameters import validation_problem

LARGEST_BODY_BYTES = 2**20
"""A group of a thousand alerts; ``max_alerts`` of the receiver has fewer sent."""


class PostedAlert(BaseModel):
    """One alert of a group."""

    status: Literal["firing", "resolved"]
    startsAt: AwareDatetime  # noqa: N815  as Alertmanager calls it


class PostedGroup(BaseModel):
    """What Alertmanager posts: a group of alerts, in version 4 of its form, which is the only one that there is."""

    version: Literal["4"]
    groupKey: str  # noqa: N815  as Alertmanager calls it
    alerts: list[PostedAlert]

    @property
    def run_id(self) -> str:
        """Of the run that it asks for: the same as often as it is posted, until another alert of the group fires.
        Empty if none fires."""
        since = max((alert.startsAt for alert in self.alerts if alert.status == "firing"), default=None)
        group = sha256(self.groupKey.encode()).hexdigest()[:16]
        return "" if since is None else f"{ALERT_RUN}{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}__{group}"


@dataclass(frozen=True)
class Answer:
    """What became of it.

    :param run_id: of the run that is begun; None: none is, and ``why`` says why.
    """

    run_id: str | None
    why: str


async def posted_group(request: Request, dag: TriggerableDag) -> PostedGroup:
    """What was posted. It is read after the rights were looked at, and no more of it than is of use.

    :raises HTTPException: 413 if it is too much, 422 if it is nothing of Alertmanager's.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY_BYTES:
            raise HTTPException(
                status.HTTP_413_CONTENT_TOO_LARGE,
                f"More than {LARGEST_BODY_BYTES} bytes: give the receiver in Alertmanager max_alerts",
            )
    try:
        return PostedGroup.model_validate_json(bytes(body))
    except ValidationError as error:
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT,
            f"Not what Alertmanager posts to a webhook: {validation_problem(error)[:1000]}",
        ) from error


def begin_by_alert(
    dag: TriggerableDag, group: Annotated[PostedGroup, Depends(posted_group)], user: GetUserDep, session: SessionDep
) -> Answer:
    """Begin a run of a cluster, once for an alert.

    :raises HTTPException: 401, 403 and 404 as the rights say; 409 where no run can begin: Alertmanager counts that as
        a notification that failed, and posts again while the alert fires.
    """
    if not group.run_id:
        return Answer(None, "nothing fires any more")
    if dag.is_paused or dag.has_import_errors:
        why = "is paused" if dag.is_paused else "has import errors"
        raise HTTPException(status.HTTP_409_CONFLICT, f"{dag.dag_id} {why}: no run is begun")
    known = Answer(None, f"run {group.run_id} has been begun for it")
    mine = select(DagRun.run_id).where(DagRun.dag_id == dag.dag_id)
    if session.scalar(mine.where(DagRun.run_id == group.run_id)):
        return known
    at_work = session.scalar(mine.where(DagRun.state.in_(("queued", "running"))).limit(1))
    if at_work:
        return Answer(None, f"run {at_work} is at work, or will be; the alert may begin another when it is over")
    try:
        trigger_dag(
            dag.dag_id,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=user.get_name(),
            run_id=group.run_id,
            conf={},
            note="Begun by an alert of Alertmanager.",
            session=session,
        )
        session.flush()
    except (DagRunAlreadyExists, IntegrityError):  # posted twice at once, as by two Alertmanagers
        session.rollback()
        return known
    return Answer(group.run_id, "begun")

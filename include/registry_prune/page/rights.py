"""Who may see what: whoever may read a DAG, its runs, its tasks and its XComs, which the reports are.

Who may begin a run: whoever may by Airflow's own API.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, status
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from include.registry_prune.settings.clusters import BASE_DAG_ID

_READ = (None, DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)


def may_read(user: BaseUser, dag_id: str | None) -> bool:
    """Whether a user may read a DAG and what its runs left; None: any DAG at all."""
    details = None if dag_id is None else _details(dag_id)
    manager = get_auth_manager()
    return all(
        manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user) for entity in _READ
    )


def may_trigger(user: BaseUser, dag_id: str) -> bool:
    """Whether a user may begin a run of a DAG."""
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=_details(dag_id), user=user
    )


def _details(dag_id: str) -> DagDetails:
    return DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))


def readable_dags(user: GetUserDep, session: SessionDep) -> list[DagModel]:
    """This project's DAGs that a user may read.

    :raises HTTPException: 401 for an unknown user, 403 for one who may read no DAG.
    """
    dags = [dag for dag in session.scalars(_our_dags()).all() if may_read(user, dag.dag_id)]
    if not dags and not may_read(user, None):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden: you may read none of the registry's DAGs")
    return dags


def readable_dag(dag_id: str, user: GetUserDep, session: SessionDep) -> DagModel:
    """One of them.

    :raises HTTPException: 401 for an unknown user; 403 for one who may not read it. Whoever may not read it does not
        learn whether it is there.
    """
    if not may_read(user, dag_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"Forbidden: you may not read the runs of {dag_id}")
    return _our_dag(dag_id, session)


def triggerable_dag(dag_id: str, user: GetUserDep, session: SessionDep) -> DagModel:
    """One whose runs the user may begin.

    :raises HTTPException: as :func:`readable_dag`.
    """
    if not may_trigger(user, dag_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"Forbidden: you may not trigger {dag_id}")
    return _our_dag(dag_id, session)


def _our_dag(dag_id: str, session: Session) -> DagModel:
    dag: DagModel | None = session.scalar(_our_dags().where(DagModel.dag_id == dag_id))
    if dag is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{dag_id} is no DAG of this project")
    return dag


def _our_dags() -> Select[DagModel]:
    ours = or_(DagModel.dag_id == BASE_DAG_ID, DagModel.dag_id.startswith(f"{BASE_DAG_ID}_", autoescape=True))
    return select(DagModel).where(ours, DagModel.is_stale.is_(False)).order_by(DagModel.dag_id)


ReadableDags = Annotated[list[DagModel], Depends(readable_dags)]
ReadableDag = Annotated[DagModel, Depends(readable_dag)]
TriggerableDag = Annotated[DagModel, Depends(triggerable_dag)]


def dag_ids(dags: Iterable[DagModel]) -> list[str]:
    """Their ids."""
    return [dag.dag_id for dag in dags]

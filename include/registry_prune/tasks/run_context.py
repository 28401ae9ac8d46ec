"""One run as its tasks see it: who it is, what it was asked to do, what earlier tasks handed over, its cluster."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk import Asset, TaskInstanceState
from airflow.sdk.bases.hook import BaseHook

from include.registry_prune.records import Record
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import RunParameters, parse_parameters
from include.registry_prune.verdict.history import History, PastRun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from airflow.sdk import Context

    from include.registry_prune.cluster.cluster import Cluster

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

_READ_EVENTS = 60
"""Runs that failed early leave an event that says nothing: so many are read to find the twenty that count."""


def history_asset(settings: ClusterSettings) -> Asset:
    """What the runs of a cluster leave to later ones: each report is an event of this asset, with a ``PastRun``."""
    return Asset(name=f"{settings.dag_id} runs", group="registry-prune")


class Run:
    """One DAG run, made from the context of one of its tasks."""

    def __init__(self, context: Context, settings: ClusterSettings) -> None:
        self.context = context
        self.settings = settings
        self.dag_id = str(context["dag_run"].dag_id)
        self.run_id = str(context["run_id"])

    @property
    def holder(self) -> str:
        """The run's name in the lease."""
        return f"{self.dag_id}/{self.run_id}"

    @property
    def url(self) -> str:
        """The run's page in Airflow's UI; empty if Airflow does not know its own address."""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}/dags/{quote(self.dag_id)}/runs/{quote(self.run_id)}" if base else ""

    @cached_property
    def parameters(self) -> RunParameters:
        """What this run was asked to do.

        :raises SettingsError: if it was asked something wrong, unknown keys included.
        """
        asked: Mapping[str, Any] = self.context["dag_run"].conf or {}
        return parse_parameters(asked, self.settings.parameters)

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster, by the run's Airflow connection.

        :raises ClusterError: if there is no such connection, or it cannot be used.
        """
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        from include.registry_prune.cluster.cluster import Cluster
        from include.registry_prune.cluster.error import ClusterError

        connection = self.settings.connection
        advice = f"Make a connection {connection} of type kubernetes (docs/connection.md) for the cluster to prune."
        try:
            # Without a connection the hook falls back to ~/.kube/config: whichever cluster that is.
            BaseHook.get_connection(connection)
        except AirflowNotFoundException as error:
            raise ClusterError(f"There is no Airflow connection {connection}. {advice}", 404) from error
        try:
            return Cluster(KubernetesHook(conn_id=connection).get_conn())
        except Exception as error:  # the hook and the client raise a dozen kinds for a bad kubeconfig
            raise ClusterError(f"Airflow connection {connection} cannot be used: {error}. {advice}", 400) from error

    def lease_keeper(self) -> AbstractContextManager[None]:
        """Keeps this run's lease from running out while a task works, and no longer than the task may take; a context
        manager."""
        from include.registry_prune.window.lease_keeper import lease_kept

        lasts, limit = timedelta(seconds=self.settings.seconds("lease")), self.context["task"].execution_timeout
        no_longer_than = None if limit is None else limit.total_seconds()
        return lease_kept(self.cluster, holder=self.holder, lasts=lasts, no_longer_than=no_longer_than)

    def is_over(self, holder: str) -> bool:
        """Whether Airflow knows that the run of a lease's holder has ended; False if it does not know that run."""
        dag_id, _, run_id = holder.partition("/")
        try:
            state = self.context["ti"].get_dagrun_state(dag_id, run_id)
        except Exception as error:  # the execution API has no kind of its own for an unknown run
            log.warning("Airflow does not tell the state of run %s: %s", holder, error)
            return False
        return str(state) in ("success", "failed")

    def another_is_at_work(self, holder: str) -> bool:
        """Whether another run of the DAG of a lease's holder is at work. A DAG has one active run at a time, so there
        is none while the holder's own is not over."""
        if not self.is_over(holder):
            return False
        try:
            running = self.context["ti"].get_dr_count(holder.partition("/")[0], states=["running"])
        except Exception as error:  # as in is_over
            log.warning("Airflow does not tell whether a run beside %s is at work: %s", holder, error)
            return False
        return bool(running)

    @property
    def started_at(self) -> datetime | None:
        """When Airflow started the run, if it knows."""
        return self.context["dag_run"].start_date

    @property
    def asked_by(self) -> str:
        """Who triggered the run, for the report."""
        user = getattr(self.context["dag_run"], "triggering_user_name", None)
        return str(user) if user else "whoever triggered the run"

    def history(self) -> History:
        """The earlier runs of this cluster. A task that reads it has the asset among its inlets."""
        events = self.context["inlet_events"][history_asset(self.settings)].ascending(False).limit(_READ_EVENTS)
        return History.of(event.extra for event in events)

    def remember(self, run: PastRun) -> None:
        """Leave this run to later ones, once the task has ended well. It has the asset among its outlets."""
        self.context["outlet_events"][history_asset(self.settings)].extra = run.to_json()

    def result(self, task_id: str, kind: type[R], key: str = "return_value") -> R | None:
        """What an earlier task handed over; None if it handed over nothing."""
        value = self.context["ti"].xcom_pull(task_ids=task_id, key=key)
        return None if value is None else kind.from_json(value)

    def last_result(self, kind: type[R]) -> R | None:
        """What this task handed over in the last run of its DAG in which it ended well; None if that is not known."""
        ti: Any = self.context["ti"]
        try:
            last = ti.get_previous_ti(state=TaskInstanceState.SUCCESS)
            value = None if last is None else ti.xcom_pull(task_ids=ti.task_id, run_id=last.run_id)
            return None if value is None else kind.from_json(value)
        except Exception as error:  # the execution API's, and pydantic's where another version has written it
            log.warning("What %s handed over in the run before is not known: %s", ti.task_id, error)
            return None

    def task_states(self) -> dict[str, Any]:
        """The state of each task of this run, as Airflow has it now."""
        states: dict[str, Any] = self.context["ti"].get_task_states(dag_id=self.dag_id, run_ids=[self.run_id])
        return dict(states.get(self.run_id, {}))

    @property
    def has_another_try(self) -> bool:
        """Whether Airflow tries this task again if it fails now."""
        ti: Any = self.context["ti"]
        return bool(ti.try_number <= ti.max_tries)

    def hand_over(self, record: Record, key: str = "return_value") -> None:
        """Hand a result over now: for a task that goes on to fail or skip, and so returns nothing."""
        self.context["ti"].xcom_push(key, record.to_json())

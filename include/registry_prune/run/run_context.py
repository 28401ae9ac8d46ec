"""One run as its tasks see it: who it is, what it was asked to do, what earlier tasks handed over, its cluster."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import TaskInstanceState
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from include.registry_prune.connection import connect
from include.registry_prune.fleet.others import release_turn
from include.registry_prune.names import ALERT_RUN
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.records import Record, WindowRecord
from include.registry_prune.report.links import run_url
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.opening_hours import OpeningHours, parse_opening_hours
from include.registry_prune.settings.parameters import RunParameters, parse_parameters
from include.registry_prune.window.lease import Holder, Lease, LeaseError, new_window
from include.registry_prune.window.window_end import WindowEnd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from airflow.sdk import Context

    from include.registry_prune.cluster.cluster import Cluster
    from include.registry_prune.preflight.access import AccessReview
    from include.registry_prune.window.closing import ClosingLimits

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)
W = TypeVar("W", bound=WindowRecord)

RUN_TOKEN = "run_token"  # noqa: S105 - a name, and no secret
"""The XCom, and the key in the state store, of the run's own name."""
CLUSTER_ID = "cluster_id"
"""The key in the state store of the cluster that the run belongs to."""


class Run:
    """One DAG run, made from the context of one of its tasks."""

    def __init__(self, context: Context, settings: ClusterSettings) -> None:
        self.context = context
        self.settings = settings
        self.dag_id = str(context["dag_run"].dag_id)
        self.run_id = str(context["run_id"])

    @property
    def name(self) -> str:
        """The run's name for people. Two Airflows with one schedule have the same."""
        return f"{self.dag_id}/{self.run_id}"

    @cached_property
    def identity(self) -> str:
        """The run's name in what it makes outside: Jobs, checks, role bindings. No other run has the same, be it one of
        another Airflow with the same schedule."""
        return f"{self.name} {self.token}"

    @cached_property
    def token(self) -> str:
        """The run's own name, by which it knows its windows again; see :meth:`name_run`. Empty if it has none yet."""
        return str(self.context["ti"].xcom_pull(task_ids="verify_access", key=RUN_TOKEN) or "")

    def name_run(self) -> None:
        """Give the run a name that no other one has, be it of another Airflow with the same schedule.

        It is kept where it survives that the task is tried again or cleared: what an earlier time left behind is known
        by it.
        """
        kept = self.context["task_state_store"]
        token = kept.get(RUN_TOKEN)
        if not token:
            token = secrets.token_hex(8)
            kept.set(RUN_TOKEN, token, retention=NEVER_EXPIRE)
        self.context["ti"].xcom_push(RUN_TOKEN, token)
        self.token = str(token)

    @cached_property
    def window(self) -> Holder:
        """This run's window.

        :raises LeaseError: if ``approve_window``, which gives it its name, did not come to its end.
        """
        approval = self.result("approve_window", Approval)
        if approval is None or not approval.window:
            raise LeaseError(
                f"{self.name} has no window: approve_window, which gives it its name, handed nothing over. Clear "
                "approve_window with all that comes after it."
            )
        return Holder.of(self.dag_id, self.run_id, approval.window)

    def new_window(self) -> str:
        """A name for one more window of this run.

        :raises LeaseError: if the run has no name: ``verify_access``, which gives it, did not come to its end.
        """
        if not self.token:
            raise LeaseError(
                "verify_access has not given this run its name: clear verify_access with all that follows."
            )
        return new_window(self.token)

    def close_dead_window(self) -> None:
        """Close the window of a run that is gone, or of an earlier time of this one: before anything else is begun.

        :raises AirflowException: if it could not be closed; another try goes on.
        """
        from include.registry_prune.cluster.settling import NotSettledError
        from include.registry_prune.pruner.processes import PrunerLivesError
        from include.registry_prune.window.guard import guard

        def is_over(holder: Holder) -> bool:
            return holder.of_run(self.token) or self.is_over(holder)

        try:
            seen = guard(self.cluster, limits=closing_limits(self.settings), run_is_over=is_over)
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        release_turn(self.settings, seen.closed_run)

    def of_window(self, task_id: str, kind: type[W], key: str = "return_value") -> W:
        """What a task handed over for this run's window. Its state says nothing: a person may have marked it.

        :raises LeaseError: if it handed over nothing, or something of another window.
        """
        found = self.result(task_id, kind, key)
        if found is None or found.window != self.window.token:
            what = "nothing" if found is None else "only what it found for an earlier window"
            raise LeaseError(
                f"{task_id} has handed over {what}, so nothing is begun on it, whatever state it shows. Clear "
                "approve_window with all that comes after it, or trigger a new run."
            )
        return found

    @cached_property
    def window_end(self) -> WindowEnd:
        """When this run's window has to end, as it was armed.

        :raises LeaseError: if ``arm_window`` handed nothing over for it.
        """
        armed = self.result("arm_window", Lease)
        if armed is None or not armed.held_by(self.window) or armed.must_end_by is None:
            raise LeaseError(
                "arm_window has not handed over when this run's window has to end. Clear approve_window with all that "
                "comes after it, or trigger a new run."
            )
        return WindowEnd(armed.must_end_by)

    @property
    def url(self) -> str:
        """The run's page in Airflow's UI; empty if Airflow does not know its own address."""
        return run_url(self.dag_id, self.run_id)

    @cached_property
    def parameters(self) -> RunParameters:
        """What this run was asked to do.

        :raises SettingsError: if it was asked something wrong, unknown keys included.
        """
        asked: Mapping[str, Any] = self.context["dag_run"].conf or {}
        parameters = parse_parameters(asked, self.settings.parameters)
        return parameters.unforced if self.begun_by_event else parameters

    @property
    def begun_by_event(self) -> bool:
        """Whether an event of an asset or an alert began the run, and neither a person nor the schedule."""
        return self.run_id.startswith(ALERT_RUN) or self.context["dag_run"].run_type == "asset_triggered"

    @property
    def hours(self) -> OpeningHours:
        """When this run may open a window."""
        return parse_opening_hours("", "UTC") if self.parameters.ignore_opening_hours else self.settings.hours

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster, by the run's Airflow connection.

        :raises ClusterError: if there is no such connection, or it cannot be used.
        """
        cluster = connect(self.settings.connection)
        self._require_same_cluster(cluster)
        return cluster

    def _require_same_cluster(self, cluster: Cluster) -> None:
        """A connection may be pointed elsewhere while a run works; what it found is of the cluster that it began on.

        :raises ClusterError: if this is another one.
        """
        from include.registry_prune.preflight.access import AccessReview

        if self.context["ti"].task_id == "verify_access":
            return
        began = self.result("verify_access", AccessReview)
        if began is not None:
            self._require_cluster(began.cluster_id, cluster.cluster_id(), cluster.server, then=began.server)
            return
        # Cleared, verify_access has handed nothing over until it has ended well once more.
        armed = self.result("arm_window", Lease)
        if armed is not None and armed.cluster_id:
            self._require_cluster(armed.cluster_id, cluster.cluster_id(), cluster.server)

    def stay_on(self, review: AccessReview) -> None:
        """A run belongs to the cluster that it began on, also where its first task is cleared; as :meth:`name_run`.

        :raises ClusterError: if this is another one.
        """
        kept = self.context["task_state_store"]
        began_on = kept.get(CLUSTER_ID)
        if began_on:
            self._require_cluster(str(began_on), review.cluster_id, review.server)
        elif review.cluster_id:
            kept.set(CLUSTER_ID, review.cluster_id, retention=NEVER_EXPIRE)

    def _require_cluster(self, began_on: str, now: str, server: str, *, then: str = "another address") -> None:
        from include.registry_prune.cluster.error import ClusterError

        if now != began_on:
            raise ClusterError(
                f"Airflow connection {self.settings.connection} points to another cluster than when this run began: "
                f"then {then} (cluster id {began_on or 'not told'}), now {server} (cluster id {now or 'not told'}). "
                "Nothing is changed there. If this run has opened its window, the registry of the first is read-only "
                "until it is closed: point the connection back, and clear restore_read_write if its tries are used up; "
                "without Airflow: docs/on-call.md. For the other cluster trigger a new run.",
                409,
            )

    def lease_keeper(self, holder: Holder | None = None) -> AbstractContextManager[None]:
        """Keeps the lease of a window from running out while a task works, and no longer than the task may take; a
        context manager.

        :param holder: whose; this run's window if it is not given.
        """
        from include.registry_prune.window.lease_keeper import lease_kept

        lasts, limit = timedelta(seconds=self.settings.seconds("lease")), self.context["task"].execution_timeout
        no_longer_than = None if limit is None else limit.total_seconds()
        return lease_kept(self.cluster, holder=holder or self.window, lasts=lasts, no_longer_than=no_longer_than)

    def is_over(self, holder: Holder) -> bool:
        """Whether this Airflow opened a window and knows its run as ended.

        By the token, and not by the run's name: another Airflow may have a run of the same name, which is at work.
        """
        ti: Any = self.context["ti"]
        try:
            if str(ti.get_dagrun_state(holder.dag_id, holder.run_id)) not in ("success", "failed"):
                return False
            token = ti.xcom_pull(task_ids="verify_access", dag_id=holder.dag_id, run_id=holder.run_id, key=RUN_TOKEN)
            return bool(token) and holder.of_run(str(token))
        except Exception as error:  # the execution API has no kind of its own for an unknown run
            log.warning("Airflow does not tell the state of run %s: %s", holder.text(), error)
            return False

    def is_owner_over(self, owner: str) -> bool:
        """Whether the run of this :attr:`identity` is over, or one of a version that did not say whose a binding is."""
        name, _, token = owner.partition(" ")
        return not owner or self.is_over(Holder(run=name, token=f"{token}-"))

    def another_is_at_work(self, holder: Holder) -> bool:
        """Whether another run of the DAG of a lease's holder is at work. A DAG has one active run at a time, so there
        is none while the holder's own is not over."""
        if not self.is_over(holder):
            return False
        try:
            running = self.context["ti"].get_dr_count(holder.dag_id, states=["running"])
        except Exception as error:  # as in is_over
            log.warning("Airflow does not tell whether a run beside %s is at work: %s", holder.text(), error)
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


def closing_limits(settings: ClusterSettings, *, revokes_role: bool = True) -> ClosingLimits:
    """The limits for closing a window of this cluster."""
    from include.registry_prune.window.closing import ClosingLimits

    return ClosingLimits(
        settle_seconds=settings.seconds("settle_limit"),
        stop_seconds=settings.seconds("pruner_stop"),
        reopen_anyway_seconds=settings.seconds("reopen_anyway"),
        revokes_role=revokes_role,
    )

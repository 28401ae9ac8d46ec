"""Alerts, as Airflow callbacks: what each says of the run, or of the guard's round, that it comes from.

Where callbacks do not fire (a worker that is killed, a run that a person marks), the guard and the next run tell.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from include.registry_prune.alerts.delivery import resolve, tell
from include.registry_prune.alerts.message import FACTS, GUARD_FAILED, UNEXPLAINED, Facts, Incident, Message, Status
from include.registry_prune.names import TAKE_PUSHES_COMMAND
from include.registry_prune.report.links import run_url
from include.registry_prune.report.metrics import emit
from include.registry_prune.settings.alerting import AlertKind
from include.registry_prune.units import format_seconds

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from include.registry_prune.report.report import RunReport
    from include.registry_prune.settings.clusters import ClusterSettings

__all__ = ["Alert", "AlertKind", "ImageLostError", "ImagesBrokenError"]

log = logging.getLogger(__name__)

_AFTER_A_GOOD_LOOK = (Incident.WINDOW, Incident.RESTORE, Incident.GUARD, Incident.UNEXPLAINED)
_RESTORED = {AlertKind.RESTORE_FAILED: 1.0, AlertKind.READ_WRITE: 0.0}
_GATES = ("survey_gate", "blob_threshold")
_OUTCOMES = {
    "pruned": AlertKind.PRUNED,
    "slice": AlertKind.SLICE,
    "end not known": AlertKind.END_NOT_KNOWN,
}
"""What a run that Airflow calls good is told as; any other outcome is *skipped*."""


class ImageLostError(AirflowFailException):
    """A blob that an Image names was deleted: the loudest failure there is. The message says which, whose, and what to
    do."""


class ImagesBrokenError(AirflowFailException):
    """Images are broken that were whole before the run; the message names them."""


class Alert(BaseNotifier):
    """One kind of alert for one cluster. What it says: ``message.py``; how it goes out: ``delivery.py``.

    :param kind: what it is about. Of a good run's end (``PRUNED``) and of the guard's rounds it is found out in detail.
    :param cluster: settings of the cluster.
    :param question: of an approval that is wanted; of a window that is near its end: what is known of it.
    :param tried_again: the task that failed has further tries.
    """

    def __init__(
        self, kind: AlertKind, cluster: ClusterSettings, question: str = "", *, tried_again: bool = False
    ) -> None:
        super().__init__()
        self.kind = kind
        self.cluster = cluster
        self.question = question
        self.tried_again = tried_again

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Do nothing: no text of an alert is a template. Airflow would ask the DAG for an environment, and in ``airflow
        dags test`` the DAG of a callback has none."""

    def notify(self, context: Context) -> None:
        """Write the alert to the log, then send it. It never raises: the log says if it did not get out."""
        if self.kind is AlertKind.GUARD and not self.question:
            self._tell_of_round(context)
            return
        message = self.message(context)
        if message is None:
            return
        if message.kind in _RESTORED:
            emit(self.cluster.name, {"restore_failed": _RESTORED[message.kind]})
        tell(message, self.cluster)

    def message(self, context: Context) -> Message | None:
        """What is sent; None if there is nothing to say."""
        kind, dag_id = self.kind, self.cluster.dag_id
        if kind in (AlertKind.GUARD, AlertKind.APPROVAL, AlertKind.TEST):
            kind = AlertKind.WINDOW_ENDING if kind is AlertKind.GUARD else kind
            return self._message(context, kind, self.question)
        if kind in (AlertKind.IMAGE_LOST, AlertKind.IMAGES_BROKEN):
            # Of a task that may fail of other things, too: then the run's own alert tells of it.
            error = context.get("exception")
            loud = ImageLostError if kind is AlertKind.IMAGE_LOST else ImagesBrokenError
            return self._message(context, kind, str(error)) if isinstance(error, loud) else None
        if kind is AlertKind.RESTORE_FAILED:
            return self._message(context, kind, self._restore_text(context), report=_report(context, self.cluster))
        if kind is AlertKind.READ_ONLY:
            return self._read_only(context)
        if kind is AlertKind.READ_WRITE:
            return self._read_write(context)
        if kind is AlertKind.BACKLOG:
            return self._backlog(context)
        report = _report(context, self.cluster)
        said = report.text() if report else f"Hard prune of {self.cluster.name}: no report"
        if kind is AlertKind.RUN_FAILED:
            stopped = report and report.verdict == "stop" and any(task in _GATES for task in report.failed_tasks)
            text = f"{said}\nAirflow says: {context.get('reason') or 'the run failed'}"
            return self._message(context, AlertKind.STOPPED if stopped else kind, text, dag_id=dag_id, report=report)
        if report is None:
            return None
        return self._message(context, _OUTCOMES.get(str(report.outcome), AlertKind.SKIPPED), said, report=report)

    def _message(
        self,
        context: Context,
        kind: AlertKind,
        text: str,
        *,
        facts: Facts | None = None,
        dag_id: str = "",
        report: RunReport | None = None,
        until: datetime | None = None,
    ) -> Message:
        facts = facts or FACTS[kind]
        dag_id, run_id = dag_id or self.cluster.dag_id, str(context.get("run_id") or "")
        return Message(
            kind=kind,
            status=Status.SAID if facts.incident is None else Status.FIRING,
            severity=facts.severity,
            cluster=self.cluster.name,
            dag_id=dag_id,
            run_id=run_id,
            run_url=run_url(dag_id, run_id),
            text=text,
            next_step=facts.next_step,
            runbook=f"{self.cluster.runbooks.rstrip('/')}/{facts.runbook}.md",
            at=datetime.now(UTC),
            until=until,
            incident=facts.incident,
            resolves=facts.resolves,
            report=report.to_json() if report else None,
        )

    def _read_only(self, context: Context) -> Message:
        lease = _handed_over(context, "arm_window") or {}
        end = lease.get("must_end_by")
        until = datetime.fromisoformat(end) if end else None
        ends = f"at the latest by {until:%Y-%m-%d %H:%M:%S %Z}" if until else "when it has deleted what it found"
        return self._message(
            context,
            self.kind,
            f"The registry of cluster {self.cluster.name} is read-only for its hard prune, by run "
            f"{context.get('run_id')}: pushes are refused. The run sets it back by itself, {ends}.",
            until=until,
        )

    def _read_write(self, context: Context) -> Message | None:
        settled = _handed_over(context, "restore_read_write")
        seconds = settled.get("read_only_seconds") if settled else None
        if not seconds:
            # Nothing was open, or somebody else has closed it and told of it.
            return None
        took = format_seconds(seconds)
        return self._message(
            context, self.kind, f"The registry of cluster {self.cluster.name} takes pushes again, after {took}."
        )

    def _backlog(self, context: Context) -> Message | None:
        """Whether slices get nowhere, or what is left grows from run to run; else that it does not any more."""
        from include.registry_prune.report.backlog import backlog_text, recent_reports

        try:
            reports = recent_reports(self.cluster)
            newest = reports[0].backlog if reports else ""
            text = newest or backlog_text(reports, self.cluster.parameters.thresholds)
        except OSError as error:
            log.warning("Whether the backlog shrinks is not known: %s", error)
            return None
        message = self._message(context, self.kind, text or "The backlog shrinks, or is below the thresholds.")
        if text is None:
            self._resolve(message, (Incident.BACKLOG,))
        return message if text else None

    def _resolve(self, message: Message, incidents: tuple[Incident, ...]) -> None:
        resolve(
            message.model_copy(update={"incident": None, "status": Status.SAID, "resolves": incidents}), self.cluster
        )

    def _tell_of_round(self, context: Context) -> None:
        """Of the guard's own tasks: what the guard could not do, or what it did if that is worth an alert."""
        task = context["ti"]
        error = context.get("exception")
        guards: dict[str, Any] = {"dag_id": str(task.dag_id)}
        if error is not None:
            text = f"The guard could not look after the registry of cluster {self.cluster.name}: {error}"
            tell(self._message(context, self.kind, text, facts=GUARD_FAILED, **guards), self.cluster)
            return
        seen = task.xcom_pull(task_ids=task.task_id)
        if not seen:
            return
        unexplained = seen["found"] == "read-only without a lease"
        at_work = unexplained or seen["found"] in ("a run is at work", "a window is near its end")
        facts = UNEXPLAINED if unexplained else None
        message = self._message(context, self.kind, seen["message"], facts=facts, **guards)
        if seen["alert"]:
            tell(message, self.cluster)
        over = (Incident.GUARD,) if at_work else _AFTER_A_GOOD_LOOK
        self._resolve(message, over)
        self._tell_of_token(context, seen.get("token_expires_at"))

    def _tell_of_token(self, context: Context, expires_at: str | None) -> None:
        if expires_at is None:
            return
        ends = datetime.fromisoformat(expires_at)
        left = ends - datetime.now(UTC)
        text = (
            f"The token of Airflow connection {self.cluster.connection}, for cluster {self.cluster.name}, expires at "
            f"{ends:%Y-%m-%d %H:%M %Z}, in {max(left.days, 0)} days. From then on neither runs nor guard reach the "
            "cluster."
        )
        message = self._message(context, AlertKind.TOKEN_ENDING, text)
        if left.total_seconds() > self.cluster.seconds("token_warning"):
            self._resolve(message, (Incident.TOKEN,))
        else:
            tell(message, self.cluster)

    def _restore_text(self, context: Context) -> str:
        next_step = "Airflow does not try again."
        if self.tried_again:
            task = context["ti"]
            next_step = f"This was try {task.try_number} of {task.max_tries + 1}: Airflow tries again by itself."
        return (
            f"The read-only window of cluster {self.cluster.name} could not be closed: {context.get('exception')}\n"
            f"{next_step} Where spec.readOnly of Config cluster is true, pushes and builds fail until somebody sets it "
            f"back. By hand (docs/on-call.md): end every pruner first, then {TAKE_PUSHES_COMMAND}"
        )


def _handed_over(context: Context, task_id: str) -> dict[str, Any] | None:
    """What a task of this run handed over; None if it is not known: an alert without it beats none."""
    try:
        value = context["ti"].xcom_pull(task_ids=task_id)
    except Exception as error:  # the execution API's
        log.warning("What %s handed over is not known: %s", task_id, error)
        return None
    return value if isinstance(value, dict) else None


def _report(context: Context, cluster: ClusterSettings) -> RunReport | None:
    """The run's report from XCom; None if there is none, or if it cannot be read: an alert without it beats none.

    A DAG's callback runs in the dag-processor, perhaps without a task instance.
    """
    from airflow.sdk.execution_time.xcom import XCom

    from include.registry_prune.report.report import RunReport

    run_id = context.get("run_id")
    if run_id is None:
        return None
    try:
        stored = XCom.get_one(key="return_value", dag_id=cluster.dag_id, task_id="report", run_id=str(run_id))
        return None if stored is None else RunReport.from_json(stored)
    except Exception as error:  # Airflow's and pydantic's; and ImportError where no API server is at hand
        log.warning("The report of run %s cannot be read: %s", run_id, error)
        return None

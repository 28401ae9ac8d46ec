"""Alerts, as Airflow callbacks: to the log, and to a URL if the cluster's settings name a connection."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from include.registry_prune.names import TAKE_PUSHES_COMMAND

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from include.registry_prune.report.report import RunReport
    from include.registry_prune.settings.clusters import ClusterSettings

log = logging.getLogger(__name__)

POST_LIMIT_SECONDS = 10
"""A receiver that does not answer may not hold up the dag-processor, or the task, that the alert comes from."""


class AlertKind(StrEnum):
    """What an alert is about."""

    RUN_FAILED = "run failed"
    RESTORE_FAILED = "restore failed"
    IMAGE_LOST = "image lost"
    PRUNED = "pruned"
    END_NOT_KNOWN = "end not known"
    """Of a run that Airflow calls good: a delete began, and nobody saw its end."""
    GUARD = "guard"
    APPROVAL = "approval"


_LEVELS = {
    AlertKind.RUN_FAILED: logging.ERROR,
    AlertKind.RESTORE_FAILED: logging.CRITICAL,
    AlertKind.IMAGE_LOST: logging.CRITICAL,
    AlertKind.PRUNED: logging.INFO,
    AlertKind.END_NOT_KNOWN: logging.ERROR,
    AlertKind.GUARD: logging.CRITICAL,
    AlertKind.APPROVAL: logging.WARNING,
}


class ImageLostError(AirflowFailException):
    """A blob that an Image names was deleted: the loudest failure there is. The message says which, whose, and what to
    do."""


class Alert(BaseNotifier):
    """One kind of alert for one cluster.

    Posted as JSON: ``alert``, ``cluster``, ``dag_id``, ``run_id``, ``text``, and ``report`` (see ``report.py``; null if
    the run got no report).

    :param kind: what it is about.
    :param cluster: settings of the cluster.
    :param question: of an approval that is wanted.
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
        """Write the alert to the log, then post it. It never raises: the log says if it could not be posted."""
        body = self.body(context)
        if body is None:
            return
        log.log(_LEVELS[AlertKind(body["alert"])], "ALERT %s: %s", body["alert"], body["text"])
        if not self.cluster.alert_connection:
            return
        from airflow.providers.http.notifications.http import HttpNotifier

        notifier = HttpNotifier(
            http_conn_id=self.cluster.alert_connection,
            endpoint=self.cluster.alert_endpoint or None,
            json=body,
            extra_options={"timeout": POST_LIMIT_SECONDS},
        )
        try:
            notifier.notify(context)
        except Exception as error:  # whatever the connection, the network and the receiver come up with
            log.error(  # noqa: TRY400  the traceback says no more
                "ALERT %s could not be posted through the Airflow connection %s: %s",
                self.kind,
                self.cluster.alert_connection,
                error,
            )

    def body(self, context: Context) -> dict[str, Any] | None:
        """What is posted; None if there is nothing to say."""
        if self.kind is AlertKind.GUARD:
            return self._guard_body(context)
        if self.kind is AlertKind.APPROVAL:
            return self._body(context, self.cluster.dag_id, self.question)
        if self.kind is AlertKind.IMAGE_LOST:
            # Of a task that may fail of other things, too: then the run's own alert tells of it.
            error = context.get("exception")
            return self._body(context, self.cluster.dag_id, str(error)) if isinstance(error, ImageLostError) else None
        report = _report(context, self.cluster)
        body = self._body(context, self.cluster.dag_id, self._text(context, report), report)
        if self.kind is not AlertKind.PRUNED:
            return body
        if report is None or str(report.outcome) not in (AlertKind.PRUNED, AlertKind.END_NOT_KNOWN):
            return None
        return {**body, "alert": str(report.outcome)}

    def _body(self, context: Context, dag_id: str, text: str, report: RunReport | None = None) -> dict[str, Any]:
        return {
            "alert": str(self.kind),
            "cluster": self.cluster.name,
            "dag_id": dag_id,
            "run_id": str(context.get("run_id", "")),
            "text": text,
            "report": report.to_json() if report else None,
        }

    def _guard_body(self, context: Context) -> dict[str, Any] | None:
        """Of the guard's own tasks: what the guard could not do, or what it did if that is worth an alert."""
        task = context["ti"]
        error = context.get("exception")
        if error is not None:
            text = f"The guard could not look after the registry of cluster {self.cluster.name}: {error}"
            return self._body(context, task.dag_id, text)
        seen = task.xcom_pull(task_ids=task.task_id)
        return self._body(context, task.dag_id, seen["message"]) if seen and seen["alert"] else None

    def _text(self, context: Context, report: RunReport | None) -> str:
        said = report.text() if report else f"Hard prune of {self.cluster.name}: no report"
        if self.kind is AlertKind.RESTORE_FAILED:
            return self._restore_text(context)
        if self.kind is AlertKind.RUN_FAILED:
            return f"{said}\nAirflow says: {context.get('reason') or 'the run failed'}"
        return said

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

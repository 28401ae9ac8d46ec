"""Who is told what: the DAG's callbacks in the dag-processor, a task's in its process, a receiver over HTTP.

That each kind of alert comes from a run against the sandbox, and once: ``whole_runs/test_one_alert.py``."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext
from airflow.configuration import AIRFLOW_HOME
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from airflow.utils.session import create_session

from dags.registry_prune import build_dag
from include.registry_prune.alerts import alerts, delivery
from include.registry_prune.alerts.alerts import Alert, AlertKind, ImageLostError
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.settings.alerting import AlertChannel
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE
from tests.dags.dag_processor import Processed, process
from tests.dags.played_run import PlayedRun, play

DAG_FILE = Path(__file__).parents[2] / "dags" / "registry_prune.py"
SETTINGS = ClusterSettings(alert_connection="alerts", alert_endpoint="hook/registry")
SECRET = "a-password-for-the-receiver"
RUN: dict[str, Any] = {"run_id": "manual__1", "reason": "task_failure"}


class Receiver(ThreadingHTTPServer):
    """Takes alerts on a free port, and keeps what was posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TakeAlert)
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.status = 204
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.posted]


class _TakeAlert(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, body))
        self.server.may_answer.wait(30)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class calls it so
        """Quiet."""


def connection_to(port: int) -> str:
    """The Airflow connection, as its environment variable holds it."""
    fields = {"conn_type": "http", "host": "127.0.0.1", "port": port, "login": "airflow", "password": SECRET}
    return json.dumps(fields)


def forget_alerts() -> None:
    """Let nobody know of an earlier alert."""
    shutil.rmtree(Path(AIRFLOW_HOME) / "registry-prune" / "alerts", ignore_errors=True)


@pytest.fixture(autouse=True)
def _nothing_noted() -> None:
    """No test knows of another one's alerts."""
    forget_alerts()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver, and the Airflow connection ``alerts`` to it."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS", connection_to(server.server_port))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.may_answer.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def alerting_dag() -> DAG:
    """The DAG of a cluster whose alerts are posted; only its tasks' callbacks are called while it is played."""
    dag = build_dag(SETTINGS)
    dag.on_failure_callback = dag.on_success_callback = None
    return dag


@pytest.fixture
def end_in_dag_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Processed]:
    """Lets the dag-processor run the DAG's callbacks for a run that was played, as the scheduler asks it to."""
    clusters = tmp_path / "clusters.yaml"
    clusters.write_text(json.dumps({"default": SETTINGS.model_dump(exclude={"name"})}), encoding="utf-8")
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(clusters))

    def run_callbacks(run: PlayedRun, last_task: str | None) -> Processed:
        return process(DAG_FILE, tmp_path / "log", [callback_request(run, last_task)])

    return run_callbacks


def callback_request(run: PlayedRun, last_task: str | None) -> DagCallbackRequest:
    """What the scheduler asks for when a run has ended.

    :param last_task: whose context goes with it; none if the scheduler found no task to blame.
    """
    with create_session() as session:
        row = session.query(DagRun).filter_by(run_id=run.run_id).one()
        instances = {ti.task_id: ti for ti in row.get_task_instances(session=session)}
        return DagCallbackRequest(
            filepath=DAG_FILE.name,
            dag_id=row.dag_id,
            run_id=row.run_id,
            bundle_name="dags-folder",
            bundle_version=None,
            is_failure_callback=run.state == "failed",
            msg="task_failure" if run.state == "failed" else "success",
            context_from_server=DagRunContext(dag_run=row, last_ti=instances[last_task]) if last_task else None,
        )


def test_a_failed_run_is_told_with_its_report(
    alerting_dag: DAG, receiver: Receiver, end_in_dag_processor: Callable[..., Processed]
) -> None:
    """Whether or not the scheduler found a task to blame."""
    run = play(alerting_dag, failing={"hard_prune"})
    for last_task in ("hard_prune", None):
        forget_alerts()
        receiver.posted.clear()
        processed = end_in_dag_processor(run, last_task)
        assert "ALERT run failed: Hard prune of default" in processed.log, last_task
        ((path, body),) = receiver.posted
        assert path == "/hook/registry"
        assert (body["alert"], body["cluster"], body["dag_id"]) == ("run failed", "default", "registry_prune")
        assert body["run_id"] == run.run_id
        assert body["report"] == run.results["report"]
        assert (body["report"]["outcome"], body["report"]["failed_tasks"]) == ("failed", ["hard_prune"])
        assert body["report"]["reasons"] == ["hard_prune: this step is played to fail"]
        assert body["text"] in processed.log


def test_a_run_that_pruned_tells_what_it_freed(
    alerting_dag: DAG, receiver: Receiver, end_in_dag_processor: Callable[..., Processed]
) -> None:
    run = play(alerting_dag)
    processed = end_in_dag_processor(run, "verify_restored")
    (body,) = receiver.bodies
    assert body["alert"] == "pruned"
    assert "deleted: 3,000 blobs, about 4 GiB" in body["text"]
    assert (body["report"]["deleted_blobs"], body["report"]["freed_bytes"]) == (3_000, 4 * 2**30)
    assert f"ALERT pruned: {body['text']}" in processed.log


def test_of_a_restore_the_first_try_that_fails_is_told_at_once_and_then_that_airflow_gives_up(
    alerting_dag: DAG, receiver: Receiver
) -> None:
    """Guards: an hour and more of tries would else pass in silence, or be thirteen alerts of one incident."""
    restore: Any = alerting_dag.get_task("restore_read_write")

    def fail(try_number: int, *, max_tries: int) -> None:
        last = try_number == max_tries + 1
        task = SimpleNamespace(
            try_number=try_number, max_tries=max_tries, task=restore, xcom_push=lambda key, value: None
        )
        callbacks = restore.on_failure_callback if last else restore.on_retry_callback
        for callback in callbacks:
            callback({**RUN, "ti": task, "exception": "a pod is still read-only"})

    for try_number in range(1, 13):
        fail(try_number, max_tries=12)
        assert len(receiver.bodies) == 1
    fail(13, max_tries=12)
    again, last = receiver.bodies
    assert (again["alert"], last["alert"]) == ("restore failed", "restore failed")
    assert "This was try 1 of 13: Airflow tries again by itself" in again["text"]
    assert "Airflow does not try again" in last["text"]
    assert all("a pod is still read-only" in body["text"] for body in receiver.bodies)
    for try_number in (14, 15):
        fail(try_number, max_tries=25)
    assert len(receiver.bodies) == 3, "somebody has cleared it: told anew, once"


@pytest.mark.parametrize("task_id", ["hard_prune", "reconcile"])
def test_a_lost_image_is_told_at_once_and_louder_than_a_failed_run(
    alerting_dag: DAG, receiver: Receiver, caplog: pytest.LogCaptureFixture, task_id: str
) -> None:
    task: Any = alerting_dag.get_task(task_id)
    _, callback = task.on_failure_callback
    callback({**RUN, "exception": AirflowFailException("the delete stopped midway")})
    assert receiver.posted == [], "the run's own alert tells of that"
    callback({**RUN, "exception": ImageLostError("sha256:01 is the layer of Image sha256:02 (tags shop/app:v1)")})
    (body,) = receiver.bodies
    assert body["alert"] == "image lost"
    assert "tags shop/app:v1" in body["text"]
    assert [record.levelno for record in caplog.records if "ALERT image lost" in record.getMessage()] == [
        logging.CRITICAL
    ]


def test_a_run_of_airflow_dags_test_is_told_too(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """There the callbacks have no API to read the report from: the alert comes without it."""
    play(build_dag(SETTINGS), failing={"verify_access"})
    (body,) = receiver.bodies
    assert (body["alert"], body["report"]) == ("run failed", None)
    assert "ALERT run failed: Hard prune of default: no report" in caplog.text


def test_without_a_connection_for_alerts_the_log_alone_has_them(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    Alert(AlertKind.RUN_FAILED, ClusterSettings())(RUN)
    assert "ALERT run failed" in caplog.text
    assert receiver.posted == []


@pytest.fixture
def tell_in_vain(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    """Raises an alert that cannot be posted: nothing is raised, its line in the log is there, and a line that says that
    nobody was told."""

    def tell() -> None:
        Alert(AlertKind.RUN_FAILED, SETTINGS)(RUN)
        assert "ALERT run failed: Hard prune of default" in caplog.text
        assert "ALERT run failed could not be posted through the Airflow connection alerts" in caplog.text
        assert SECRET not in caplog.text

    return tell


def test_an_alert_survives_that_nobody_listens(
    receiver: Receiver, tell_in_vain: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as gone:
        port = gone.server_port
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS", connection_to(port))
    tell_in_vain()


def test_an_alert_survives_a_receiver_that_refuses(receiver: Receiver, tell_in_vain: Callable[[], None]) -> None:
    receiver.status = 500
    tell_in_vain()
    assert len(receiver.posted) == 1


def test_an_alert_survives_a_receiver_that_never_answers(
    receiver: Receiver, tell_in_vain: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SEND_LIMIT_SECONDS", 0.2)
    receiver.may_answer.clear()
    tell_in_vain()


def test_an_alert_survives_that_its_connection_is_missing(
    tell_in_vain: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_ALERTS", raising=False)
    tell_in_vain()


def test_no_credential_is_posted(alerting_dag: DAG, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "sha256~a-token-of-the-cluster"
    kubeconfig = {"users": [{"name": "pruner", "user": {"token": token}}]}
    monkeypatch.setenv(
        "AIRFLOW_CONN_KUBERNETES_DEFAULT",
        json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kubeconfig)}}),
    )
    play(alerting_dag, own={"restore_read_write"})
    (body,) = receiver.bodies
    assert "Airflow connection kubernetes_default cannot be used" in body["text"]
    assert token not in json.dumps(body)
    assert SECRET not in json.dumps(body)


CHANNELLED = SETTINGS.model_copy(
    update={
        "alert_connection": "",
        "alert_channels": (AlertChannel(channel="http", connection="alerts", kinds=tuple(AlertKind)),),  # type: ignore[arg-type]
        "alert_events": False,
    }
)
"""Every kind goes to the receiver."""


@pytest.mark.parametrize(
    ("report", "callback", "told"),
    [
        ({"outcome": "not worth it"}, AlertKind.PRUNED, "skipped"),
        ({"outcome": "postponed"}, AlertKind.PRUNED, "skipped"),
        ({"outcome": "pruned"}, AlertKind.PRUNED, "pruned"),
        ({"outcome": "failed", "verdict": "stop", "failed_tasks": ("survey_gate",)}, AlertKind.RUN_FAILED, "stopped"),
        (
            {"outcome": "failed", "verdict": "prune", "failed_tasks": ("survey_gate",)},
            AlertKind.RUN_FAILED,
            "run failed",
        ),
        ({"outcome": "failed", "verdict": "stop", "failed_tasks": ("report",)}, AlertKind.RUN_FAILED, "run failed"),
    ],
)
def test_the_end_of_a_run_is_told_as_what_it_was(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], callback: AlertKind, told: str
) -> None:
    found = RunReport.model_validate({"run_id": "manual__1", "cluster": "default", **report})
    monkeypatch.setattr(alerts, "_report", lambda context, cluster: found)
    Alert(callback, CHANNELLED)(RUN)
    (body,) = receiver.bodies
    assert body["alert"] == told


def test_a_failed_run_is_an_incident_that_the_next_good_one_ends(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter(("failed", "failed", "not worth it"))
    monkeypatch.setattr(
        alerts, "_report", lambda *_: RunReport(run_id="x", cluster="default", outcome=Outcome(next(outcomes)))
    )
    for kind in (AlertKind.RUN_FAILED, AlertKind.RUN_FAILED, AlertKind.PRUNED):
        Alert(kind, CHANNELLED)(RUN)
    told = [(body["alert"], body["status"]) for body in receiver.bodies]
    assert told[:2] == [("run failed", "firing")] * 2
    assert sorted(told[2:]) == [("run failed", "resolved"), ("skipped", "said")], "these two go out side by side"
    assert {body["incident"] for body in receiver.bodies if body["alert"] == "run failed"} == {"run"}

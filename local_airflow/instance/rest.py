"""What a user's tool needs of Airflow's REST API (``/api/v2``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from local_airflow.errors import LocalAirflowError

FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
FINISHED_RUN_STATES = frozenset({"success", "failed"})
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)


class ApiUnavailableError(LocalAirflowError):
    """The api-server did not answer, or answered with a fault of its own; asking again may help."""


@dataclass(frozen=True)
class TaskInstance:
    """One task of a run.

    :param state: Airflow's word for it; ``None`` while it waits for others.
    :param try_number: 1 for the first try.
    :param seconds: how long the last try took, or has taken so far.
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    started: datetime | None
    seconds: float | None

    @property
    def name(self) -> str:
        """The task's id, with the index if it is one of a mapped task."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"

    @property
    def running(self) -> bool:
        """Whether it works or waits for something outside of Airflow."""
        return self.state in ("running", "deferred", "up_for_reschedule")


@dataclass(frozen=True)
class LogLine:
    """One message of a task's log.

    :param exceptions: what was raised, outermost first, such as ``ValueError: no pod is ready``.
    """

    text: str
    level: str
    exceptions: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """What it says of an error; empty if it is of none. The outermost exception is the one that was written for
        people; the log has its causes."""
        return "\n".join(self.exceptions[:1] or [self.text]) if self.level in ("error", "critical") else ""


@dataclass(frozen=True)
class LogPage:
    """The part of a log that is new since the page before.

    :param sources: where Airflow read it: files of the log folder.
    :param continuation: hand this in to get what comes later; ``None`` at the end of a finished task's log.
    """

    lines: list[LogLine]
    sources: list[str]
    continuation: str | None


def loopback_session() -> requests.Session:
    """A session that takes neither a proxy nor a .netrc from the environment."""
    session = requests.Session()
    session.trust_env = False
    return session


def wait_for(condition: Callable[[], bool], seconds: float, *, pause_seconds: float = 0.5) -> None:
    """Return when the condition is true; an api-server that does not answer meanwhile is asked again.

    :raises TimeoutError: if it is not in that time.
    """
    deadline = time.monotonic() + seconds
    while True:
        with suppress(ApiUnavailableError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain")
        time.sleep(pause_seconds)


class AirflowApi:
    """Airflow's REST API as the user ``admin``.

    Airflow's own package for it, apache-airflow-client 3.3.2, is not used: a log message comes out of it without
    its level and its exceptions (``error_detail``), it has no request for a token, and its import takes 2 s.

    :param url: such as ``http://127.0.0.1:41234``.
    :param password: ``None`` if this Airflow lets everybody in.
    :param timeout_seconds: for one answer. On a machine that is busy with other work, 10 s were too few.
    """

    def __init__(self, url: str, password: str | None = None, timeout_seconds: float = 30.0) -> None:
        self._url = url
        self._timeout = timeout_seconds
        self._session = loopback_session()
        if password is None:
            answer = self._request("GET", "/auth/token")
        else:
            answer = self._request("POST", "/auth/token", {"username": "admin", "password": password})
        self._session.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def knows_dag(self, dag_id: str, parsed_since: datetime | None = None) -> bool:
        """Whether the dag-processor has read this DAG.

        :param parsed_since: at this time or later; ``None`` if any time will do.
        """
        listed = self._request("GET", "/api/v2/dags", parameters={"dag_id_pattern": dag_id})
        parsed = [dag["last_parsed_time"] for dag in listed["dags"] if dag["dag_id"] == dag_id]
        if parsed_since is None:
            return bool(parsed)
        return any(time is not None and datetime.fromisoformat(time) >= parsed_since for time in parsed)

    def parameter_choices(self, dag_id: str, parameter: str) -> list[str]:
        """What the items of a parameter that is a list may be; empty if the DAG has no such parameter."""
        described = self._request("GET", f"/api/v2/dags/{quote(dag_id)}/details")["params"].get(parameter, {})
        return [str(each) for each in described.get("schema", {}).get("items", {}).get("enum", [])]

    def import_errors(self) -> list[str]:
        """What was wrong with DAG files that could not be read, one text for each file."""
        errors = self._request("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}:\n{error['stack_trace'].rstrip()}" for error in errors]

    def parse_again(self, dag_id: str) -> None:
        """Have the dag-processor parse this DAG's file now, as the button *Reparse Dag* of the UI does."""
        file_token = self._request("GET", f"/api/v2/dags/{quote(dag_id)}")["file_token"]
        self._request("PUT", f"/api/v2/parseDagFile/{quote(file_token, safe='')}")

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self._set_paused(dag_id, paused=False)

    def _set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Tried again, as it may be done twice: Airflow answers 500 where another process writes to SQLite for long."""
        for pause_seconds in (*_PAUSES_SECONDS, None):
            try:
                self._request("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": paused})
            except ApiUnavailableError:
                if pause_seconds is None:
                    raise
                time.sleep(pause_seconds)
            else:
                return

    def trigger(self, dag_id: str, parameters: dict[str, Any]) -> str:
        """Start a run now.

        :return: the run's id.
        :raises LocalAirflowError: if a parameter is not what the DAG's form allows.
        """
        body = {"logical_date": None, "conf": parameters}
        return str(self._request("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Airflow's word for the run's state: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._request("GET", self._run_path(dag_id, run_id))["state"])

    def mark_failed(self, dag_id: str, run_id: str) -> None:
        """End the run: what runs is stopped, what has not begun is skipped, teardowns still run."""
        self._request("PATCH", self._run_path(dag_id, run_id), {"state": "failed"})

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """All tasks of the run, in the order in which they began; those that did not begin come last."""
        path = f"{self._run_path(dag_id, run_id)}/taskInstances"
        listed = self._request("GET", path, parameters={"limit": "100"})["task_instances"]
        tasks = [_task_instance(item) for item in listed]
        return sorted(tasks, key=lambda task: (task.started is None, task.started or 0))

    def retry_pause(self, dag_id: str, task_id: str) -> float | None:
        """How many seconds Airflow waits before it tries a task again; None where that grows from try to try."""
        task = self._request("GET", f"/api/v2/dags/{quote(dag_id)}/tasks/{quote(task_id)}")
        delay = task["retry_delay"]
        if delay is None or task["retry_exponential_backoff"]:
            return None
        return float(delay["days"] * 86_400 + delay["seconds"] + delay["microseconds"] / 1e6)

    def log(self, dag_id: str, run_id: str, task: TaskInstance, continuation: str | None = None) -> LogPage:
        """The log of a task's present try.

        :param continuation: from the page before, to read only what is new.
        """
        path = f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/logs/{task.try_number}"
        parameters = {"map_index": str(task.map_index)}
        if continuation is not None:
            parameters["token"] = continuation
        answer = self._request("GET", path, parameters=parameters)
        return _log_page(answer["content"], answer.get("continuation_token"))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A value that a task left; ``None`` if it left none."""
        path = f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        try:
            return self._request("GET", path)["value"]
        except NotFoundError:
            return None

    @staticmethod
    def _run_path(dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        parameters: dict[str, str] | None = None,
    ) -> Any:
        try:
            response = self._session.request(
                method,
                self._url + path,
                json=body,
                params=parameters,
                headers={"Accept": "application/json"},
                timeout=self._timeout,
            )
        except requests.RequestException as error:
            raise ApiUnavailableError(f"Airflow's API does not answer to {method} {path}: {error}") from error
        if response.ok:
            return response.json()
        what = f"Airflow refused {method} {path}: HTTP {response.status_code}: {_detail(response)}"
        if response.status_code >= 500:
            raise ApiUnavailableError(what)
        raise NotFoundError(what) if response.status_code == 404 else LocalAirflowError(what)


class NotFoundError(LocalAirflowError):
    """The API knows no such object."""


def _detail(response: requests.Response) -> str:
    try:
        # A refused parameter is followed by its whole JSON schema, after an empty line.
        return str(response.json()["detail"]).split("\n\n")[0]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


def _task_instance(item: dict[str, Any]) -> TaskInstance:
    started = item["start_date"]
    return TaskInstance(
        task_id=item["task_id"],
        map_index=item["map_index"],
        state=item["state"],
        try_number=item["try_number"],
        started=None if started is None else datetime.fromisoformat(started),
        seconds=item["duration"],
    )


def _log_page(content: list[dict[str, Any]], continuation: str | None) -> LogPage:
    """The messages apart from the group at the top in which Airflow says where it read them."""
    lines: list[LogLine] = []
    sources: list[str] = []
    in_sources = False
    for item in content:
        text = str(item.get("event", ""))
        if text.startswith("::group::Log message source details"):
            in_sources = True
        elif text.startswith("::endgroup::"):
            in_sources = False
        elif in_sources:
            sources.append(text)
        elif not text.startswith("::group::"):
            raised = [f"{one['exc_type']}: {one['exc_value']}" for one in item.get("error_detail") or []]
            lines.append(LogLine(text, str(item.get("level") or "info").lower(), raised))
    return LogPage(lines, sources, continuation)

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from local_airflow.errors import LocalAirflowError
from local_airflow.instance.rest import AirflowApi, ApiUnavailableError, TaskInstance, wait_for

RUN = "/api/v2/dags/registry_prune/dagRuns/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
RUN_ID = "manual__2026-01-01T00:00:00+00:00"


class FakeApiServer(ThreadingHTTPServer):
    """Answers with what a test lays down for a method and path, and notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any, dict[str, list[str]]]] = []
        self.authorization: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeApiServer

    def _answer(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qs(address.query)
        self.server.asked.append((self.command, address.path, json.loads(body) if body else None, query))
        self.server.authorization.add(self.headers.get("Authorization"))
        status, answer = self.server.answers.get((self.command, address.path), (404, {"detail": "Not Found"}))
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 - the names that http.server looks for

    def log_request(self, code: object = "-", size: object = "-") -> None: ...


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with FakeApiServer() as fake:
        fake.answers[("GET", "/auth/token")] = (201, {"access_token": "abc"})
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        fake.shutdown()
        thread.join()


@pytest.fixture
def api(server: FakeApiServer) -> Iterator[AirflowApi]:
    client = AirflowApi(server.url)
    yield client
    client.close()


def task(**changes: Any) -> TaskInstance:
    values = {"task_id": "survey", "map_index": -1, "state": "running", "try_number": 2}
    return TaskInstance(**{**values, "started": None, "seconds": None, **changes})


def test_token_is_sent_with_every_request(server: FakeApiServer, api: AirflowApi) -> None:
    server.answers[("GET", RUN)] = (200, {"state": "running"})
    assert api.run_state("registry_prune", RUN_ID) == "running"
    assert server.authorization == {None, "Bearer abc"}


def test_password_is_changed_for_a_token(server: FakeApiServer) -> None:
    server.answers[("POST", "/auth/token")] = (201, {"access_token": "def"})
    AirflowApi(server.url, "secret").close()
    assert server.asked == [("POST", "/auth/token", {"username": "admin", "password": "secret"}, {})]


def test_trigger_hands_the_parameters_over_and_returns_the_run(server: FakeApiServer, api: AirflowApi) -> None:
    path = "/api/v2/dags/registry_prune/dagRuns"
    server.answers[("POST", path)] = (200, {"dag_run_id": RUN_ID})
    assert api.trigger("registry_prune", {"min_blobs": 5}) == RUN_ID
    assert server.asked[-1] == ("POST", path, {"logical_date": None, "conf": {"min_blobs": 5}}, {})


def test_refused_parameter_is_explained(server: FakeApiServer, api: AirflowApi) -> None:
    detail = "Invalid input for param min_blobs: -1 is less than the minimum of 1\n\nFailed validating 'minimum'"
    server.answers[("POST", "/api/v2/dags/registry_prune/dagRuns")] = (400, {"detail": detail})
    with pytest.raises(LocalAirflowError, match=r"-1 is less than the minimum of 1$"):
        api.trigger("registry_prune", {"min_blobs": -1})


def test_unpause_and_mark_failed(server: FakeApiServer, api: AirflowApi) -> None:
    server.answers[("PATCH", "/api/v2/dags/registry_prune")] = (200, {})
    server.answers[("PATCH", RUN)] = (200, {})
    api.unpause("registry_prune")
    assert server.asked[-1][2] == {"is_paused": False}
    api.mark_failed("registry_prune", RUN_ID)
    assert server.asked[-1][2] == {"state": "failed"}


def test_a_dag_is_unpaused_although_the_database_was_locked_for_a_moment(
    server: FakeApiServer, api: AirflowApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ("PATCH", "/api/v2/dags/registry_prune")
    server.answers[path] = (500, {"detail": {"reason": "Database error"}})
    monkeypatch.setattr("time.sleep", lambda seconds: server.answers.update({path: (200, {})}))
    api.unpause("registry_prune")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.answers[path] = (500, {"detail": {"reason": "Database error"}})
    with pytest.raises(ApiUnavailableError, match="Database error"):
        api.unpause("registry_prune")


def test_the_file_of_a_dag_is_parsed_again(server: FakeApiServer, api: AirflowApi) -> None:
    server.answers[("GET", "/api/v2/dags/registry_prune")] = (200, {"file_token": "a.b-c"})
    server.answers[("PUT", "/api/v2/parseDagFile/a.b-c")] = (201, None)
    api.parse_again("registry_prune")
    assert server.asked[-1][:2] == ("PUT", "/api/v2/parseDagFile/a.b-c")


def test_dag_is_known_by_its_whole_id(server: FakeApiServer, api: AirflowApi) -> None:
    dag = {"dag_id": "registry_prune_west", "last_parsed_time": None}
    server.answers[("GET", "/api/v2/dags")] = (200, {"dags": [dag]})
    assert not api.knows_dag("registry_prune")
    assert api.knows_dag("registry_prune_west")


def test_a_dag_that_was_read_at_an_earlier_start_is_not_known_yet(server: FakeApiServer, api: AirflowApi) -> None:
    begun = datetime(2026, 1, 2, tzinfo=UTC)
    for parsed, known in ((None, False), ("2026-01-01T23:59:59Z", False), ("2026-01-02T00:00:00.5Z", True)):
        dag = {"dag_id": "registry_prune", "last_parsed_time": parsed}
        server.answers[("GET", "/api/v2/dags")] = (200, {"dags": [dag]})
        assert api.knows_dag("registry_prune", parsed_since=begun) is known


def test_choices_of_a_parameter_are_those_of_the_dag(server: FakeApiServer, api: AirflowApi) -> None:
    described = {"value": [], "schema": {"type": "array", "items": {"type": "string", "enum": ["orphan_share"]}}}
    path = "/api/v2/dags/registry_prune/details"
    server.answers[("GET", path)] = (200, {"params": {"pass_ceilings": described, "survey": {"value": True}}})
    assert api.parameter_choices("registry_prune", "pass_ceilings") == ["orphan_share"]
    assert api.parameter_choices("registry_prune", "survey") == []
    assert api.parameter_choices("registry_prune", "unheard_of") == []


def test_import_errors_name_the_file(server: FakeApiServer, api: AirflowApi) -> None:
    error = {"filename": "registry_prune.py", "stack_trace": "NameError: name 'dag' is not defined\n"}
    server.answers[("GET", "/api/v2/importErrors")] = (200, {"import_errors": [error]})
    assert api.import_errors() == ["registry_prune.py:\nNameError: name 'dag' is not defined"]


def test_tasks_come_in_the_order_in_which_they_began(server: FakeApiServer, api: AirflowApi) -> None:
    def item(task_id: str, start: str | None, state: str | None) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "map_index": -1,
            "state": state,
            "try_number": 1,
            "start_date": start,
            "duration": 1.5 if state == "success" else None,
        }

    listed = [
        item("waiting", None, None),
        item("second", "2026-01-01T00:00:02Z", "running"),
        item("first", "2026-01-01T00:00:01Z", "success"),
    ]
    server.answers[("GET", f"{RUN}/taskInstances")] = (200, {"task_instances": listed})
    tasks = api.task_instances("registry_prune", RUN_ID)
    assert [each.name for each in tasks] == ["first", "second", "waiting"]
    assert tasks[0].seconds == 1.5
    assert [each.running for each in tasks] == [False, True, False]


def delay(days: int = 0, seconds: int = 0, microseconds: int = 0) -> dict[str, Any]:
    return {"__type": "TimeDelta", "days": days, "seconds": seconds, "microseconds": microseconds}


@pytest.mark.parametrize(
    ("retry_delay", "grows", "pause"),
    [
        (delay(seconds=20), 0.0, 20.0),
        (delay(days=1, seconds=2, microseconds=500_000), 0.0, 86_402.5),
        (delay(), 0.0, 0.0),
        (delay(seconds=20), 1.0, None),
        (delay(seconds=20), 2.0, None),
        (None, 0.0, None),
    ],
    ids=["fixed", "all its parts", "none", "growing", "growing twofold", "not told"],
)
def test_pause_before_another_try_is_told_where_it_is_known(
    server: FakeApiServer, api: AirflowApi, retry_delay: dict[str, Any] | None, grows: float, pause: float | None
) -> None:
    described = {"retry_delay": retry_delay, "retry_exponential_backoff": grows}
    server.answers[("GET", "/api/v2/dags/registry_prune/tasks/survey")] = (200, described)
    assert api.retry_pause("registry_prune", "survey") == pause


def test_log_is_read_on_from_where_the_page_before_ended(server: FakeApiServer, api: AirflowApi) -> None:
    path = f"{RUN}/taskInstances/survey/logs/2"
    content = [
        {"event": "::group::Log message source details"},
        {"event": "/state/airflow/logs/attempt=2.log"},
        {"event": "::endgroup::"},
        {"event": "::group::Pre Execute", "level": "info"},
        {"event": "progress: 1 of 2", "level": "info", "timestamp": "2026-01-01T00:00:01Z"},
        {
            "event": "Task failed with exception",
            "level": "error",
            "error_detail": [{"exc_type": "ValueError", "exc_value": "no pod is ready", "frames": []}],
        },
    ]
    server.answers[("GET", path)] = (200, {"content": content, "continuation_token": "next"})
    page = api.log("registry_prune", RUN_ID, task())
    assert page.sources == ["/state/airflow/logs/attempt=2.log"]
    assert [line.text for line in page.lines] == ["progress: 1 of 2", "Task failed with exception"]
    assert page.lines[1].exceptions == ["ValueError: no pod is ready"]
    api.log("registry_prune", RUN_ID, task(), page.continuation)
    assert server.asked[-1][3] == {"map_index": ["-1"], "token": ["next"]}


def test_missing_xcom_is_none(server: FakeApiServer, api: AirflowApi) -> None:
    path = f"{RUN}/taskInstances/report/xcomEntries/return_value"
    assert api.xcom("registry_prune", RUN_ID, "report") is None
    server.answers[("GET", path)] = (200, {"value": {"version": 1}})
    assert api.xcom("registry_prune", RUN_ID, "report") == {"version": 1}


@pytest.mark.parametrize("answer", [(500, {"detail": "database is locked"}), (503, b"<html>")])
def test_fault_of_the_server_is_told_from_a_refusal(
    server: FakeApiServer, api: AirflowApi, answer: tuple[int, Any]
) -> None:
    server.answers[("GET", RUN)] = answer
    with pytest.raises(ApiUnavailableError, match=str(answer[0])):
        api.run_state("registry_prune", RUN_ID)


def test_server_that_is_gone_is_named(api: AirflowApi, server: FakeApiServer) -> None:
    server.server_close()
    server.shutdown()
    api.close()
    with pytest.raises(ApiUnavailableError, match="does not answer to GET /api/v2/dags"):
        api.knows_dag("registry_prune")


def test_index_is_part_of_a_mapped_task_s_name() -> None:
    assert task(map_index=3).name == "survey[3]"
    assert task().name == "survey"


def test_what_is_waited_for_is_asked_again_while_the_api_server_does_not_answer() -> None:
    answers: Iterator[Exception | bool] = iter([ApiUnavailableError("not yet"), False, True])

    def condition() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait_for(condition, 60, pause_seconds=0)
    assert next(answers, None) is None


def test_waiting_has_an_end() -> None:
    with pytest.raises(TimeoutError, match="in vain"):
        wait_for(lambda: False, 0, pause_seconds=0)

"""Approval and right moment: the tasks before the window as Airflow sees them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk import DAG
from airflow.sdk.exceptions import DownstreamTasksSkipped
from fastapi.testclient import TestClient

from dags.registry_prune import build_dag
from include.registry_prune.preflight import readiness
from include.registry_prune.preflight.right_moment import Obstacle
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import RunningBuilds
from include.registry_prune.tasks.gates import RightMoment
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.window.lease import Holder
from tests.dags.played_run import PRUNE, PlayedRun, play
from tests.run_tasks import IN_ORDER

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
AFTER_APPROVAL = IN_ORDER[IN_ORDER.index("right_moment") : IN_ORDER.index("revoke_image_pruner")]


def asking_dag(**settings: Any) -> DAG:
    return build_dag(ClusterSettings.from_mapping("asking", {"approval": True, **settings}))


def answer_event(answer: str, user: Any = "mona") -> dict[str, Any]:
    responder = None if user is None else {"id": "1", "name": user}
    return {"chosen_options": [answer], "params_input": {}, "responded_at": NOON, "responded_by_user": responder}


class Kept(dict[str, Any]):
    """Airflow's state store of a task."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        self[key] = value


class Context(dict[str, Any]):
    """As much of a task's context as the approval needs."""

    def __init__(self, dag: DAG) -> None:
        super().__init__(
            dag_run=SimpleNamespace(dag_id=dag.dag_id),
            run_id="run",
            ti=self,
            task_state_store=Kept(),
            task=dag.get_task("approve_window"),
        )
        self.map_index = -1
        self.max_tries = 2
        self.handed_over: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.handed_over[key] = value


class Person(threading.Thread):
    """Waits for the question, as it is listed for people, and answers it over REST.

    :ivar asked: the question, as the API showed it.
    """

    def __init__(self, api: TestClient, answer: str) -> None:
        super().__init__(daemon=True)
        self.asked: dict[str, Any] = {}
        self._api = api
        self._answer = answer

    def run(self) -> None:
        deadline = time.monotonic() + 300
        while not self.asked and time.monotonic() < deadline:
            found = self._api.get(
                "/api/v2/dags/registry_prune_asking/dagRuns/~/hitlDetails", params={"response_received": False}
            ).json()["hitl_details"]
            # An answer that comes before the task has begun to wait would be heard at the time limit only.
            waiting = [each for each in found if each["task_instance"]["state"] == "awaiting_input"]
            self.asked = waiting[0] if waiting else {}
            time.sleep(0.1)
        task = self.asked["task_instance"]
        run = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}"
        body = {"chosen_options": [self._answer], "params_input": {}}
        self._api.patch(f"{run}/taskInstances/{task['task_id']}/-1/hitlDetails", json=body).raise_for_status()


def answered_run(api: TestClient, answer: str, **settings: Any) -> tuple[PlayedRun, dict[str, Any]]:
    """A run that asks, and what was asked."""
    person = Person(api, answer)
    person.start()
    run = play(asking_dag(**settings), own={"approve_window"})
    person.join()
    return run, person.asked


@pytest.fixture(autouse=True)
def _named_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``verify_access``, which is played here, names the run."""
    monkeypatch.setattr(Run, "token", "a1")


class TestApproval:
    def test_a_run_goes_on_when_a_person_has_approved_over_rest_having_seen_what_is_decided(
        self, rest_api: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        run, asked = answered_run(rest_api, "Approve", opening_hours="22:00-05:00")
        assert run.state == "success"
        assert set(run.tasks.values()) == {"success"}
        window = run.results["approve_window"].pop("window")
        assert window.startswith("a1-")
        assert run.results["right_moment"]["window"] == window
        assert run.results["approve_window"] == {"version": 1, "asked": True, "approved": True, "by": "Anonymous"}
        assert run.results["report"]["reasons"][-1] == "the window was approved by Anonymous"
        assert asked["subject"] == "Open the read-only window of cluster asking?"
        assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
        for part in (
            "cluster **asking** (https://cluster.test:6443)",
            PRUNE.reasons[0],
            "orphans: 3,000 blobs, about 4 GiB",
            "base prune: deleted 3 images",
            "images broken already: 0",
            "estimated time of the delete: not known",
            "22:00-05:00 UTC",
        ):
            assert part in asked["body"]
        assert "ALERT approval: Open the read-only window of cluster asking?\nThis run is about to make" in caplog.text

    def test_a_rejection_skips_the_rest_and_is_reported(self, rest_api: TestClient) -> None:
        run, _ = answered_run(rest_api, "Reject")
        assert run.state == "success"
        assert run.tasks["approve_window"] == "success"
        assert {run.tasks[each] for each in AFTER_APPROVAL} == {"skipped"}
        assert (run.tasks["revoke_image_pruner"], run.tasks["verify_restored"]) == ("success", "success")
        assert run.results["report"]["outcome"] == "rejected"
        assert run.results["report"]["reasons"][-1] == "the window was rejected by Anonymous"

    def test_without_an_answer_in_time_the_default_counts(self) -> None:
        dag = asking_dag(approval_default="approve", approval_limit="3h")
        task: Any = dag.get_task("approve_window")
        assert (task.defaults, task.response_timeout) == (["Approve"], timedelta(hours=3))
        answer = task.execute_complete(Context(dag), answer_event("Approve", user=None))
        assert answer.pop("window").startswith("a1-")
        assert answer == {"version": 1, "asked": True, "approved": True, "by": ""}
        with pytest.raises(DownstreamTasksSkipped):
            task.execute_complete(Context(dag), answer_event("Reject", user=None))

    def test_an_answer_is_found_by_the_next_try_and_not_by_a_task_that_was_cleared(self) -> None:
        """Guards an answer that is given at once: Airflow fails the task that it resumes, and tries it again."""
        dag = asking_dag()
        task: Any = dag.get_task("approve_window")
        context: Any = Context(dag)
        answer = task.execute_complete(context, answer_event("Approve", user={"id": "1", "name": "ada"}))
        assert task.work(Run(context, task.cluster)).to_json() == answer
        context.max_tries += 3
        assert context["task_state_store"].get(task._answer_key(Run(context, task.cluster))) is None

    def test_an_error_of_airflow_is_no_approval(self) -> None:
        dag = asking_dag()
        context = Context(dag)
        task: Any = dag.get_task("approve_window")
        with pytest.raises(HITLTimeoutError):
            task.execute_complete(context, {"error": "late", "error_type": "timeout"})
        assert context.handed_over == {}


class Looks:
    """Stands in for what the cluster shows, look by look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.problems: tuple[str, ...] = ()
        self.settings = ClusterSettings()
        self.obstacles: list[list[Obstacle]] = [[]]
        self.asked: list[Action] = []
        self.first_look: datetime | None = None
        self.token_expires_at: datetime | None = None
        monkeypatch.setattr(readiness, "look", lambda cluster, **rest: SimpleNamespace(problems=self.problems))
        monkeypatch.setattr(readiness, "obstacles", self._obstacles)

    def _obstacles(self, cluster: Any, *, holder: Holder, running_builds: Action) -> list[Obstacle]:
        self.asked.append(running_builds)
        return self.obstacles.pop(0) if len(self.obstacles) > 1 else self.obstacles[0]

    def run(self, **conf: Any) -> Any:
        """As much of a run as the right moment needs."""
        parameters = self.settings.parameters.model_copy(update=conf)
        return SimpleNamespace(
            cluster=SimpleNamespace(token_expires_at=self.token_expires_at),
            name="registry_prune/run",
            hours=Run.hours.fget(SimpleNamespace(settings=self.settings, parameters=parameters)),  # type: ignore[attr-defined]
            window=Holder(run="dag/run", token="run-1"),
            close_dead_window=lambda: None,
            parameters=parameters,
            result=lambda task_id, kind: Verdict(action=Action.PRUNE, reasons=("enough",)),
            context={"ti": SimpleNamespace(get_first_reschedule_date=lambda context: self.first_look)},
        )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


class TestRightMoment:
    def task(self, **settings: Any) -> RightMoment:
        task = build_dag(ClusterSettings.from_mapping("default", settings)).get_task("right_moment")
        assert isinstance(task, RightMoment)
        return task

    def test_it_holds_no_worker_while_it_waits_and_outlasts_its_own_limit(self) -> None:
        task = self.task(moment_wait="45m")
        assert task.mode == "reschedule"
        assert timedelta(seconds=task.timeout) > timedelta(minutes=45)

    def test_a_run_waits_for_builds_and_goes_on_when_they_have_ended(
        self, dag: DAG, looks: Looks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The task gives its worker back between two looks, in a real run of the DAG."""
        builds = Obstacle("1 build (shop/app-1) would be lost", Action.SKIP)
        looks.obstacles = [[builds], [builds], []]
        monkeypatch.setattr(Run, "cluster", SimpleNamespace(token_expires_at=None))
        monkeypatch.setattr(Run, "close_dead_window", lambda run: None)
        task: Any = dag.get_task("right_moment")
        task.poke_interval = 0.01
        run = play(dag, own={"right_moment"})
        assert run.state == "success"
        assert run.ran.count("right_moment") == 3
        assert set(run.tasks.values()) == {"success"}

    def test_what_forbids_a_prune_by_now_is_a_stop(self, looks: Looks) -> None:
        """Guards the second round of checks: hours may have gone by since verify_access."""
        looks.problems = ("Config cluster: the operator says Degraded=True", "the storage is an emptyDir")
        verdict = self.task().verdict(looks.run())
        assert verdict == Verdict(action=Action.STOP, reasons=looks.problems)

    @pytest.mark.parametrize(
        ("setting", "action"), [("skip", Action.SKIP), ("stop", Action.STOP), ("go_on", Action.PRUNE)]
    )
    def test_the_parameter_says_what_to_do_about_builds(self, looks: Looks, setting: str, action: Action) -> None:
        self.task().verdict(looks.run(running_builds=RunningBuilds(setting)))
        assert looks.asked == [action]

    def test_the_wait_begins_with_the_first_look(self, looks: Looks) -> None:
        looks.obstacles = [[Obstacle("1 build would be lost", Action.SKIP)]]
        looks.first_look = datetime.now(UTC) - timedelta(minutes=29)
        assert self.task().verdict(looks.run()) is None
        looks.first_look = datetime.now(UTC) - timedelta(minutes=31)
        verdict = self.task().verdict(looks.run())
        assert verdict is not None
        assert verdict.action is Action.SKIP

    def test_outside_the_opening_hours_a_run_skips_unless_it_is_told_otherwise(self, looks: Looks) -> None:
        now = datetime.now(UTC)
        hours = f"{now - timedelta(hours=3):%H:%M}-{now - timedelta(hours=2):%H:%M}"
        task = self.task(opening_hours=hours)
        looks.settings = task.cluster
        verdict = task.verdict(looks.run())
        assert verdict is not None
        assert verdict.action is Action.SKIP
        assert f"outside the opening hours {hours} UTC" in verdict.reasons[0]
        ignoring = task.verdict(looks.run(ignore_opening_hours=True))
        assert ignoring is not None
        assert ignoring.action is Action.PRUNE

    def test_a_token_that_may_end_in_the_window_opens_none(self, looks: Looks) -> None:
        """Guards the way back: with an expired token neither run nor guard of Airflow could close the window."""
        looks.token_expires_at = datetime.now(UTC) + timedelta(hours=4)
        verdict = self.task(window_limit="4h").verdict(looks.run())
        assert verdict is not None
        assert verdict.action is Action.STOP
        assert "this run opens none" in verdict.reasons[0]
        verdict = self.task(window_limit="2h").verdict(looks.run())
        assert verdict is not None
        assert verdict.action is Action.PRUNE

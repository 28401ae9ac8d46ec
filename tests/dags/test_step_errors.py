"""What is tried again, and what is not: how a step and a gate turn an error into Airflow's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.registry_prune.base_prune.job import BasePrune
from include.registry_prune.base_prune.job_run import BasePruneError
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.preflight.access import AccessError
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.settings.parameters import RunParameters, SettingsError
from include.registry_prune.verdict.decision import Verdict
from include.registry_prune.window.lease import LeaseError
from tests.dags.played_run import PRUNE, SKIP, STOP

REFUSED, UNREACHABLE = ClusterError("403: forbidden", 403), ClusterError("no answer", 0)
WINDOW = Approval(asked=False, approved=True, window="run-1")
WHAT_MUST_BE_PUT_BACK = ["restore_read_write", "revoke_image_pruner"]


class Context(dict[str, Any]):
    """As much of a task's context as a step needs before it works."""

    def __init__(self) -> None:
        super().__init__(dag_run=SimpleNamespace(dag_id="registry_prune"), run_id="run", ti=self)
        self.handed_over: list[Any] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.handed_over.append((key, value))

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return WINDOW.to_json() if task_ids == "approve_window" else None


def raising(error: Exception) -> Callable[[Any], NoReturn]:
    def step(run: Any) -> NoReturn:
        raise error

    return step


def outcome(dag: DAG, task_id: str, error: Exception) -> AirflowException:
    """What Airflow gets to see when a step's work raises."""
    task: Any = dag.get_task(task_id)
    task.work = raising(error)
    with pytest.raises(AirflowException) as raised:
        task.execute(Context())
    return raised.value


@pytest.mark.parametrize("error", [REFUSED, LeaseError("held"), SettingsError("wrong"), AccessError("missing")])
def test_what_asking_again_does_not_cure_is_not_tried_again(dag: DAG, error: Exception) -> None:
    raised = outcome(dag, "set_read_only", error)
    assert type(raised) is AirflowFailException
    assert str(raised) == str(error)


def test_a_cluster_that_does_not_answer_is_asked_again(dag: DAG) -> None:
    assert type(outcome(dag, "verify_access", UNREACHABLE)) is AirflowException


@pytest.mark.parametrize("task_id", WHAT_MUST_BE_PUT_BACK)
@pytest.mark.parametrize("error", [REFUSED, UNREACHABLE, LeaseError("held")])
def test_what_must_be_put_back_is_tried_again_whatever_the_cluster_says(
    dag: DAG, task_id: str, error: Exception
) -> None:
    assert type(outcome(dag, task_id, error)) is AirflowException


def test_only_what_must_be_put_back_is_tried_again_when_refused(dag: DAG) -> None:
    stubborn = [task.task_id for task in dag.tasks if getattr(task, "retries_refusals", False)]
    assert stubborn == WHAT_MUST_BE_PUT_BACK


@pytest.mark.parametrize("gate", ["survey_gate", "right_moment", "blob_threshold"])
class TestGate:
    def poke(self, dag: DAG, gate: str, verdict: Callable[[Any], Verdict]) -> tuple[Any, list[Any]]:
        task: Any = dag.get_task(gate)
        context = Context()
        task.verdict = verdict
        return task.poke(context), context.handed_over

    def test_prune_opens_it(self, dag: DAG, gate: str) -> None:
        answer, handed_over = self.poke(dag, gate, lambda run: PRUNE)
        assert answer.is_done
        assert handed_over == [("return_value", answer.xcom_value)]
        given = Verdict.from_json(answer.xcom_value)
        assert given.given_at is not None
        # The survey's verdict is of no window; the others are of this run's, and worth nothing in another one.
        assert given.window == ("" if gate == "survey_gate" else "run-1")
        assert given.model_copy(update={"given_at": None, "window": ""}) == PRUNE

    @pytest.mark.parametrize(("verdict", "ending"), [(SKIP, AirflowSkipException), (STOP, AirflowFailException)])
    def test_skip_and_stop_end_it_with_their_reasons(
        self, dag: DAG, gate: str, verdict: Verdict, ending: type[Exception]
    ) -> None:
        with pytest.raises(ending, match=verdict.reasons[0]):
            self.poke(dag, gate, lambda run: verdict)

    def test_it_waits_while_the_cluster_does_not_answer(self, dag: DAG, gate: str) -> None:
        answer, handed_over = self.poke(dag, gate, raising(UNREACHABLE))
        assert not answer.is_done
        assert handed_over == []

    @pytest.mark.parametrize("error", [REFUSED, SettingsError("wrong")])
    def test_what_waiting_does_not_cure_ends_it(self, dag: DAG, gate: str, error: Exception) -> None:
        with pytest.raises(AirflowFailException, match=str(error)):
            self.poke(dag, gate, raising(error))


@pytest.mark.parametrize(("passes", "kind"), [(True, AirflowException), (False, AirflowFailException)])
def test_only_a_base_prune_that_failed_for_what_passes_is_tried_again(
    dag: DAG, monkeypatch: pytest.MonkeyPatch, passes: bool, kind: type[AirflowException]
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise BasePruneError("the log says why", passes=passes)

    monkeypatch.setattr("include.registry_prune.base_prune.job_run.run_base_prune", fail)
    run = SimpleNamespace(parameters=RunParameters(), cluster=None, identity="registry_prune/run")
    task: Any = dag.get_task("base_prune")
    with pytest.raises(AirflowException, match="the log says why") as raised:
        task.work(run)
    assert type(raised.value) is kind


@pytest.mark.parametrize(("try_number", "after_a_failure"), [(1, False), (2, True)])
def test_a_base_prune_that_was_tried_before_may_have_deleted_more_than_it_says(
    dag: DAG, monkeypatch: pytest.MonkeyPatch, try_number: int, after_a_failure: bool
) -> None:
    monkeypatch.setattr(
        "include.registry_prune.base_prune.job_run.run_base_prune", lambda *_, **__: BasePrune(carried_out=True)
    )
    context = {"ti": SimpleNamespace(try_number=try_number)}
    run = SimpleNamespace(parameters=RunParameters(), cluster=None, identity="registry_prune/run", context=context)
    task: Any = dag.get_task("base_prune")
    assert task.work(run).after_a_failure is after_a_failure

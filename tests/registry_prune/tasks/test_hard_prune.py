"""An end that is not known is tried again: the delete may be at work, and a task that gives up has it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import ImageLostError
from include.registry_prune.deletion.handover import Delete, DeleteEnd
from include.registry_prune.deletion.tripwire import Tripped
from include.registry_prune.pruner.dockerregistry import PrunerResult, Summary
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.hard_prune import HardPrune
from include.registry_prune.window.lease import DeleteAttempt, Holder


def conclude(
    exit_status: int | None, *, hours: float = 1, lost: str | None = None, tripped: Tripped | None = None
) -> Any:
    begun_at = datetime.now(UTC) - timedelta(hours=hours)
    attempt = DeleteAttempt(number=1, name="n", pod="pod", pod_uid="uid", begun_at=begun_at)
    said = Summary(blobs=1, rounded_bytes=1) if exit_status == 0 else None
    result = PrunerResult(mode="delete", said=said, exit_status=exit_status, ended_how="nothing is known of it")
    run: Any = SimpleNamespace(
        dag_id="d", run_id="r", cluster=SimpleNamespace(server="s"), hand_over=lambda record: None
    )
    run.window = Holder(run="d/r", token="t")
    delete = Delete(holder=run.window, attempt=attempt, ends_by=begun_at + timedelta(hours=48))
    end = DeleteEnd(delete=delete, result=result, lost=lost, tripped=tripped)
    return HardPrune(task_id="hard_prune", cluster=ClusterSettings())._conclude(run, end)


def test_an_end_that_is_not_known_is_worth_another_try() -> None:
    with pytest.raises(AirflowException, match=r"is unknown .* followed again") as error:
        conclude(None)
    assert not isinstance(error.value, AirflowFailException)


@pytest.mark.parametrize(
    ("exit_status", "hours", "lost"),
    [(1, 1, None), (None, 49, None), (None, 1, "somebody has set spec.readOnly to false")],
)
def test_what_another_try_cannot_repair_is_final(exit_status: int | None, hours: float, lost: str | None) -> None:
    with pytest.raises(AirflowFailException):
        conclude(exit_status, hours=hours, lost=lost)


def test_a_delete_that_is_done_is_no_problem() -> None:
    assert conclude(0).complete


@pytest.mark.parametrize("exit_status", [0, 143, None])
def test_a_delete_that_worked_on_what_an_image_names_is_the_loudest_failure(exit_status: int | None) -> None:
    """Also where it had ended by itself: what it deleted is gone."""
    tripped = Tripped(blob="sha256:01", images=("sha256:02",))
    with pytest.raises(ImageLostError) as error:
        conclude(exit_status, lost="the pruner names sha256:01", tripped=tripped)
    for part in ("sha256:01", "sha256:02", "push or import that image again", "Pause this DAG"):
        assert part in str(error.value)

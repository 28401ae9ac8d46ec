"""The trigger is plain values, the same again wherever it is made anew; and an event is read back as it was sent."""

from __future__ import annotations

import base64
import importlib
import json
from datetime import UTC, datetime

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.deletion.detached_log import DeleteLog, LogPosition
from include.registry_prune.deletion.handover import Delete, DeleteEnd, FollowSettings
from include.registry_prune.lists.deleted_list import DeletedListPlace
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.tasks.triggers import DeleteTrigger
from include.registry_prune.window.lease import DeleteAttempt, Earlier, Holder

DELETE = Delete(
    holder=Holder(run="registry_prune/run", token="t"),
    attempt=DeleteAttempt(
        number=2, name="registry-prune-1-2", pod="pod", pod_uid="uid", begun_at=datetime(2026, 1, 1, tzinfo=UTC)
    ),
    ends_by=datetime(2026, 1, 1, 4, tzinfo=UTC),
    position=LogPosition(segment=1_000_003, offset=17, lines=99, partial="aGFsZsM=", kept=("x", "y")),
    expected_blobs=5,
    earlier=Earlier(blobs=3, last_blob="sha256:1", list_complete=False),
)
SETTINGS = FollowSettings(follow_every=1, patience=2, silence=3, lease=5)
PLACE = DeletedListPlace(configured="file:///x", dag_id="d", run_id="r", task_id="t", server="https://cluster:6443")


def test_the_trigger_survives_being_stored() -> None:
    trigger = DeleteTrigger("kubernetes_default", DELETE.to_json(), SETTINGS.to_json(), PLACE.to_json())
    path, values = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(values)))
    assert (again.delete, again.settings, again.place) == (DELETE, SETTINGS, PLACE)
    assert again.serialize() == trigger.serialize()


def test_the_trigger_holds_no_credentials_and_nothing_that_grows_with_the_registry() -> None:
    log = DeleteLog()
    lines = b"counts 0 0 0 0\n" + 10_000 * b"a line that no pruner prints\n"
    log.feed(Stream.STDOUT, f"log 1000000 0 {base64.b64encode(lines).decode()}")
    assert log.position().lines == 10_000
    values = DeleteTrigger(
        "kubernetes_default",
        DELETE.model_copy(update={"position": log.position()}).to_json(),
        SETTINGS.to_json(),
        PLACE.to_json(),
    ).serialize()[1]
    # The window's own name is called so, and opens nothing.
    text = json.dumps(values).replace(json.dumps(DELETE.holder.to_json()), "")
    assert "token" not in text
    assert len(text) < 10_000


def test_it_ends_nothing_when_it_is_cancelled() -> None:
    """A triggerer that restarts cancels it too; whoever ends the task has restore_read_write end the pruner."""
    assert "on_kill" not in vars(DeleteTrigger)
    assert "cleanup" not in vars(DeleteTrigger)


def test_half_a_character_at_the_log_s_end_is_no_obstacle_to_handing_on() -> None:
    """Airflow packs what a task defers with as text: half a character in it would fail the task."""
    from airflow.sdk.execution_time.comms import DeferTask, _RequestFrame

    log = DeleteLog()
    text = base64.b64encode(b"counts 0 0 0 0\nhalf a character: \xc3").decode()
    log.feed(Stream.STDOUT, f"log 1000000 0 {text}")
    delete = DELETE.model_copy(update={"position": log.position()})
    path, values = DeleteTrigger("c", delete.to_json(), SETTINGS.to_json(), PLACE.to_json()).serialize()
    body = DeferTask(classpath=path, trigger_kwargs=values, next_method="resume").model_dump()
    assert b"kubernetes" not in _RequestFrame(id=1, body=body).as_bytes()
    lines: list[str] = []
    again = DeleteLog(log.position(), lambda line: lines.append(line.subject))
    rest = base64.b64encode(b"\xa4\n").decode()
    again.feed(Stream.STDOUT, f"log 1000000 {again.offset} {rest}")
    assert lines == ["half a character: \u00e4"]


def test_the_event_is_read_back_as_it_was_sent() -> None:
    result = PrunerResult(mode="delete", said=None, exit_status=None, ended_how="pod gone", attempts=2, earlier_blobs=3)
    end = DeleteEnd(delete=DELETE, result=result, interrupted=True)
    assert DeleteEnd.from_json(json.loads(json.dumps(end.to_json()))) == end

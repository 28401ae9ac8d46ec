"""A window that ends before all is deleted: a slice, and the run that goes on; a window whose end comes in its other
tasks."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.window.window_end import WindowEnd
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.alerts.receivers import Told
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
ENOUGH = {"min_blobs": 10, "base_prune": False, "integrity_check": False}
WINDOW = ["read-only, firing", "read-only, resolved", "read-write, said"]
"""What is told of each window."""
TOO_MUCH: dict[str, Any] = {**ENOUGH, "min_blobs": 1_000_000, "min_size": "1TiB"}


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def assert_takes_pushes(sandbox: Sandbox) -> None:
    sandbox.wait_until_settled()
    config = sandbox.get_object("configs.imageregistry.operator.openshift.io", "cluster")
    assert not config["spec"].get("readOnly")
    assert "registry-prune/lease" not in config["metadata"].get("annotations", {})
    verified = sandbox.verify()
    assert verified.ok, verified.problems


def test_a_delete_that_does_not_fit_is_a_slice_and_the_next_run_goes_on_without_thresholds(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """And of each run its alerts are told, once."""
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.3))
    with monkeypatch.context() as patched:
        patched.setattr(
            WindowEnd, "work_ends_by", lambda end, opening_seconds: datetime.now(UTC) + timedelta(seconds=5)
        )
        first = run_dag(caplog, conf=ENOUGH, **told.settings)
    assert first.state == "success", first.errors
    assert "read-only: The registry of cluster default is read-only for its hard prune, by run manual__" in told.text
    assert "read-write: The registry of cluster default takes pushes again, after " in told.text
    assert told.alerts() == [*WINDOW, "slice, said"]
    assert first.report["outcome"] == "slice"
    done = first.report["deleted_blobs"]
    assert 0 < done < ORPHANS
    assert first.report["left_blobs"] == ORPHANS - done
    (line,) = [text for label, text in first.report["lines"] if label == "slice"]
    assert line.startswith(f"{done} of {ORPHANS} blobs deleted, {ORPHANS - done} left, ")
    assert line.endswith("the next run goes on")
    assert "it is ended at" in first.log, "progress tells when"
    assert_takes_pushes(seeded)
    left = seeded.verify().orphans_left
    assert left in (ORPHANS - done, ORPHANS - done + 1), "the last one that it named may be there still"
    assert seeded.pruners_alive() == 0

    seeded.order_pruner(PrunerFaults())
    second = run_dag(caplog, conf=TOO_MUCH, **told.settings)
    assert second.state == "success", second.errors
    assert f"deleted: {left} blobs" in told.text
    assert told.alerts() == sorted([*WINDOW, "pruned, said"])
    assert second.report["outcome"] == "pruned"
    assert "the last delete was a slice" in second.results["blob_threshold"]["reasons"][0]
    assert second.report["deleted_blobs"] == left, "nothing is deleted twice"
    assert_takes_pushes(seeded)

    third = run_dag(caplog, conf=TOO_MUCH, **told.settings)
    assert third.report["outcome"] == "not worth it", "the thresholds are asked again"
    assert told.alerts() == ["skipped, said"]


def test_a_rollout_that_takes_half_of_the_window_ends_it(seeded: Sandbox, caplog: Any) -> None:
    """Guards the half that is kept for the way back."""
    seeded.hold_readiness()

    def let_go() -> None:
        while seeded.get_object("configs.imageregistry.operator.openshift.io", "cluster")["spec"].get("readOnly"):
            time.sleep(0.1)
        seeded.allow_readiness()

    def wait_until_read_only() -> None:
        while not seeded.get_object("configs.imageregistry.operator.openshift.io", "cluster")["spec"].get("readOnly"):
            time.sleep(0.1)
        let_go()

    waiting = threading.Thread(target=wait_until_read_only, daemon=True)
    waiting.start()
    run = run_dag(caplog, conf={**ENOUGH, "survey": False}, window_limit="20s")
    waiting.join(30)
    assert run.state == "failed"
    assert "not settled read-only after" in run.errors["set_read_only"]
    assert run.tasks["hard_prune"] == "upstream_failed"
    assert_takes_pushes(seeded)


def test_a_scan_in_the_window_that_takes_all_its_time_is_ended_and_the_setting_named(
    seeded: Sandbox, caplog: Any
) -> None:
    seeded.order_pruner(PrunerFaults(modes=("check",), seconds_per_blob=5.0))
    run = run_dag(caplog, conf={**ENOUGH, "survey": False}, window_limit="25s")
    assert run.state == "failed"
    assert "Raise the setting window_limit or dry_run_limit" in run.errors["dry_run"]
    assert seeded.pruners_alive() == 0
    assert_takes_pushes(seeded)


def test_no_delete_begins_where_only_the_way_back_is_left(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WindowEnd, "work_ends_by", lambda end, opening_seconds: datetime.now(UTC))
    run = run_dag(caplog, conf=ENOUGH)
    assert run.state == "failed"
    assert "Nothing is deleted: the window has to end by" in run.errors["hard_prune"]
    assert seeded.verify().orphans_left == ORPHANS
    assert_takes_pushes(seeded)

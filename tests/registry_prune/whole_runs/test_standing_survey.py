"""A survey that stands for the dry run inside the window: only where asked for, and while nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.tasks.in_window import ArmWindow
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def pruning_run(caplog: Any, folder: Path, **settings: Any) -> Ended:
    return run_dag(caplog, conf={"min_blobs": 10, "base_prune": False}, artifacts=folder.as_uri(), **settings)


def modes_of_dry_runs(sandbox: Sandbox) -> list[bool]:
    """For each ``-prune=check``, whether the registry was read-only at its start."""
    starts = [line for line in sandbox.pruner_journal() if line["event"] == "start" and line["mode"] == "check"]
    return [line["read_only"] for line in starts]


def assert_pruned(sandbox: Sandbox, run: Ended) -> None:
    assert run.state == "success", run.errors
    verified = sandbox.verify()
    assert verified.ok, verified.problems
    assert verified.orphans_left == 0
    reconciled = run.report["reconciliation"]
    assert (reconciled["candidates"], reconciled["deleted"], reconciled["unlisted"]) == (ORPHANS, ORPHANS, 0)


def test_a_run_that_asks_for_it_does_one_dry_run_before_the_window(
    seeded: Sandbox, caplog: Any, tmp_path: Path
) -> None:
    run = pruning_run(caplog, tmp_path, survey_stands_for="1h")
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False]


def test_by_default_the_dry_run_is_done_again_while_nobody_can_write(
    seeded: Sandbox, caplog: Any, tmp_path: Path
) -> None:
    """Guards the default: no blob goes that was not listed, and audited, when writing had come to its end."""
    run = pruning_run(caplog, tmp_path)
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False, True]


def test_an_image_that_was_written_since_has_the_dry_run_done_again(
    seeded: Sandbox, caplog: Any, tmp_path: Path, admin: client.ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the look at the Images: what was pushed after the survey is in no list that was audited."""
    arm = ArmWindow.work

    def written_meanwhile(self: ArmWindow, run: Any) -> Any:
        images = client.CustomObjectsApi(admin)
        name = images.list_cluster_custom_object("image.openshift.io", "v1", "images")["items"][0]["metadata"]["name"]
        body = {"metadata": {"annotations": {"written": "since"}}}
        images.patch_cluster_custom_object("image.openshift.io", "v1", "images", name, body)
        return arm(self, run)

    monkeypatch.setattr(ArmWindow, "work", written_meanwhile)
    run = pruning_run(caplog, tmp_path, survey_stands_for="1h")
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False, True]

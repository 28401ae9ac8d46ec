"""What release 0.1.0 has left, as its own code wrote it: which of it this version takes over (docs/upgrade.md)."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.records import WindowRecord
from include.registry_prune.verdict.decision import Verdict
from include.registry_prune.window.guard import why_dead
from include.registry_prune.window.lease import Holder, new_window, parse_lease

FOUND: dict[str, Any] = json.loads((Path(__file__).parent / "releases" / "0.1.0.json").read_text(encoding="utf-8"))
HANDED_OVER: dict[str, type[WindowRecord]] = {
    "approve_window": Approval,
    "set_read_only": Settled,
    "dry_run": PrunerResult,
    "blob_threshold": Verdict,
}


def not_over(_: Holder) -> bool:
    return False


def test_an_open_window_of_0_1_0_is_closed_once_its_lease_has_run_out() -> None:
    lease = parse_lease(FOUND["lease"])
    assert lease is not None
    assert lease.attempt is not None, "a delete was begun in it: its pods have to be replaced"
    end = lease.expires_at
    assert why_dead(lease, read_only=True, now=end - timedelta(seconds=1), run_is_over=not_over) is None
    assert why_dead(lease, read_only=True, now=end, run_is_over=not_over)
    assert parse_lease(lease.to_annotation()) == lease, "it keeps its name when it is written back"


@pytest.mark.parametrize("task", HANDED_OVER)
def test_what_a_task_of_0_1_0_handed_over_is_of_no_window_so_that_no_delete_begins_on_it(task: str) -> None:
    record = HANDED_OVER[task].from_json(FOUND["xcom"][task])
    assert record.window == ""
    assert record.window != new_window("run")


def test_a_delete_that_0_1_0_deferred_is_found_and_not_followed() -> None:
    """Its window had no name and no end, so nobody can say whose it is: the task fails, and the window is closed."""
    path, values = FOUND["trigger"]
    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)
    with pytest.raises(ValidationError, match="ends_by"):
        trigger(**values)


def test_a_lease_with_more_than_this_version_knows_is_read_and_written_back_whole() -> None:
    """Guards of this version and of later ones may look at one cluster."""
    now = datetime(2026, 11, 26, tzinfo=UTC).isoformat()
    later = {"version": 2, "holder": "d/r", "token": "t-1", "armed_at": now, "expires_at": now, "more": {"a": 1}}
    lease = parse_lease(json.dumps(later))
    assert lease is not None
    assert json.loads(lease.to_annotation())["more"] == {"a": 1}

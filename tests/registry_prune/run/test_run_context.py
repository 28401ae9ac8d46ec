"""What a run is asked to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings


@pytest.mark.parametrize(
    ("run_id", "run_type", "forces"),
    [
        ("manual__now", "manual", True),
        ("scheduled__now", "scheduled", True),
        ("asset_triggered__now", "asset_triggered", False),
        ("alert__now", "manual", False),
    ],
)
def test_a_run_that_an_event_began_forces_nothing(run_id: str, run_type: str, forces: bool) -> None:
    """Guards the thresholds where nobody looks on, also where the cluster's own default is to force."""
    settings = ClusterSettings.from_mapping("default", {"parameters": {"hard_prune": "force", "min_blobs": 7}})
    asked = SimpleNamespace(dag_id="registry_prune", run_type=run_type, conf={"pass_ceilings": ["orphan_share"]})
    context: Any = {"dag_run": asked, "run_id": run_id}
    parameters = Run(context, settings).parameters
    assert (parameters.hard_prune, bool(parameters.pass_ceilings)) == (("force", True) if forces else ("auto", False))
    assert parameters.min_blobs == 7

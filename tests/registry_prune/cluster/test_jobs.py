"""How a Job ended, by its conditions."""

from __future__ import annotations

from typing import Any

import pytest

from include.registry_prune.cluster.jobs import JobEnding, ending


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"conditions": []}, None),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, None),
        ({"conditions": [{"type": "Failed", "status": "False"}]}, None),
        ({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]}, None),
        (
            {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            JobEnding(True, "", "2026-01-01T00:00:00Z"),
        ),
        (
            {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]},
            JobEnding(False, "DeadlineExceeded: too long", None),
        ),
    ],
)
def test_how_a_job_ended(status: dict[str, Any], expected: JobEnding | None) -> None:
    assert ending({"status": status}) == expected

"""Ages in tables."""

from __future__ import annotations

import pytest

from sandbox.server.kubectl.ages import human_duration


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (121, "2m1s"),
        (120, "2m"),
        (700, "11m"),
        (3 * 3600 + 120, "3h2m"),
        (9 * 3600, "9h"),
        (3 * 86400 + 7200, "3d2h"),
        (100 * 86400, "100d"),
        (900 * 86400, "2y170d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_are_shown_as_kubectl_does(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown

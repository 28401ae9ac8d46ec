"""Rows as Markdown."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.table import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("a|b", "a\\|b"), (1234567, "1,234,567"), (1234.5, "1,234"), (12.34, "12.3"), (0.123, "0.12")],
)
def test_figures_are_rounded_for_people(value: Any, text: str) -> None:
    assert shown(value) == text

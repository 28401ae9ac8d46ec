"""Measurements, side by side in one run (docs/benchmarks.md). Nothing here is a test: no figure passes or fails."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

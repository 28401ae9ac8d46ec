"""Measurements, side by side in one run (docs/benchmarks.md). Nothing here is a test: no figure passes or fails."""

"""A benchmark that measures nothing."""

from __future__ import annotations

from typing import Any

from benchmarks.benchmark import Benchmark


def benchmark(name: str = "parsing", **changes: Any) -> Benchmark:
    fields: dict[str, Any] = {
        "name": name,
        "title": f"All about {name}",
        "about": "What it is.",
        "columns": ("who", "lines/s"),
        "keys": ("who",),
        "measure": lambda options: iter(()),
    }
    return Benchmark(**(fields | changes))

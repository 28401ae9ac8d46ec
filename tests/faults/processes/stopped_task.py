"""A task that stops at points, in a thread."""

from __future__ import annotations

import threading
from typing import Any

from faults.processes.points import Points

LIMIT_SECONDS = 120.0


def wait_until_reached(points: Points, moment: str) -> None:
    over = threading.Event()
    for _ in range(10_000):
        if points.reached("hard_prune", moment):
            return
        over.wait(0.01)
    raise AssertionError(f"the task did not come to {moment!r}")


def started(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread

"""Reports that earlier versions of this project wrote, in the form of today (pure)."""

from __future__ import annotations

from typing import Any

_FIGURES = ("orphaned_blobs", "deleted_blobs", "read_only_seconds", "broken_before", "broken_after")


def upgraded(value: Any, version: int) -> Any:
    """A report of an earlier version as one of this version; anything else as it is.

    Version 3 knows more of each run, and nothing that version 2 has is gone. Version 1, of release 0.1.0, carried no
    text; it had read-only seconds from the patch on, and not from the first pod.

    :param version: the version of today.
    """
    if not isinstance(value, dict) or value.get("version") not in (1, 2):
        return value
    lines = {"lines": _lines(value)} if value["version"] == 1 else {}
    return {**value, **lines, "version": version}


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What a report without a text has to show."""
    reasons = report.get("reasons")
    shown = [("because", str(reason)) for reason in (reasons if isinstance(reasons, list | tuple) else ())]
    return shown + [(name.replace("_", " "), f"{report[name]:,}") for name in _FIGURES if _number(report.get(name))]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""The report of a run, as it is printed at the end."""

from __future__ import annotations

import json
import textwrap
from dataclasses import MISSING, dataclass, fields
from typing import Any

from local_airflow.errors import LocalAirflowError
from local_airflow.progress import seconds_text
from local_airflow.rest import AirflowApi, LogLine, TaskInstance

REPORT_TASK = "report"
REPORT_VERSION = 1
NOT_LOOKED_AT = "not looked at"
TEXT_WIDTH = 90
SHORTEST_PHASE_SECONDS = 0.05
"""Tasks that took less were skipped or did nothing."""
ERROR_LINES = 8
"""How many of the last error lines of a failed task's log are shown."""


@dataclass(frozen=True)
class RunReport:
    """What one run found, did and took, as its task ``report`` left it; ``None`` means: not looked at.

    :param orphaned_bytes: as the pruner prints it, rounded to four digits; likewise ``freed_bytes``.
    :param phases: seconds by task.
    :param base_prune: what the base prune did, in its own words.
    :param artifact: where the list of candidates is.
    :param reconciliation: what became of the blobs on that list, as the task ``reconcile`` left it.
    :param builds_hit_names: builds whose push failed while the registry was read-only; not all, if there were many.
    """

    run_id: str
    cluster: str
    outcome: str
    reasons: list[str]
    orphaned_blobs: int | None
    orphaned_bytes: int | None
    deleted_blobs: int | None
    freed_bytes: int | None
    read_only_seconds: float | None
    broken_before: int | None
    broken_after: int | None
    phases: dict[str, float]
    failed_tasks: list[str]
    base_prune: str | None = None
    artifact: str | None = None
    delete_seconds: float | None = None
    estimated_delete_seconds: float | None = None
    reconciliation: dict[str, Any] | None = None
    builds_hit: int | None = None
    builds_hit_names: tuple[str, ...] | list[str] = ()
    passed_ceilings: tuple[str, ...] | list[str] = ()
    passed_by: str = ""

    @classmethod
    def from_xcom(cls, value: Any) -> RunReport:
        """Read what the task left: a JSON object, or the text of one.

        :raises LocalAirflowError: if it is missing or not what is expected.
        """
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise LocalAirflowError(f"the task {REPORT_TASK} left no JSON: {error}") from error
        if not isinstance(value, dict):
            raise LocalAirflowError(f"the task {REPORT_TASK} left no report")
        if value.get("version") != REPORT_VERSION:
            raise LocalAirflowError(
                f"the report has version {value.get('version')!r}; this tool reads version {REPORT_VERSION}"
            )
        missing = [each.name for each in fields(cls) if each.default is MISSING and each.name not in value]
        if missing:
            raise LocalAirflowError(f"the report lacks {', '.join(missing)}")
        return cls(**{each.name: value[each.name] for each in fields(cls) if each.name in value})


def count_text(count: int | None) -> str:
    """A number for people: ``3,000``."""
    return NOT_LOOKED_AT if count is None else f"{count:,}"


def size_text(size: int | None) -> str:
    """Bytes for people, in binary units: ``12.4 MiB``."""
    if size is None:
        return NOT_LOOKED_AT
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{size:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _blobs_text(count: int | None, size: int | None) -> str:
    if count is None:
        return NOT_LOOKED_AT
    return f"{count:,} blobs" + (f", about {size_text(size)}" if size else "")


def _integrity_text(broken: int | None) -> str:
    if broken is None:
        return NOT_LOOKED_AT
    return "every image is whole" if broken == 0 else f"{count_text(broken)} broken"


def _reconciled_text(found: dict[str, Any]) -> str:
    if found.get("problem"):
        return f"not known: {found['problem']}"
    text = f"{count_text(found['deleted'])} of {count_text(found['candidates'])} candidates deleted"
    return text + (f", and {count_text(found['unlisted'])} that were none" if found["unlisted"] else "")


def _optional_rows(report: RunReport) -> list[tuple[str, str]]:
    """What only some runs have."""
    rows = []
    if report.reconciliation:
        rows.append(("reconciled", _reconciled_text(report.reconciliation)))
    if report.delete_seconds is not None:
        expected = report.estimated_delete_seconds
        estimate = "" if expected is None else f", estimated {seconds_text(expected)}"
        rows.append(("delete took", seconds_text(report.delete_seconds) + estimate))
    if report.builds_hit:
        rows.append(("builds hit", f"{count_text(report.builds_hit)}: {', '.join(report.builds_hit_names)}"))
    if report.passed_ceilings:
        rows.append(("ceilings passed", f"{', '.join(report.passed_ceilings)}, by {report.passed_by}"))
    if report.artifact:
        rows.append(("list", report.artifact.removeprefix("file://")))
    if report.failed_tasks:
        rows.append(("failed", ", ".join(report.failed_tasks)))
    return rows


def render(report: RunReport) -> str:
    """The report as an aligned block of lines."""
    read_only = NOT_LOOKED_AT if report.read_only_seconds is None else seconds_text(report.read_only_seconds)
    rows = [
        ("cluster", report.cluster),
        ("run", report.run_id),
        ("outcome", report.outcome),
        *[("" if index else "because", reason) for index, reason in enumerate(report.reasons)],
        *([("base prune", report.base_prune)] if report.base_prune else []),
        ("orphans found", _blobs_text(report.orphaned_blobs, report.orphaned_bytes)),
        ("deleted", _blobs_text(report.deleted_blobs, None)),
        ("freed", ("about " if report.freed_bytes else "") + size_text(report.freed_bytes)),
        ("read-only for", read_only),
        ("integrity before", _integrity_text(report.broken_before)),
        ("integrity after", _integrity_text(report.broken_after)),
        *_optional_rows(report),
    ]
    width = max(len(label) for label, _ in rows)
    lines = ["Report", *(line for label, text in rows for line in _row(label, text, width))]
    phases = {task: seconds for task, seconds in report.phases.items() if seconds >= SHORTEST_PHASE_SECONDS}
    if phases:
        task_width = max(len(task) for task in phases)
        lines.append("  where the time went")
        lines.extend(f"    {task:{task_width}}  {seconds_text(seconds):>12}" for task, seconds in phases.items())
    return "\n".join(lines)


def _row(label: str, text: str, width: int) -> list[str]:
    """One figure, in as many lines as its text needs; a path or an address stays in one."""
    parts = textwrap.wrap(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"  {label if index == 0 else '':{width}}  {part}" for index, part in enumerate(parts)]


def failures(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """The last error lines of each failed task and where its log is; empty if no task failed."""
    blocks = []
    for task in api.task_instances(dag_id, run_id):
        if task.state == "failed":
            page = api.log(dag_id, run_id, task)
            files = [source for source in page.sources if source.startswith("/")]
            blocks.append(_failure(task, page.lines, files))
    return "\n".join(blocks)


def _failure(task: TaskInstance, lines: list[LogLine], files: list[str]) -> str:
    errors: list[str] = []
    for line in lines:
        if line.level in ("error", "critical"):
            # The outermost exception is the one that was written for people; the log has its causes.
            errors.extend(line.exceptions[:1] or [line.text])
    text = "\n".join(errors).splitlines()[-ERROR_LINES:]
    shown = [f"    {line}" for line in text] or ["    (no error in its log)"]
    where = [f"    log: {file}" for file in files]
    return "\n".join([f"  {task.name} failed, try {task.try_number}:", *shown, *where])

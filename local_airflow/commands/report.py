"""The report of a run, as it is printed at the end."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, fields
from typing import Any

from local_airflow.commands.progress import seconds_text
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.rest import AirflowApi, LogLine, TaskInstance

REPORT_TASK = "report"
REPORT_VERSION = 3
TEXT_WIDTH = 90
SHORTEST_PHASE_SECONDS = 0.05
"""Tasks that took less were skipped or did nothing."""
ERROR_LINES = 8
"""How many of the last error lines of a failed task's log are shown."""


@dataclass(frozen=True)
class RunReport:
    """What is printed of what a run's task ``report`` left.

    :param lines: label and text of each figure.
    :param phases: seconds by task.
    """

    run_id: str
    cluster: str
    outcome: str
    lines: list[tuple[str, str]]
    phases: dict[str, float]

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
        missing = [each.name for each in fields(cls) if each.name not in value]
        if missing:
            raise LocalAirflowError(f"the report lacks {', '.join(missing)}")
        return cls(**{each.name: value[each.name] for each in fields(cls)})


def size_text(size: int) -> str:
    """Bytes for people, in binary units: ``12.4 MiB``."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{size:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


def render(report: RunReport) -> str:
    """The report as an aligned block of lines."""
    rows = [("cluster", report.cluster), ("run", report.run_id), ("outcome", report.outcome), *report.lines]
    width = max(len(label) for label, _ in rows)
    lines, before = ["Report"], ""
    for label, text in rows:
        lines += _row("" if label == before else label, text.removeprefix("file://"), width)
        before = label
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
    text = "\n".join(line.problem for line in lines if line.problem).splitlines()[-ERROR_LINES:]
    shown = [f"    {line}" for line in text] or ["    (no error in its log)"]
    where = [f"    log: {file}" for file in files]
    return "\n".join([f"  {task.name} failed, try {task.try_number}:", *shown, *where])

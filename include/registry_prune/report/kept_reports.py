"""The reports of earlier runs: a file for each run, beside the lists. Airflow's database may forget its runs.

Named by the time at which the run was due, so that a listing has them in order; a run that was cleared, and reports
again, replaces its report. They are below ``reports``, which is the id of no DAG.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecodeError, loads

from airflow.sdk import ObjectStoragePath
from pydantic import ValidationError

from include.registry_prune.lists.artifacts import artifact_folder, name_in_files, write_whole
from include.registry_prune.report.report import RunReport

_NAME = re.compile(r"(\d{8}T\d{6})Z-[A-Za-z0-9_.+-]+\.json")
_TIME = "%Y%m%dT%H%M%S"


class ReportsError(OSError):
    """The place of the reports cannot be read or written; the message names it."""


@dataclass(frozen=True)
class KeptReports:
    """What is there.

    :param reports: the newest first.
    :param damaged: of each file that cannot be read: where it is, and why.
    """

    reports: tuple[RunReport, ...] = ()
    damaged: tuple[str, ...] = ()


def report_folder(configured: str, dag_id: str) -> ObjectStoragePath:
    """Where the reports of a DAG are.

    :param configured: the cluster's setting ``artifacts``.
    """
    return artifact_folder(configured) / "reports" / dag_id


def keep_report(report: RunReport, configured: str) -> ObjectStoragePath:
    """Keep a report, in place of an earlier one of the same run.

    :return: where it is.
    :raises ReportsError: if it cannot be written.
    """
    due = (report.run_after or datetime.now(UTC)).astimezone(UTC)
    path = report_folder(configured, report.dag_id) / f"{due:{_TIME}}Z-{name_in_files(report.run_id)}.json"
    try:
        write_whole(path, (report.model_dump_json(indent=1) + "\n").encode())
    except Exception as error:  # object storages raise errors of their own libraries
        raise ReportsError(f"The report cannot be kept at {path}: {error}") from error
    return path


def kept_reports(configured: str, dag_id: str, *, newest: int) -> KeptReports:
    """The last reports of a DAG.

    :param newest: at most this many files are read.
    :raises ReportsError: if the place cannot be read. One that is not there yet has no reports.
    """
    return _kept(report_folder(configured, dag_id), lambda names: sorted(names, reverse=True)[:newest])


def kept_report(configured: str, dag_id: str, run_id: str) -> KeptReports:
    """The report of one run, if it was kept.

    :raises ReportsError: as :func:`kept_reports`.
    """
    ending = f"Z-{name_in_files(run_id)}.json"
    found = _kept(report_folder(configured, dag_id), lambda names: [name for name in names if name.endswith(ending)])
    return KeptReports(tuple(report for report in found.reports if report.run_id == run_id), found.damaged)


def _kept(folder: ObjectStoragePath, choose: Callable[[list[str]], list[str]]) -> KeptReports:
    try:
        names = choose(_names(folder))
        paths = [(folder / name).path for name in names]
        # All of them at once, where the storage can: from a bucket, one after another would take seconds.
        found = folder.fs.cat(paths, on_error="return") if paths else {}
    except Exception as error:  # object storages raise errors of their own libraries
        raise ReportsError(f"The reports at {folder} cannot be read: {error}") from error
    contents = {str(path).rpartition("/")[2]: content for path, content in found.items()}
    reports, damaged = [], []
    for name in names:
        report = _read(contents[name])
        if isinstance(report, RunReport):
            reports.append(report)
        elif report:
            damaged.append(f"{folder / name}: {report}")
    return KeptReports(tuple(reports), tuple(damaged))


def remove_reports(configured: str, dag_id: str, *, before: datetime) -> int:
    """Remove the reports of runs that were due before a time; how many these were."""
    folder = report_folder(configured, dag_id)
    oldest_kept = f"{before.astimezone(UTC):{_TIME}}"
    old = [(folder / name).path for name in _names(folder) if name < oldest_kept]
    if old:
        folder.fs.rm(old)
    return len(old)


def _names(folder: ObjectStoragePath) -> list[str]:
    # A bucket's listing is remembered by the process that asked for it, and the api-server lives for weeks.
    folder.fs.invalidate_cache()
    try:
        found = folder.fs.ls(folder.path, detail=False)
    except FileNotFoundError:
        return []
    names = (str(each).rstrip("/").rpartition("/")[2] for each in found)
    return [name for name in names if _NAME.fullmatch(name)]


def _read(content: bytes | Exception) -> RunReport | str:
    """The report, or what is wrong with it; empty if it has been removed meanwhile."""
    if isinstance(content, FileNotFoundError):
        return ""
    if isinstance(content, Exception):
        return f"it cannot be read: {content}"
    try:
        return RunReport.from_json(loads(content))
    except JSONDecodeError as error:
        return f"it is no JSON: {error}"
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
    except (ValueError, RecursionError) as error:  # no UTF-8; JSON that is nested a thousand times
        return f"it is no JSON: {error}"

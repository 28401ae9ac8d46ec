"""The lists of a run: which there are, and each as a stream that is checked while it is read.

A list is asked for by its name and looked for in the run's own folder: no path comes from a report, nor from a request.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.registry_prune.lists.artifacts import artifact_folder, name_in_files, read_blocks, read_seal
from include.registry_prune.lists.candidate_list import DamagedListError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_FILE = re.compile(r"(?P<name>[a-z_]+-(?:candidates|deleted))(?:-[0-9A-Za-z-]+)?\.txt\.gz")
_TITLES = {
    "survey-candidates": "Candidates of the survey",
    "dry_run-candidates": "Candidates of the dry run",
    "reconcile-candidates": "What was left after the delete",
    "hard_prune-deleted": "What was deleted",
}


@dataclass(frozen=True)
class ListView:
    """A list that can be downloaded; of a delete, all its parts together.

    :param name: to ask for it by.
    :param counts: lines of each kind.
    :param problem: what is wrong with it; empty if it is whole, as far as its seals say.
    """

    name: str
    title: str
    counts: dict[str, int]
    problem: str = ""


def lists_of(configured: str, dag_id: str, run_id: str) -> list[ListView]:
    """The lists of a run.

    :param configured: the cluster's setting ``artifacts``.
    :raises OSError: if the storage does not tell; or what its library raises.
    """
    found = _files(configured, dag_id, run_id)
    return [_view(name, found[name]) for name in sorted(found, key=lambda name: (name not in _TITLES, name))]


def open_list(configured: str, dag_id: str, run_id: str, name: str) -> Iterator[bytes]:
    """The lines of a list; whoever reads it to its end has all of it, as it was written.

    :param name: of a :class:`ListView`.
    :raises FileNotFoundError: if the run has no such list.
    :raises DamagedListError: at once if it is unfinished; while it is read if it is damaged.
    """
    parts = _files(configured, dag_id, run_id).get(name)
    if not parts:
        raise FileNotFoundError(f"run {run_id} has no list {name!r}")
    for part in parts:
        read_seal(part)
    return (block for part in parts for block in read_blocks(part))


def _files(configured: str, dag_id: str, run_id: str) -> dict[str, list[str]]:
    """The places of the lists of a run, by the list's name."""
    in_files = name_in_files(run_id)
    if not in_files.strip("."):
        return {}
    folder: ObjectStoragePath = artifact_folder(configured) / dag_id / in_files
    folder.fs.invalidate_cache()
    try:
        listed = folder.fs.ls(folder.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, list[str]] = defaultdict(list)
    for info in listed:
        file = str(info["name"]).rpartition("/")[2]
        match = _FILE.fullmatch(file)
        # A link may lead anywhere.
        if match is not None and info.get("type") == "file" and not info.get("islink"):
            found[match["name"]].append(str(folder / file))
    return {name: sorted(files) for name, files in found.items()}


def _view(name: str, parts: Sequence[str]) -> ListView:
    counts: dict[str, int] = defaultdict(int)
    problem = ""
    for part in parts:
        try:
            seal = read_seal(part)
        except DamagedListError as error:
            problem = str(error)
            continue
        for kind, count in seal.counts.items():
            counts[kind] += count
        if not seal.complete:
            problem = "some lines are missing: the storage was too slow for all of them"
    return ListView(name, _TITLES.get(name, name), dict(counts), problem)

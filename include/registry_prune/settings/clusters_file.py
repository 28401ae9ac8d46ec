"""``clusters.yaml``, read entry by entry (pure).

Each entry is one cluster and makes one DAG; the entry ``defaults`` is none, and holds what the others share. Without a
file there is one cluster, ``default``, reached through the Airflow connection ``kubernetes_default``. What is wrong in
one entry leaves the others as they are: docs/design/2026-11-26-wrong-entry.md.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from include.registry_prune.settings.ceilings import CeilingSettings
from include.registry_prune.settings.clusters import DEFAULT_CLUSTER, ClusterSettings
from include.registry_prune.settings.entries import DEFAULTS, Entry, Place, read_entries
from include.registry_prune.settings.parameters import RunParameters, SettingsError, each_problem

CLUSTERS_FILE_VARIABLE = "REGISTRY_PRUNE_CLUSTERS"
"""Environment variable with the path of ``clusters.yaml``; else the file beside the ``dags`` folder."""

_KNOWN: Mapping[Place, Iterable[str]] = {
    (): ClusterSettings.model_fields,
    ("ceilings",): CeilingSettings.model_fields,
    ("parameters",): RunParameters.model_fields,
}


@dataclass(frozen=True)
class Fault:
    """Something wrong in the file.

    :param line: of the file, from 1.
    :param entry: the entry's name.
    :param problem: which setting is wrong, and what it should be.
    """

    line: int
    entry: str
    problem: str

    def text(self) -> str:
        """With its place."""
        return f"line {self.line}, {self.what()}"

    def what(self) -> str:
        """Without the line."""
        return f"cluster {self.entry!r}: {self.problem}"


@dataclass(frozen=True)
class ClustersFile:
    """The file.

    :param path: None if there is none.
    :param entries: in the order of the file.
    :param defaults: what all entries share.
    """

    path: Path | None
    entries: tuple[Entry, ...]
    defaults: Entry = field(default_factory=lambda: Entry(DEFAULTS, 0, {}))

    @classmethod
    def read(cls, file: Path | None = None) -> Self:
        """Read the file.

        :param file: default: ``REGISTRY_PRUNE_CLUSTERS``, else ``clusters.yaml`` in the project's root if it is there.
        :raises SettingsError: if the file is named but missing, or no entry of it can be told from the others.
        """
        named = os.environ.get(CLUSTERS_FILE_VARIABLE)
        path = file or Path(named or Path(__file__).parents[3] / "clusters.yaml")
        if not path.exists():
            if file is not None or named:
                raise SettingsError(f"{path} is not there: {CLUSTERS_FILE_VARIABLE} names it")
            return cls(None, (Entry(DEFAULT_CLUSTER, 0, {}),))
        try:
            found = read_entries(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no YAML
            raise SettingsError(f"{path} cannot be read: {error}") from error
        entries = tuple(entry for entry in found if entry.name != DEFAULTS)
        if not entries:
            raise SettingsError(f"{path}: it should have an entry for each cluster, such as 'default: {{}}'")
        shared = [entry for entry in found if entry.name == DEFAULTS]
        return cls(path, entries, shared[-1]) if shared else cls(path, entries)

    @cached_property
    def names(self) -> list[str]:
        """The names of the clusters."""
        return list(dict.fromkeys(entry.name for entry in self.entries))

    def settings(self, name: str) -> ClusterSettings:
        """The settings of one cluster.

        :raises SettingsError: with all that is wrong in its entry, and in the defaults that it takes.
        """
        faults = list(self._faults_of(self._entry(name)))
        if faults:
            raise SettingsError(self._said(faults))
        return self._checked(self._entry(name))

    def guard_settings(self, name: str) -> ClusterSettings | None:
        """For the guard of a cluster whose entry may be wrong: what is right in it, and defaults for the rest.

        :return: None if the entry's name or connection cannot be read.
        """
        entry = self._entry(name)
        if not isinstance(entry.values, dict):
            return None
        values = _merged(self.defaults.values, entry.values)
        if "connection" not in values and any(_meant_by(key) == "connection" for key in values):
            return None
        for _ in range(2):
            try:
                return ClusterSettings.model_validate({**values, "name": name})
            except ValidationError as error:
                wrong = {str(place[0]) if place else "" for place, _ in each_problem(error)}
            if wrong & {"name", "connection"}:
                return None
            # Without a name: a fault of several settings together. What is left then is the connection.
            right = (key for key in values if str(key) not in wrong and ("" not in wrong or key == "connection"))
            values = {key: values[key] for key in right}
        return None

    def faults(self) -> list[Fault]:
        """All that is wrong in the file, in its order."""
        found = [fault for entry in (self.defaults, *self.entries) for fault in self._faults_of(entry)]
        return sorted(dict.fromkeys([*found, *self._same_connections()]), key=lambda fault: fault.line)

    def require_right(self) -> None:
        """Refuse a file with a fault in it.

        :raises SettingsError: with every fault.
        """
        if faults := self.faults():
            raise SettingsError(self._said(faults))

    def _entry(self, name: str) -> Entry:
        """Of two with one name the last one, as YAML has it; both are faults."""
        return next(entry for entry in reversed(self.entries) if entry.name == name)

    def _checked(self, entry: Entry) -> ClusterSettings:
        return ClusterSettings.model_validate({**_merged(self.defaults.values, entry.values), "name": entry.name})

    def _faults_of(self, entry: Entry) -> Iterator[Fault]:
        yield from (Fault(line, entry.name, problem) for line, problem in entry.problems)
        if entry is not self.defaults:
            yield from (Fault(line, DEFAULTS, problem) for line, problem in self.defaults.problems)
            if any(each.name == entry.name and each is not entry for each in self.entries):
                yield Fault(entry.line, entry.name, "there are two entries of this name: remove or rename one of them")
        if not isinstance(entry.values, dict):
            yield Fault(entry.line, entry.name, "its settings should be a mapping of names to values")
            return
        if "name" in entry.values:
            yield Fault(entry.line_of(("name",)), entry.name, "name: the key of the entry is the cluster's name")
            return
        yield from self._after(entry)
        try:
            self._checked(entry)
        except ValidationError as error:
            for place, problem in each_problem(error):
                source = entry if entry.has(place) or not self.defaults.has(place) else self.defaults
                yield Fault(source.line_of(place), source.name, problem + _suggestion(place, problem))

    def _after(self, entry: Entry) -> Iterator[Fault]:
        """What is wrong with the clusters that an entry goes after."""
        for name in self._first_ones(entry):
            if entry is not self.defaults and name == entry.name:
                problem = f"no cluster goes after itself: write after: [] for {name}"
            elif name not in self.names:
                meant = next(iter(difflib.get_close_matches(name, self.names, n=1)), None)
                problem = f"there is no cluster {name}" + (f"; is {meant} meant?" if meant else "")
            elif entry is not self.defaults and self._goes_after(self._entry(name), entry.name, {entry.name}):
                problem = f"{name} goes after {entry.name}, so that each waits for the other"
            else:
                continue
            source = entry if entry.has(("after",)) else self.defaults
            yield Fault(source.line_of(("after",)), entry.name, f"after: {problem}")

    def _first_ones(self, entry: Entry) -> list[str]:
        named = _merged(self.defaults.values, entry.values).get("after")
        return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []

    def _goes_after(self, entry: Entry, name: str, seen: set[str]) -> bool:
        """Whether an entry waits for this one, directly or by others."""
        for first in self._first_ones(entry):
            if first == name:
                return True
            if first in self.names and first not in seen and self._goes_after(self._entry(first), name, seen | {first}):
                return True
        return False

    def _same_connections(self) -> Iterator[Fault]:
        """Entries with the connection of an earlier one. They keep their DAGs: the lease keeps their windows apart."""
        first: dict[str, str] = {}
        for entry in self.entries:
            written = _merged(self.defaults.values, entry.values).get("connection")
            connection = str(written or ClusterSettings.model_fields["connection"].default)
            if first.setdefault(connection, entry.name) != entry.name:
                problem = f"connection: {connection} is already that of cluster {first[connection]!r}; each has its own"
                yield Fault(entry.line_of(("connection",)), entry.name, problem)

    def _said(self, faults: Iterable[Fault]) -> str:
        return f"{self.path or 'clusters.yaml'}:\n" + "\n".join(fault.text() for fault in faults)


def load_clusters(file: Path | None = None) -> list[ClusterSettings]:
    """The clusters of a file without a fault, in its order.

    :param file: see :meth:`ClustersFile.read`.
    :raises SettingsError: with every fault.
    """
    read = ClustersFile.read(file)
    read.require_right()
    return [read.settings(name) for name in read.names]


def other_entry(name: str) -> ClusterSettings | None:
    """The settings of another entry, as far as they are right; None if there is no such entry (any more).

    :raises SettingsError: if the file cannot be read.
    """
    file = ClustersFile.read()
    return file.guard_settings(name) if name in file.names else None


def other_entries() -> Iterator[ClusterSettings]:
    """Every entry of the file of which enough can be read for a guard.

    :raises SettingsError: if the file cannot be read.
    """
    file = ClustersFile.read()
    for name in file.names:
        settings = file.guard_settings(name)
        if settings is not None:
            yield settings


def _merged(defaults: Any, values: Any) -> dict[Any, Any]:
    """An entry's settings over the shared ones; ceilings and parameters one by one."""
    merged = dict(defaults) if isinstance(defaults, dict) else {}
    for name, value in values.items() if isinstance(values, dict) else ():
        shared = merged.get(name)
        merged[name] = {**shared, **value} if isinstance(shared, dict) and isinstance(value, dict) else value
    return merged


def _meant_by(name: Any, known: Iterable[str] = ClusterSettings.model_fields) -> str | None:
    """Which setting a name that is none resembles."""
    names = list(known)
    return None if name in names else next(iter(difflib.get_close_matches(str(name), names, n=1)), None)


def _suggestion(place: Place, problem: str) -> str:
    if not problem.endswith("there is no such setting"):
        return ""
    meant = _meant_by(place[-1], _KNOWN.get(place[:-1], ()))
    return f"; is {meant} meant?" if meant else ""

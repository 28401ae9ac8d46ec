"""``clusters.yaml`` as typed settings, and the trigger form that is built from them.

Each entry of the file is one cluster and makes one DAG. Without a file there is one cluster, ``default``, reached
through the Airflow connection ``kubernetes_default``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from include.registry_prune.decision import Mode, Thresholds
from include.registry_prune.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size

CLUSTERS_FILE_VARIABLE = "REGISTRY_PRUNE_CLUSTERS"
"""Environment variable with the path of ``clusters.yaml``; else the file beside the ``dags`` folder."""
DEFAULT_CLUSTER = "default"
BASE_DAG_ID = "registry_prune"


class SettingsError(Exception):
    """A setting or parameter is wrong; the message names each, and what it should be."""


def _checked_size(text: str) -> str:
    parse_size(text)
    return text


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


def _whole_number(value: Any) -> Any:
    """For JSON, and so for the trigger form, 1000.0 is the whole number 1000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Size = Annotated[str, AfterValidator(_checked_size)]
Duration = Annotated[str, AfterValidator(_checked_duration)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunParameters(_Strict):
    """What one run is asked to do: the trigger form, with the cluster's defaults in it."""

    hard_prune: Literal["auto", "force", "never"] = "auto"
    dry_run_only: bool = False
    base_prune: bool = True
    survey: bool = True
    integrity_check: bool = True
    keep_tag_revisions: Annotated[WholeNumber, Field(ge=0, le=1_000_000)] | None = None
    keep_younger_than: Duration | None = None
    min_blobs: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)] = 1_000
    min_size: Size = "2GiB"

    @property
    def mode(self) -> Mode:
        """``hard_prune`` as the decision takes it."""
        return Mode(self.hard_prune)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as the decision takes them."""
        return Thresholds(min_blobs=self.min_blobs, min_bytes=parse_size(self.min_size))

    @property
    def may_open_window(self) -> bool:
        """Whether the run may make the registry read-only at all."""
        return self.mode is not Mode.NEVER and not self.dry_run_only

    @property
    def needs_role(self) -> bool:
        """Whether the run looks into the registry's storage, for which the registry's account needs the role."""
        return self.surveys or self.may_open_window

    @property
    def surveys(self) -> bool:
        """Whether the run looks before it would open a window."""
        return self.survey or self.dry_run_only


class ClusterSettings(_Strict):
    """One cluster: how to reach it, when, with what limits.

    Times are durations such as ``15m``. Every limit is a bound on waiting, not an expectation.

    :param connection: Airflow connection of type ``kubernetes``.
    :param schedule: cron expression in UTC. 03:15 is away from the cluster's own image pruner at midnight.
    :param settle_limit: a rollout of three registry pods was seen to take 43 s; 15 minutes leave room for image
        pulls and for a node that has to be replaced.
    :param base_prune_limit: the pruner retries five times with pauses of up to 150 s, and works for minutes to an hour.
    :param dry_run_limit: 505,651 blobs on object storage took 4 h 21 min to scan.
    :param delete_limit: the same blobs took 14 h 43 min to delete.
    :param integrity_limit: it looks every blob of every image up; like a dry run.
    :param pruner_stop: how long a pruner may take to end when asked; it ends between two blobs.
    :param lease: a run that has not renewed its lease for so long is taken for dead, and the guard closes its window.
        It is renewed three times in that time; 15 minutes outlast a restart of Airflow or of the API server.
    :param reopen_anyway: if a pod with a pruner in it can neither be searched nor be seen gone for so long, the
        registry takes pushes again all the same. A registry that stays closed is bad, torn images are worse.
    :param unexplained_read_only: a registry that is read-only for so long without a lease is worth an alert.
    :param artifacts: folder or object-storage URL for the lists of candidates; empty: below Airflow's home.
    :param alert_connection: Airflow connection of type ``http`` that alerts are posted to; empty: the log alone.
    :param alert_endpoint: path below that connection's URL.
    """

    name: str = Field(default=DEFAULT_CLUSTER, pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    connection: str = Field(default="kubernetes_default", pattern=r"^[\w.-]+$")
    schedule: str | None = "15 3 * * *"
    settle_limit: Duration = "15m"
    base_prune_limit: Duration = "2h"
    dry_run_limit: Duration = "12h"
    delete_limit: Duration = "48h"
    integrity_limit: Duration = "12h"
    pruner_stop: Duration = "30s"
    lease: Duration = "15m"
    reopen_anyway: Duration = "4h"
    unexplained_read_only: Duration = "1h"
    artifacts: str = ""
    alert_connection: str = ""
    alert_endpoint: str = ""
    parameters: RunParameters = RunParameters()

    @property
    def dag_id(self) -> str:
        """Id of the cluster's DAG; the cluster called ``default`` has the plain one."""
        return BASE_DAG_ID if self.name == DEFAULT_CLUSTER else f"{BASE_DAG_ID}_{self.name}"

    def seconds(
        self,
        limit: Literal[
            "settle_limit",
            "base_prune_limit",
            "dry_run_limit",
            "delete_limit",
            "integrity_limit",
            "pruner_stop",
            "lease",
            "reopen_anyway",
            "unexplained_read_only",
        ],
    ) -> float:
        """One of the durations, in seconds."""
        return parse_duration(getattr(self, limit)).total_seconds()

    @classmethod
    def from_mapping(cls, name: str, values: Mapping[str, Any]) -> Self:
        """The settings of one entry of the file.

        :raises SettingsError: with every wrong value.
        """
        if "name" in values:
            raise SettingsError(f"clusters.yaml, cluster {name!r}: name: the key of the entry is the cluster's name")
        try:
            return cls.model_validate({**values, "name": name})
        except ValidationError as error:
            raise SettingsError(f"clusters.yaml, cluster {name!r}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """What is wrong, value by value, in one line each."""
    lines = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"]) or "the whole"
        if each["type"] == "extra_forbidden":
            lines.append(f"{place}: there is no such setting")
        else:
            lines.append(f"{place}: {each['msg'].removeprefix('Value error, ')} (it is {str(each['input'])[:80]!r})")
    return "; ".join(lines)


def load_clusters(file: Path | None = None) -> list[ClusterSettings]:
    """The clusters, in the order of the file.

    :param file: default: ``REGISTRY_PRUNE_CLUSTERS``, else ``clusters.yaml`` in the project's root if it is there.
    :raises SettingsError: if the file is named but missing, is no mapping, or has a wrong value.
    """
    named = os.environ.get(CLUSTERS_FILE_VARIABLE)
    path = file or Path(named or Path(__file__).parents[2] / "clusters.yaml")
    if not path.exists():
        if file is not None or named:
            raise SettingsError(f"{path} is not there: {CLUSTERS_FILE_VARIABLE} names it")
        return [ClusterSettings()]
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError) as error:  # ValueError: no UTF-8, or a date that is none
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"{path}: it should have an entry for each cluster, such as 'default: {{}}'")
    for name, values in content.items():
        if not isinstance(values, dict | None):
            raise SettingsError(f"{path}, cluster {name!r}: its settings should be a mapping of names to values")
    return [ClusterSettings.from_mapping(name, values or {}) for name, values in content.items()]


def parse_parameters(conf: Mapping[str, Any], defaults: RunParameters) -> RunParameters:
    """The parameters of one run. Airflow lets unknown keys through; here they are refused.

    :param conf: what the trigger gave (the run's ``conf`` over the form's values).
    :raises SettingsError: with every wrong value.
    """
    try:
        return RunParameters.model_validate({**defaults.model_dump(), **conf})
    except ValidationError as error:
        known = ", ".join(RunParameters.model_fields)
        raise SettingsError(f"Parameters of this run: {explain(error)}. The parameters are: {known}.") from error


_THE_RUN, _BASE_PRUNE, _THRESHOLDS = "The run", "Base prune", "When to hard-prune"


def trigger_form(defaults: RunParameters) -> dict[str, dict[str, Any]]:
    """The trigger form: for each parameter its default (``value``) and its JSON schema.

    :param defaults: the cluster's own.
    """
    schemas: dict[str, dict[str, Any]] = {
        "hard_prune": {
            "type": "string",
            "enum": ["auto", "force", "never"],
            "title": "Hard prune",
            "description": "auto: when a threshold is reached. force: whatever is found; the ceilings still hold. "
            "never: base prune and survey only.",
            "section": _THE_RUN,
        },
        "dry_run_only": {
            "type": "boolean",
            "title": "Dry run only",
            "description": "Show what the base prune and the hard prune would delete, by a survey. Nothing is deleted, "
            "and the registry is never read-only.",
            "section": _THE_RUN,
        },
        "survey": {
            "type": "boolean",
            "title": "Survey",
            "description": "Do a dry run first, while the registry takes pushes, and open the read-only window only if "
            "it is worth it. Off: the documented order, with a window in every run.",
            "section": _THE_RUN,
        },
        "integrity_check": {
            "type": "boolean",
            "title": "Integrity check",
            "description": "Look before and after whether every image has all of its blobs. Takes about as long as a "
            "dry run, outside the window.",
            "section": _THE_RUN,
        },
        "base_prune": {
            "type": "boolean",
            "title": "Base prune",
            "description": "Run oc adm prune images first.",
            "section": _BASE_PRUNE,
        },
        "keep_tag_revisions": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 1_000_000,
            "title": "Keep tag revisions",
            "description": "Revisions of each tag that are kept. Empty: as the cluster's ImagePruner says.",
            "section": _BASE_PRUNE,
        },
        "keep_younger_than": {
            "type": ["string", "null"],
            "pattern": DURATION_PATTERN,
            "title": "Keep younger than",
            "description": "Images younger than this are kept, such as 60m or 96h. Empty: as the ImagePruner says.",
            "section": _BASE_PRUNE,
        },
        "min_blobs": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000_000,
            "title": "Threshold: blobs",
            "description": "So many orphaned blobs open the gate.",
            "section": _THRESHOLDS,
        },
        "min_size": {
            "type": "string",
            "pattern": SIZE_PATTERN,
            "title": "Threshold: size",
            "description": "So much orphaned data opens the gate, such as 500MiB or 2GiB. Either of the two is enough.",
            "section": _THRESHOLDS,
        },
    }
    values = defaults.model_dump()
    return {name: {"value": values[name], **schema} for name, schema in schemas.items()}

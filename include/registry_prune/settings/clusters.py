"""``clusters.yaml`` as typed settings (pure).

Each entry of the file is one cluster and makes one DAG. Without a file there is one cluster, ``default``, reached
through the Airflow connection ``kubernetes_default``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator

from include.registry_prune.deletion.detached_delete import LARGEST_LOG_BYTES, SMALLEST_LOG_BYTES
from include.registry_prune.settings.opening_hours import OpeningHours, parse_opening_hours, parse_zone
from include.registry_prune.settings.parameters import (
    Duration,
    RunParameters,
    SettingsError,
    Size,
    StrictModel,
    WholeNumber,
    validation_problem,
)
from include.registry_prune.units import format_size, parse_duration, parse_size
from include.registry_prune.verdict.evidence import CeilingLimits

CLUSTERS_FILE_VARIABLE = "REGISTRY_PRUNE_CLUSTERS"
"""Environment variable with the path of ``clusters.yaml``; else the file beside the ``dags`` folder."""
DEFAULT_CLUSTER = "default"
BASE_DAG_ID = "registry_prune"
BASE_GUARD_DAG_ID = "registry_guard"

Limit = Literal[
    "settle_limit",
    "base_prune_wait",
    "base_prune_limit",
    "dry_run_limit",
    "survey_stands_for",
    "delete_limit",
    "integrity_limit",
    "defer_after",
    "follow_every",
    "follow_patience",
    "silence",
    "pruner_stop",
    "lease",
    "reopen_anyway",
    "unexplained_read_only",
    "moment_wait",
    "approval_limit",
]
"""The settings that are durations."""


def _checked_hours(text: str) -> str:
    parse_opening_hours(text, "UTC")
    return text


def _checked_zone(name: str) -> str:
    parse_zone(name)
    return name


def _checked_time(text: str) -> str:
    if not parse_duration(text):
        raise ValueError(f"{text!r} is no time at all, and it has to be longer: write for example 15s, 60m or 12h")
    return text


def _checked_log_size(text: str) -> str:
    if not SMALLEST_LOG_BYTES <= parse_size(text) <= LARGEST_LOG_BYTES:
        smallest, largest = format_size(SMALLEST_LOG_BYTES), format_size(LARGEST_LOG_BYTES)
        raise ValueError(f"{text!r} should be {smallest} to {largest}: the pod's /dev/shm has 64 MiB")
    return text


Time = Annotated[Duration, AfterValidator(_checked_time)]
"""A duration that is not zero."""


class CeilingSettings(StrictModel):
    """A run whose findings are implausibly large stops, and a person has to say that they are right.

    Here each is set for good; one run passes one by naming it in its parameter ``pass_ceilings``.

    :param orphan_share: of all blobs, 0 to 1 (1: never stops). Accidents that look like garbage (Images lost, the
        wrong storage) come near 1; a registry that is pushed to a lot and was never hard-pruned was seen at 0.7.
    :param removed_repositories: repositories whose image streams are gone. Few clusters lose more projects than 25
        between two runs; an outage in which image streams are not found loses them all. A cluster whose CI makes
        a project for each build needs more.
    :param earlier_runs: this many times the median of the last 20 runs. A release day doubles or trebles the garbage;
        ten times as much has a cause that somebody should know.
    :param untyped_images: Images with an empty ``dockerImageManifestMediaType``. The pruner deletes the config of each
        that is stored here, so 0: each is to be repaired, and the message says how.
    :param estimated_time: that the delete may take. 8 hours are a night; more should be somebody's decision.
    """

    orphan_share: float = Field(default=0.8, gt=0, le=1, allow_inf_nan=False)
    removed_repositories: Annotated[WholeNumber, Field(ge=0)] = 25
    earlier_runs: float = Field(default=10.0, ge=1, allow_inf_nan=False)
    untyped_images: Annotated[WholeNumber, Field(ge=0)] = 0
    estimated_time: Duration = "8h"

    @property
    def limits(self) -> CeilingLimits:
        """As the decision takes them."""
        return CeilingLimits(
            orphan_share=self.orphan_share,
            removed_repositories=self.removed_repositories,
            earlier_runs=self.earlier_runs,
            untyped_images=self.untyped_images,
            estimated_seconds=parse_duration(self.estimated_time).total_seconds(),
        )


class ClusterSettings(StrictModel):
    """One cluster: how to reach it, when, with what limits.

    Times are durations such as ``15m``. Every limit is a bound on waiting, not an expectation.

    :param connection: Airflow connection of type ``kubernetes``.
    :param schedule: cron expression in UTC. 03:15 is away from the cluster's own image pruner at midnight.
    :param settle_limit: a rollout of three registry pods was seen to take 43 s; 15 minutes leave room for image
        pulls and for a node that has to be replaced.
    :param base_prune_wait: for a base prune of somebody else (the cluster's own at midnight, say) to end, and for the
        API of images to answer, before the run starts its own. It works for minutes to an hour.
    :param base_prune_limit: the pruner retries five times with pauses of up to 150 s, and works for minutes to an hour.
    :param dry_run_limit: 505,651 blobs on object storage took 4 h 21 min to scan.
    :param survey_stands_for: so long after a survey began, its list stands for the dry run inside the window, which is
        left out then, if all that the API shows is unchanged: docs/architecture.md says what that cannot show. ``0s``:
        never, the dry run is always done again while nobody can write.
    :param delete_limit: the same blobs took 14 h 43 min to delete.
    :param integrity_limit: it looks every blob of every image up; like a dry run.
    :param delete_attempts: a delete that is interrupted (pod evicted, container restarted, pruner killed) is begun
        again in a pod that is there, this many times in all. A registry whose pods keep ending needs a person.
    :param defer_after: how long ``hard_prune`` follows the delete itself before it defers to the triggerer. To defer
        costs about 3 seconds of read-only time: the event, and a process that only hands the result on. After five
        minutes that is one part in a hundred; most deletes are over before. ``0s``: at once.
    :param follow_every: how long one look at the delete stays in its pod before the next takes over. No load balancer
        cuts a connection in that time, and the pod has one more exec in each.
    :param follow_patience: how long nothing may be known of the delete, because the API server does not answer, before
        the task gives it up. It outlasts an upgrade of the control plane.
    :param silence: a pruner that has not named another blob for this long is worth a warning; ``0s``: never. A single
        blob takes about a second on slow object storage. In the scan before the first, which took 4 hours with half a
        million, it is said so often that it goes on.
    :param pod_log: how much the log of the delete may take in its pod's ``/dev/shm``, which has 64 MiB: 256 KiB to
        32 MiB. What comes before its last 3,000 lines or so was read long ago.
    :param pruner_stop: how long a pruner may take to end when asked; it ends between two blobs.
    :param lease: a run that has not renewed its lease for this long is taken for dead, and the guard closes its window.
        It is renewed three times in that time; 15 minutes outlast a restart of Airflow or of the API server.
    :param reopen_anyway: if a pod with a pruner in it can neither be searched nor be seen gone for this long, the
        registry takes pushes again all the same. A registry that stays closed is bad, torn images are worse.
    :param unexplained_read_only: a registry that is read-only for this long without a lease is worth an alert.
    :param restart_after_base_prune: replace the registry's pods, one after another, when the base prune deleted
        something from the storage. Until they are replaced they remember those layers, and a push of one "succeeds"
        although the image cannot be pulled; the documentation wants it done after every prune. Off by default all the
        same, as the cluster's own image pruner does not do it either: a replaced pod cuts off, every day, the uploads
        that take longer than its grace of 55 s.
    :param opening_hours: when a window may be opened, such as ``Mon-Fri 22:00-05:00; Sat,Sun 00:00-24:00``; the day is
        the one that the hours begin on. Empty: always, because the schedule says when a run begins already. Outside
        them a run does the base prune and the survey only.
    :param time_zone: of the opening hours.
    :param moment_wait: how long the right moment is waited for: builds that push to the registry come to their end, a
        rollout does, the opening hours begin. Most builds take minutes; half an hour keeps a run from lasting all day.
    :param approval: whether a person has to approve in Airflow's UI before the window is opened. Off, because what is
        asked every night is soon approved unread.
    :param approval_limit: how long the answer is waited for: a night and a morning.
    :param approval_default: the answer if nobody gave one by then.
    :param artifacts: folder or object-storage URL for the lists of candidates; empty: below Airflow's home.
    :param alert_connection: Airflow connection of type ``http`` that alerts are posted to; empty: the log alone.
    :param alert_endpoint: path below that connection's URL.
    """

    name: str = Field(default=DEFAULT_CLUSTER, pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    connection: str = Field(default="kubernetes_default", pattern=r"^[\w.-]+$")
    schedule: str | None = "15 3 * * *"
    settle_limit: Time = "15m"
    base_prune_wait: Duration = "1h"
    base_prune_limit: Time = "2h"
    dry_run_limit: Time = "12h"
    survey_stands_for: Duration = "0s"
    delete_limit: Time = "48h"
    integrity_limit: Time = "12h"
    delete_attempts: int = Field(default=4, ge=1, le=100)
    defer_after: Duration = "5m"
    follow_every: Time = "15s"
    follow_patience: Time = "30m"
    silence: Duration = "10m"
    pod_log: Annotated[Size, AfterValidator(_checked_log_size)] = "1MiB"
    pruner_stop: Duration = "30s"
    lease: Time = "15m"
    reopen_anyway: Time = "4h"
    unexplained_read_only: Duration = "1h"
    restart_after_base_prune: bool = False
    opening_hours: Annotated[str, AfterValidator(_checked_hours)] = ""
    time_zone: Annotated[str, AfterValidator(_checked_zone)] = "UTC"
    moment_wait: Duration = "30m"
    approval: bool = False
    approval_limit: Time = "12h"
    approval_default: Literal["reject", "approve"] = "reject"
    artifacts: str = ""
    alert_connection: str = ""
    alert_endpoint: str = ""
    ceilings: CeilingSettings = CeilingSettings()
    parameters: RunParameters = RunParameters()

    @field_validator("parameters")
    @classmethod
    def _no_ceiling_is_passed_for_good(cls, parameters: RunParameters) -> RunParameters:
        if parameters.pass_ceilings:
            raise ValueError(
                "pass_ceilings is for one run and a person who looked; raise the limit in ceilings instead"
            )
        return parameters

    @property
    def hours(self) -> OpeningHours:
        """When a window may be opened."""
        return parse_opening_hours(self.opening_hours, self.time_zone)

    @property
    def dag_id(self) -> str:
        """Id of the cluster's DAG; the cluster called ``default`` has the plain one."""
        return BASE_DAG_ID if self.name == DEFAULT_CLUSTER else f"{BASE_DAG_ID}_{self.name}"

    @property
    def guard_dag_id(self) -> str:
        """Id of the DAG of the cluster's guard; see ``dag_id``."""
        return BASE_GUARD_DAG_ID if self.name == DEFAULT_CLUSTER else f"{BASE_GUARD_DAG_ID}_{self.name}"

    @property
    def pod_log_bytes(self) -> int:
        """``pod_log`` in bytes."""
        return parse_size(self.pod_log)

    def seconds(self, limit: Limit) -> float:
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
            raise SettingsError(f"clusters.yaml, cluster {name!r}: {validation_problem(error)}") from error


def load_clusters(file: Path | None = None) -> list[ClusterSettings]:
    """The clusters, in the order of the file.

    :param file: default: ``REGISTRY_PRUNE_CLUSTERS``, else ``clusters.yaml`` in the project's root if it is there.
    :raises SettingsError: if the file is named but missing, is no mapping, or has a wrong value.
    """
    named = os.environ.get(CLUSTERS_FILE_VARIABLE)
    path = file or Path(named or Path(__file__).parents[3] / "clusters.yaml")
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

"""``clusters.yaml`` as typed settings.

Each entry of the file is one cluster and makes one DAG. Without a file there is one cluster, ``default``, reached
through the Airflow connection ``kubernetes_default``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError

from include.registry_prune.parameters import Duration, RunParameters, SettingsError, StrictModel, explain
from include.registry_prune.units import SIZE_PATTERN, parse_duration, parse_size

CLUSTERS_FILE_VARIABLE = "REGISTRY_PRUNE_CLUSTERS"
"""Environment variable with the path of ``clusters.yaml``; else the file beside the ``dags`` folder."""
DEFAULT_CLUSTER = "default"
BASE_DAG_ID = "registry_prune"

Limit = Literal[
    "settle_limit",
    "base_prune_limit",
    "dry_run_limit",
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
]
"""The settings that are durations."""


class ClusterSettings(StrictModel):
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
    :param delete_attempts: a delete that is interrupted (pod evicted, container restarted, pruner killed) is begun
        again in a pod that is there, so often in all. A registry whose pods keep ending is a matter for a person.
    :param defer_after: how long ``hard_prune`` follows the delete itself before it defers to the triggerer. To defer
        costs about 3 seconds of read-only time, and most deletes are over sooner than this. ``0s``: at once.
    :param follow_every: how long one look at the delete stays in its pod before the next takes over. No load balancer
        cuts a connection in that time, and the pod has one more exec in each.
    :param follow_patience: how long nothing may be known of the delete, because the API server does not answer, before
        the task gives it up. It outlasts an upgrade of the control plane.
    :param silence: a pruner that has not named another blob for so long is worth a warning. A single blob takes about
        a second on slow object storage; the scan before the first took 4 hours with half a million.
    :param pod_log: how much the log of the delete may take in its pod's ``/dev/shm``, which has 64 MiB. What comes
        before its last 3,000 lines or so was read long ago.
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
    delete_attempts: int = Field(default=4, ge=1, le=100)
    defer_after: Duration = "30s"
    follow_every: Duration = "15s"
    follow_patience: Duration = "30m"
    silence: Duration = "10m"
    pod_log: str = Field(default="1MiB", pattern=SIZE_PATTERN)
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
            raise SettingsError(f"clusters.yaml, cluster {name!r}: {explain(error)}") from error


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

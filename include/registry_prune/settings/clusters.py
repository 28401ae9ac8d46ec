"""The settings of a cluster: an entry of ``clusters.yaml`` (pure). The file is read in ``clusters_file.py``.

Longer than other files: one list, as in the file, and what each setting is for stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from include.registry_prune.settings.alerting import (
    OF_EACH_WINDOW,
    OF_REGISTRY,
    QUIET,
    AlertChannel,
    AlertKind,
    ChannelKind,
)
from include.registry_prune.settings.ceilings import CeilingSettings
from include.registry_prune.settings.fields import Time, at_most, checked_hours, checked_log_size, checked_zone
from include.registry_prune.settings.opening_hours import OpeningHours, parse_opening_hours
from include.registry_prune.settings.parameters import (
    WHOLE_NUMBER,
    DeleteBy,
    Duration,
    RunParameters,
    SettingsError,
    Size,
    StrictModel,
    validation_problem,
)
from include.registry_prune.units import parse_duration, parse_size
from include.registry_prune.window.lease import LONGEST_LEASE, LONGEST_WINDOW

DEFAULT_CLUSTER = "default"
BASE_DAG_ID = "registry_prune"
BASE_GUARD_DAG_ID = "registry_guard"
BASE_UNDO_DAG_ID = "registry_undo"


def dag_id_of(base: str, name: str) -> str:
    """Id of a cluster's DAG.

    :param base: :data:`BASE_DAG_ID`, :data:`BASE_GUARD_DAG_ID` or :data:`BASE_UNDO_DAG_ID`.
    """
    return base if name == DEFAULT_CLUSTER else f"{base}_{name}"


_LEAST_WAIT_SECONDS = 120
Limit = Literal[
    "settle_limit",
    "base_prune_wait",
    "base_prune_limit",
    "dry_run_limit",
    "survey_lasts",
    "keep_deleted",
    "window_limit",
    "window_warning",
    "integrity_limit",
    "defer_after",
    "follow_every",
    "follow_patience",
    "silence",
    "pruner_stop",
    "lease",
    "reopen_anyway",
    "unexplained_read_only",
    "token_warning",
    "moment_wait",
    "approval_limit",
]
"""The settings that are durations."""


SMALL_IMAGE_NEEDED = "build deploy/small-image, push it to a registry that the cluster can pull from, and name it there"
"""What to do where a delete by the list has no image."""


class ClusterSettings(StrictModel):
    """One cluster: how to reach it, when, with what limits.

    Times are durations such as ``15m``. Every limit says how long something may take at most, not how long it does.
    """

    name: str = Field(default=DEFAULT_CLUSTER, pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """The entry's key."""

    connection: str = Field(default="kubernetes_default", pattern=r"^[\w.-]+$")
    """Airflow connection of the cluster, of type `kubernetes`."""

    schedule: str | None = "15 3 * * *"
    """Cron expression in UTC, or a preset such as `@weekly`; `null`: the DAG runs only when somebody triggers it. 03:15
    is away from the cluster's own image pruner at midnight. Un-pausing the DAG can start a run at once, for the time on
    the schedule that has just passed."""

    on_asset: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_. -]{0,199})?$")] = ""
    """Name of an Airflow asset: each of its events begins a run, too, with the defaults below whatever the event says.
    Nobody looks on, so that such a run takes `force` for `auto` ([ways in](settings.md#ways-in)). Empty: none does."""

    settle_limit: Time = "15m"
    """For the registry to settle after `readOnly` was changed. A rollout of three registry pods was seen to take 43 s;
    the rest is for image pulls, and for a node that has to be replaced."""

    base_prune_wait: Duration = "1h"
    """For another base prune to end (the cluster's own at midnight, say) and for the API of images to answer, before
    the run starts its own base prune. One takes minutes to an hour."""

    base_prune_limit: Time = "2h"
    """For the base prune. It retries five times with pauses of up to 150 s."""

    dry_run_limit: Time = "12h"
    """For the survey, and for the dry run. 505,651 blobs on object storage took 4 h 21 min to scan."""

    dry_run_in_window: Literal["if_needed", "always"] = "if_needed"
    """Whether the pruner scans the storage a second time, while the registry is read-only. `if_needed`: only where the
    survey's list, held against the Images of now, cannot stand for it: no survey, an old one, another pruner or
    storage since, Images that are gone since. `always`: for the cautious; it takes as long as the survey did."""

    survey_lasts: Time = "24h"
    """A survey that began longer ago does not stand for the dry run in the window. A day covers a survey of 12 hours
    and an approval of 12 more."""

    window_limit: Annotated[Time, at_most(LONGEST_WINDOW)] = "4h"
    """How long a window may last, from the patch to read-only until the registry takes pushes again. Shortly before its
    end, or the end of the opening hours, the delete is ended between two blobs and the window is closed: the run has
    done a slice, and the next one goes on. 4 hours fit into a night with room on both sides. `336h`, 14
    days, at most."""

    window_warning: Time = "1m"
    """Alert so long before a window must end, if nobody has begun to close it by then. A slice has: it is ended as long
    before as the rollout back will take."""

    most_slices: Annotated[int, Field(ge=1, le=10_000), WHOLE_NUMBER] = 30
    """Alert, once, when the backlog would take more runs than this, or does not shrink from slice to slice. 30 daily
    runs are a month."""

    integrity_limit: Time = "12h"
    """For each integrity check: it looks up every blob of every image, which takes about as long as a dry run."""

    delete_attempts: int = Field(default=4, ge=1, le=100)
    """How many times the delete may be started in one window. When one is interrupted (pod evicted, container
    restarted, pruner killed), the next begins in a pod that is there. A registry whose pods keep ending needs a
    person."""

    defer_after: Duration = "5m"
    """How long `hard_prune` follows the delete itself before it hands over to the triggerer; `0s`: at once. Handing
    over costs about 3 s of read-only time. After five minutes that is one part in a hundred, and most deletes are over
    by then."""

    follow_every: Time = "15s"
    """How long one look at the delete stays in its pod before the next takes over. No load balancer cuts a connection
    in that time; each look is one more exec in the pod. Within a look the pod is read every half second."""

    follow_patience: Time = "30m"
    """How long the API server may say nothing of the delete before the task gives up. It outlasts an upgrade of the
    control plane."""

    silence: Duration = "10m"
    """Warn when the pruner has named no new blob for this long; `0s`: never. A single blob takes about a second on slow
    object storage. Before the first blob the pruner scans, for 4 hours with half a million blobs; the log then says at
    each interval that the scan goes on."""

    pod_log: Annotated[Size, AfterValidator(checked_log_size)] = "1MiB"
    """How much the log of the delete may take in its pod's `/dev/shm`, which has 64 MiB: 256 KiB to 32 MiB. Whoever
    follows the delete has read what comes before its last 3,000 lines or so."""

    pruner_stop: Duration = "30s"
    """How long a pruner may take to end when it is asked to (it ends between two blobs); then it is killed."""

    lease: Annotated[Time, at_most(LONGEST_LEASE)] = "15m"
    """A run that has not renewed its lease for this long counts as dead, and a guard closes its window. A run renews
    its lease three times in that time; 15 minutes outlast a restart of Airflow or of the API server. A day at most: a
    lease that claims more is no run's, and is taken away."""

    reopen_anyway: Time = "4h"
    """The registry takes pushes again after this long, even if a pod with a pruner in it can neither be searched nor be
    seen gone. A registry that stays closed is bad; torn images are worse."""

    unexplained_read_only: Duration = "1h"
    """Alert when the registry has been read-only for this long without a lease."""

    token_warning: Duration = "336h"  # noqa: S105  a name, and no secret
    """Alert so long before the token of the Airflow connection expires. Two weeks outlast somebody's holidays."""

    restart_after_base_prune: bool = False
    """Replace the registry's pods, one after another, when the base prune deleted something from the storage. Until
    they are replaced they remember those layers, and a push of one "succeeds" although the image cannot be pulled. Off,
    because the cluster's own image pruner does not do it either, and each replaced pod cuts off the uploads that take
    longer than its grace of 55 s."""

    small_image: Annotated[str, Field(pattern=r"^[\w./:@-]*$")] = ""
    """The small image (`deploy/small-image`), as the cluster pulls it: for `delete_by: list`, and for a look at what
    such deletes have kept. Not from the registry that is pruned: a node may have to pull it while that takes no
    traffic. Empty: no delete by the list."""

    keep_deleted: Duration = "0s"
    """How long a delete by the list keeps what it took, where the storage lets it: on a file system, beside the
    registry's own folder; the space is freed after that time. `registry_undo` puts it back. `0s`: until the run has
    seen that all images are whole. A versioned bucket keeps by rules of its own."""

    opening_hours: Annotated[str, AfterValidator(checked_hours)] = ""
    """When a window may be opened, such as `Mon-Fri 22:00-05:00; Sat,Sun 00:00-24:00`; a range belongs to the day on
    which it begins. Empty: always, because the schedule already says when a run begins. Outside the hours a run does
    the base prune and the survey only."""

    time_zone: Annotated[str, AfterValidator(checked_zone)] = "UTC"
    """Of the opening hours."""

    moment_wait: Duration = "30m"
    """How long a run waits for the right moment: for builds that push to the registry to end, for a rollout, for the
    opening hours. Most builds take minutes; half an hour keeps a run from lasting all day."""

    after: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Clusters that go first, such as `[staging]`: a window is opened only if the last one of each, on the same day
    (`time_zone`), ended well. On a day on which one of them had no window, this one has none either."""

    windows_at_once: Annotated[int, Field(ge=0, le=1_000), WHOLE_NUMBER] = 0
    """How many clusters may be read-only at once; 0: any number. For `defaults`, as it counts the clusters that have it
    too, in one Airflow. Who is ready first goes first, a minute later than without; who is not at his turn when
    `moment_wait` is over, skips. No window is ever kept open by it."""

    approval: bool = False
    """Whether a person has to approve in Airflow's UI before the window is opened. Off, because people soon approve
    unread what they are asked every night."""

    approval_limit: Time = "12h"
    """How long a run waits for the answer: a night and a morning."""

    approval_default: Literal["reject", "approve"] = "reject"
    """The answer if nobody gave one by then: `reject` or `approve`."""

    artifacts: str = ""
    """Folder or object-storage URL for the reports of runs, and for the lists of candidates and of what was deleted.
    Empty: below Airflow's home."""

    keep_reports: Annotated[int, Field(ge=0, le=100_000), WHOLE_NUMBER] = 1_095
    """How many days the report of a run is kept: ceilings and estimates compare with the last 20 runs, and the page in
    Airflow's UI shows them. 0: for good. A report takes about 5 KiB, three years of them 5 MiB."""

    keep_lists: Annotated[int, Field(ge=0, le=100_000), WHOLE_NUMBER] = 365
    """How many days the lists of a run are kept, of candidates and of what was deleted; no later run reads them. 0: for
    good. A list takes about 36 bytes for each blob."""

    alert_connection: str = ""
    """Airflow connection of type `http` that alerts are posted to. Empty: alerts go to the log alone."""

    alert_endpoint: str = ""
    """Path below that connection's URL."""

    alert_channels: Annotated[tuple[AlertChannel, ...], Field(strict=False)] = ()
    """Further ways to tell somebody, each with the kinds of alerts that go there."""

    alert_events: bool = True
    """Write an Event on the Config CR when the registry becomes read-only, takes pushes again, or cannot be set back:
    `oc describe configs.imageregistry.operator.openshift.io cluster` then tells who, why and until when."""

    runbooks: str = "docs/runbooks"
    """Where the pages of `docs/runbooks` are for whoever gets an alert: best the URL of your copy of this project."""

    ceilings: CeilingSettings = CeilingSettings()
    """What is more than can be believed: a run stops there, and a person looks."""

    parameters: RunParameters = RunParameters()
    """The defaults of the trigger form: what a run does that nobody asked anything else of."""

    @model_validator(mode="after")
    def _waits_for_its_turn(self) -> Self:
        if self.windows_at_once and self.seconds("moment_wait") < _LEAST_WAIT_SECONDS:
            raise ValueError("windows_at_once needs a moment_wait of 2m or more: a turn is claimed a minute ahead")
        return self

    @field_validator("parameters")
    @classmethod
    def _no_ceiling_is_passed_for_good(cls, parameters: RunParameters) -> RunParameters:
        if parameters.pass_ceilings:
            raise ValueError(
                "pass_ceilings is for one run and a person who looked; raise the limit in ceilings instead"
            )
        return parameters

    @model_validator(mode="after")
    def _list_needs_its_image(self) -> Self:
        if self.parameters.delete_by is DeleteBy.LIST and not self.small_image:
            raise ValueError(f"parameters.delete_by: list needs small_image: {SMALL_IMAGE_NEEDED}")
        return self

    @property
    def hours(self) -> OpeningHours:
        """When a window may be opened."""
        return parse_opening_hours(self.opening_hours, self.time_zone)

    @property
    def dag_id(self) -> str:
        """Id of the cluster's DAG; the cluster called ``default`` has the plain one."""
        return dag_id_of(BASE_DAG_ID, self.name)

    @property
    def guard_dag_id(self) -> str:
        """Id of the DAG of the cluster's guard; see ``dag_id``."""
        return dag_id_of(BASE_GUARD_DAG_ID, self.name)

    @property
    def undo_dag_id(self) -> str:
        """Id of the DAG that undoes a delete by the list; see ``dag_id``."""
        return dag_id_of(BASE_UNDO_DAG_ID, self.name)

    @property
    def channels(self) -> tuple[AlertChannel, ...]:
        """Every way in which somebody is told."""
        channels = self.alert_channels
        if self.alert_events:
            channels = (AlertChannel(channel=ChannelKind.EVENT, kinds=tuple(sorted(OF_REGISTRY))), *channels)
        if self.alert_connection:
            kinds = tuple(kind for kind in AlertKind if kind not in QUIET | OF_EACH_WINDOW)
            post = AlertChannel(
                channel=ChannelKind.HTTP, connection=self.alert_connection, endpoint=self.alert_endpoint, kinds=kinds
            )
            channels = (post, *channels)
        return channels

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

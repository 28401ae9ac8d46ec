"""
# Hard prune of the integrated image registry

Once a day: the base prune, then a dry run while the registry takes pushes (the *survey*). Only if it shows enough
orphaned blobs, the **hard prune** of OpenShift's documentation (section 14.7): registry read-only, dry run, delete,
read-write again. On a day with nothing to prune the registry is never read-only.

| task | step of the documentation | what it does |
| --- | --- | --- |
| `verify_access` | 1 log in | permissions and the state of the registry |
| `base_prune` | 2 base prune | a Job from the cluster's own `image-pruner` template |
| `restart_registry` | | if set so: replaces the pods, which remember layers that the base prune deleted |
| `grant_image_pruner` | 4 role | `system:image-pruner` for the registry's service account, if it lacks it |
| `survey`, `survey_gate` | 5 dry run, early | below the thresholds the rest is skipped |
| `integrity_before` | | which images are broken already |
| `approve_window` | | a person's approval, if the settings want it |
| `right_moment` | | opening hours, running builds, and all checks once more |
| `arm_window` | | writes the lease, suspends the ImagePruner |
| `set_read_only` | 3 read-only | patches, then waits until no pod takes pushes any more |
| `dry_run`, `blob_threshold` | 5 dry run | what the delete will do; no candidate may be named by an Image |
| `hard_prune` | 6 delete | `dockerregistry -prune=delete`; or, by setting, exactly the list in a pod of its own |
| `restore_read_write` | 7 read-write | runs whatever happens: no pruner lives, pushes are taken again |
| `reconcile` | | which candidates were deleted, and was anything else? |
| `integrity_after` | | an image broken now that was whole before fails the run |
| `remove_deleted` | | what deletes by the list have kept long enough is removed for good |
| `revoke_image_pruner`, `verify_restored`, `report` | | nothing is left behind; what the run found and did |

**Trigger it by hand** with the form: `dry_run_only` shows what would be deleted, deletes nothing, and the registry is
never read-only; `force` ignores the thresholds. **If it fails**, the log of the first red task says what is wrong and
what to do; the registry is read-write unless `restore_read_write` itself is red.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param, TaskGroup

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.run.base import FIRST_OF_ALL, NO_BACKFILLS, closing_timeout
from include.registry_prune.run.dag_file import clusters_to_prune
from include.registry_prune.run.tries import note_earlier_tries, note_problem, told_once
from include.registry_prune.settings.clusters import ClusterSettings, Limit
from include.registry_prune.settings.parameters import trigger_form
from include.registry_prune.tasks.after_window import (
    IntegrityAfter,
    Report,
    RestoreReadWrite,
    RevokeImagePruner,
    VerifyRestored,
)
from include.registry_prune.tasks.approval import ApproveWindow
from include.registry_prune.tasks.before_window import (
    BasePruneImages,
    GrantImagePruner,
    IntegrityBefore,
    RestartRegistry,
    Survey,
    VerifyAccess,
)
from include.registry_prune.tasks.gates import BlobThreshold, RightMoment, SurveyGate
from include.registry_prune.tasks.hard_prune import HardPrune
from include.registry_prune.tasks.in_window import ArmWindow, DryRun, SetReadOnly
from include.registry_prune.tasks.kept import RemoveDeleted
from include.registry_prune.tasks.reconcile import Reconcile

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def step(group_id: str, name: str, tooltip: str) -> TaskGroup:
    """Tasks that are one box in the graph until somebody opens it; their ids stay as they are."""
    return TaskGroup(group_id, group_display_name=name, tooltip=tooltip, prefix_group_id=False)


def schedule_of(cluster: ClusterSettings) -> Any:
    """What begins a run by itself: the time, each event of an asset, or either."""
    if not cluster.on_asset:
        return cluster.schedule
    assets = [Asset(cluster.on_asset)]
    if cluster.schedule is None:
        return assets
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(cluster.schedule, timezone="UTC"), assets=assets)


def build_dag(cluster: ClusterSettings) -> DAG:
    """The run for one cluster. Why it is wired like this: docs/design/2026-11-23-wiring-of-the-run.md."""

    def limit(name: Limit) -> timedelta:
        """The task's own bound on waiting, and time to say so before Airflow ends it."""
        return timedelta(seconds=cluster.seconds(name)) + 5 * MINUTE

    with DAG(
        dag_id=cluster.dag_id,
        schedule=schedule_of(cluster),
        catchup=False,
        max_active_runs=1,
        **NO_BACKFILLS,
        # No dagrun_timeout: when it elapses, teardowns are skipped too and the registry stays read-only.
        default_args={
            "cluster": cluster,
            "retries": 2,
            "retry_delay": 10 * SECOND,
            "execution_timeout": 5 * MINUTE,
            # By default the weight of all that follows would be added, and a survey come before another's open window.
            "weight_rule": "absolute",
            "on_execute_callback": note_earlier_tries,
            "on_failure_callback": note_problem,
        },
        on_failure_callback=Alert(AlertKind.RUN_FAILED, cluster),
        on_success_callback=Alert(AlertKind.PRUNED, cluster),
        doc_md=__doc__,
        tags=["image-registry", "openshift"],
    ) as dag:
        # 1. Log in: nothing has begun, so it may wait until Airflow's api-server has been restarted.
        verify_access = VerifyAccess(task_id="verify_access", retries=4, retry_delay=20 * SECOND).as_setup()

        with step("look_first", "Look first", "Base prune, then a dry run while the registry takes pushes."):
            # 2. Base prune: retried once, it retries its own requests.
            base_prune = BasePruneImages(
                task_id="base_prune",
                retries=1,
                retry_delay=MINUTE,
                execution_timeout=limit("base_prune_limit") + timedelta(seconds=cluster.seconds("base_prune_wait")),
            )
            restart_registry = RestartRegistry(task_id="restart_registry", execution_timeout=limit("settle_limit"))

            # 4. Role, before the window because the survey needs it. 5. Dry run, early.
            grant = GrantImagePruner(task_id="grant_image_pruner").as_setup()
            survey = Survey(task_id="survey", execution_timeout=limit("dry_run_limit"))
            survey_gate = SurveyGate(
                task_id="survey_gate", poke_interval=5, timeout=1800, execution_timeout=35 * MINUTE
            )
            integrity_before = IntegrityBefore(task_id="integrity_before", execution_timeout=limit("integrity_limit"))

        with step("wait_for_the_moment", "Wait for the moment", "An approval, opening hours, running builds."):
            # Both wait without a worker.
            approve_window = ApproveWindow(task_id="approve_window")
            right_moment = RightMoment(
                task_id="right_moment", mode="reschedule", poke_interval=60, timeout=limit("moment_wait")
            )

        with step(
            "read_only_window", "Read-only window", "No pushes, from the patch until the registry takes them again."
        ):
            # 3. Read-only. Not retried: a registry that does not settle is put back at once.
            arm_window = ArmWindow(
                task_id="arm_window", execution_timeout=closing_timeout(cluster), **FIRST_OF_ALL
            ).as_setup()
            set_read_only = SetReadOnly(
                task_id="set_read_only",
                retries=0,
                execution_timeout=limit("settle_limit"),
                on_success_callback=Alert(AlertKind.READ_ONLY, cluster),
                **FIRST_OF_ALL,
            ).as_setup()

            # 5. Dry run: a short pause before a retry, the registry is read-only meanwhile. The gate of the delete.
            dry_run = DryRun(
                task_id="dry_run", retry_delay=2 * SECOND, execution_timeout=limit("dry_run_limit"), **FIRST_OF_ALL
            )
            blob_threshold = BlobThreshold(
                task_id="blob_threshold",
                poke_interval=2,
                timeout=1800,
                retry_delay=2 * SECOND,
                execution_timeout=35 * MINUTE,
                **FIRST_OF_ALL,
            )

            # 6. Delete. It lives on in its pod whatever becomes of this task: a retry finds it and follows it. What the
            # pruner itself reports is not retried: another run goes on from where it stopped.
            hard_prune = HardPrune(
                task_id="hard_prune",
                retry_delay=2 * SECOND,
                execution_timeout=limit("window_limit"),
                on_failure_callback=[note_problem, Alert(AlertKind.IMAGE_LOST, cluster)],
                **FIRST_OF_ALL,
            )

            # 7. Read-write. Whatever happened; retried with pauses of an hour in all, because nothing else in the run
            # does it. The first try that fails is told at once, and then the end.
            restore = RestoreReadWrite(
                task_id="restore_read_write",
                retries=12,
                retry_delay=5 * SECOND,
                retry_exponential_backoff=True,
                max_retry_delay=10 * MINUTE,
                execution_timeout=closing_timeout(cluster),
                on_success_callback=Alert(AlertKind.READ_WRITE, cluster),
                on_retry_callback=told_once(Alert(AlertKind.RESTORE_FAILED, cluster, tried_again=True)),
                on_failure_callback=[note_problem, Alert(AlertKind.RESTORE_FAILED, cluster)],
                **FIRST_OF_ALL,
            ).as_teardown(setups=[arm_window, set_read_only])

        with step(
            "afterwards", "Afterwards", "What was deleted, whether every image is whole, whether anything is left."
        ):
            reconcile = Reconcile(
                task_id="reconcile",
                execution_timeout=limit("dry_run_limit"),
                on_failure_callback=[note_problem, Alert(AlertKind.IMAGE_LOST, cluster)],
            )
            integrity_after = IntegrityAfter(
                task_id="integrity_after",
                execution_timeout=limit("integrity_limit"),
                on_failure_callback=[note_problem, Alert(AlertKind.IMAGES_BROKEN, cluster)],
            )
            revoke = RevokeImagePruner(
                task_id="revoke_image_pruner", retries=8, retry_delay=5 * SECOND, retry_exponential_backoff=True
            ).as_teardown(setups=[verify_access, grant])
            # none_failed: on a quiet day restore_read_write is skipped, and this still looks.
            verify_restored = VerifyRestored(task_id="verify_restored", trigger_rule="none_failed")
            # none_failed: on a quiet day it removes what earlier runs have kept long enough.
            remove_deleted = RemoveDeleted(
                task_id="remove_deleted", trigger_rule="none_failed", execution_timeout=limit("dry_run_limit")
            )
        report = Report(task_id="report", on_success_callback=Alert(AlertKind.BACKLOG, cluster)).as_teardown()

        # Tasks are wired, never groups: what `>>` makes of a group leaves teardowns out.
        verify_access >> base_prune >> restart_registry >> grant >> survey >> survey_gate >> integrity_before
        integrity_before >> approve_window >> right_moment >> arm_window
        arm_window >> set_read_only >> dry_run >> blob_threshold >> hard_prune >> restore
        # Beside each other: neither may keep the other from its work, nor from deciding the run's state.
        restore >> [reconcile, integrity_after] >> revoke
        # Beside the rest: it may take long, and the role is not needed for it.
        [reconcile, integrity_after] >> remove_deleted
        # Directly after both teardowns, so that a failed restore cannot hide behind a good revoke.
        [restore, revoke] >> verify_restored
        # Also after revoke: when restore failed, verify_restored is given up while revoke still has to run.
        [revoke, verify_restored, remove_deleted] >> report
    # After the tasks, which read the run's `conf`: each would hold a copy of them, which Airflow stores. An update is
    # not validated, which would take longer than all the rest; the settings have been.
    form = trigger_form(cluster.parameters)
    dag.params.update({name: Param(field.pop("value"), **field) for name, field in form.items()})
    return dag


for _cluster in clusters_to_prune():
    globals()[_cluster.dag_id] = build_dag(_cluster)

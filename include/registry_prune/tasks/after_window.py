"""The steps that end a run: read-write again, integrity, the role taken back, a last look, the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import ImagesBrokenError
from include.registry_prune.cluster.registry_state import Opening, Settled
from include.registry_prune.fleet.others import release_turn
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.report.links import ReportPageLink
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.run.past_runs import history_asset, history_of
from include.registry_prune.run.run_context import Run, closing_limits
from include.registry_prune.run.tries import EARLIER_SECONDS, PROBLEM
from include.registry_prune.settings.parameters import SettingsError
from include.registry_prune.tasks.before_window import IntegrityBefore
from include.registry_prune.tasks.in_window import OPENING, PODS_SEEN
from include.registry_prune.units import format_count
from include.registry_prune.verdict.decision import Mode
from include.registry_prune.window.lease import Holder, Lease, LeaseError, TakenOverError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from include.registry_prune.records import Record
    from include.registry_prune.report.report import RunReport
    from include.registry_prune.settings.clusters import ClusterSettings


class RestoreReadWrite(RegistryOperator):
    """Step 7, read-write: no pruner lives, what the lease says is put back, every pod takes pushes again."""

    retries_refusals = True

    def work(self, run: Run) -> Record | None:
        from include.registry_prune.cluster.settling import NotSettledError
        from include.registry_prune.pruner.processes import PrunerLivesError
        from include.registry_prune.window.closing import close_window

        try:
            holder = self._open_window(run)
            if holder is None:
                return None
            with run.lease_keeper(holder):
                closed = close_window(
                    run.cluster, holder=holder, limits=closing_limits(self.cluster, revokes_role=False)
                )
        except TakenOverError as error:
            # Not again: without its lease the window would be taken for one that lost it.
            raise AirflowFailException(str(error)) from error
        except (NotSettledError, PrunerLivesError) as error:
            raise AirflowException(str(error)) from error
        release_turn(self.cluster, run.name)
        return closed

    def _open_window(self, run: Run) -> Holder | None:
        """This run's window, of this time or an earlier one; None if nothing of it is open.

        That nothing is there is good news only from a run that never armed a window, or where somebody has closed it.

        :raises LeaseError: if another window is there although this run's was never closed.
        """
        from include.registry_prune.window.config_lease import closed_windows, held_lease
        from include.registry_prune.window.lost_lease import reclaim_window

        config = run.cluster.config()
        armed = run.result("arm_window", Lease)
        try:
            held = held_lease(config)
        except LeaseError:
            if armed is None:
                raise
            # Somebody has written something else over it: what the run knows itself closes its window.
            held = None
        if held is not None and (held.owner.of_run(run.token) or (armed is not None and held.held_by(armed.owner))):
            return held.owner
        if armed is None or armed.token in closed_windows(config):
            self.log.info("Nothing to put back: %s", "no window was armed" if armed is None else "it is closed already")
            return None
        if held is not None:
            raise LeaseError(
                f"Config cluster: the lease of this run's window is gone, and one of {held.holder} is there: somebody "
                "removed the first while its window was open. Nothing is changed. See that no pruner of this run lives "
                "(docs/on-call.md); the other run or the guard sets the registry read-write."
            )
        opening = run.result("set_read_only", Opening, OPENING)
        settled = run.result("set_read_only", Settled)
        reclaim_window(
            run.cluster,
            armed=armed,
            opening=opening if opening and opening.window == armed.token else None,
            settled=settled if settled and settled.window == armed.token else None,
        )
        return armed.owner


class IntegrityAfter(IntegrityBefore):
    """Is an image broken now that was whole before? That is the loudest alert there is."""

    def work(self, run: Run) -> Record | None:
        check = self.check(run)
        before = run.result("integrity_before", IntegrityCheck)
        if check is None or before is None:
            return check
        broken = check.newly_broken(before)
        if broken:
            run.hand_over(check)
            shown = "\n".join(broken[:50])
            raise ImagesBrokenError(
                "IMAGES ARE BROKEN THAT WERE WHOLE BEFORE THIS RUN. Push or import them again; pause this DAG until it "
                f"is known why:\n{shown}"
            )
        return check


class RevokeImagePruner(RegistryOperator):
    """Takes the role away again, if the binding is ours."""

    retries_refusals = True

    def work(self, run: Run) -> None:
        from include.registry_prune.cluster.role import Grant, revoke_role

        if not run.parameters.needs_role:
            self.log.info("This run did not need the role")
            return
        grant = run.result("grant_image_pruner", Grant)
        if grant is not None and not grant.ours:
            self.log.info("ClusterRoleBinding %s is not ours: it stays", grant.binding)
            return
        revoke_role(run.cluster, owner=run.identity)


class VerifyRestored(RegistryOperator):
    """Looks at the cluster itself; fails the run if anything of it is left behind. Lists the builds that it hit."""

    def work(self, run: Run) -> Record | None:
        from include.registry_prune.window.leftovers import builds_hit, leftovers

        lease = run.result("arm_window", Lease)
        restored = run.result("restore_read_write", Settled)
        found = leftovers(run.cluster, run_token=run.token, owner=run.identity, lease=lease)
        if found:
            raise AirflowException("This run left something behind:\n" + "\n".join(f"  - {each}" for each in found))
        self.log.info("Nothing of this run is left in the cluster")
        if lease is None or restored is None or restored.closed_at is None:
            return None
        hit = builds_hit(run.cluster, opened=lease.armed_at, closed=restored.closed_at)
        if hit is not None and hit.count:
            self.log.warning("Start these builds again, their push failed in the window: %s", ", ".join(hit.names))
        return hit


class Report(RegistryOperator):
    """Publishes the report of every run, also of one that failed at its first step, and keeps it for later runs and for
    the page; removes what is older than somebody wants to keep it."""

    operator_extra_links = (ReportPageLink(),)

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(cluster=cluster, inlets=[history_asset(cluster)], **kwargs)

    def work(self, run: Run) -> Record:
        from include.registry_prune.report.building import build_report
        from include.registry_prune.report.facts import Facts
        from include.registry_prune.report.kept_reports import ReportsError, keep_report

        # A run that never came to its window has a turn no more.
        release_turn(self.cluster, run.name)
        states = run.task_states()
        tasks = [task for task in run.context["dag"].task_ids if task != self.task_id and states.get(task)]
        facts = Facts(
            results=_handed_over(run, tasks),
            states={task: str(states[task]) for task in tasks},
            problems=_handed_over(run, [task for task in tasks if states[task] == "failed"], PROBLEM),
            pods_seen=_handed_over(run, ["set_read_only"], PODS_SEEN).get("set_read_only"),
        )
        try:
            dry_run_only = run.parameters.dry_run_only
            hard_prune_wanted = run.parameters.hard_prune is not Mode.NEVER
        except SettingsError:
            dry_run_only, hard_prune_wanted = False, True
        report = build_report(
            facts,
            run_id=run.run_id,
            cluster=self.cluster.name,
            phases=_seconds_of_all_tries(run, tasks),
            hard_prune_wanted=hard_prune_wanted,
            dry_run_only=dry_run_only,
            history=history_of(run),
            most_slices=self.cluster.most_slices,
            keep_seconds=self.cluster.seconds("keep_deleted"),
        )
        report = report.model_copy(
            update={
                "dag_id": run.dag_id,
                "run_after": run.context["dag_run"].run_after,
                "started_at": run.started_at,
                "reported_at": datetime.now(UTC),
            }
        )
        self.log.info("%s", report.text())
        run.hand_over(report)
        try:
            self.log.info("The report is kept at %s", keep_report(report, self.cluster.artifacts))
        except ReportsError as error:
            if run.has_another_try:
                raise AirflowException(str(error)) from error
            self.log.error("%s. Later runs cannot compare with this one", error)  # noqa: TRY400
        else:
            self._remove_what_is_old()
        self._emit(report)
        return report

    def _emit(self, report: RunReport) -> None:
        """The figures of this run; of an earlier one, when the last good run was."""
        from include.registry_prune.report.backlog import recent_reports
        from include.registry_prune.report.metrics import emit, report_figures

        try:
            earlier = [each for each in recent_reports(self.cluster) if each.run_id != report.run_id]
        except OSError:
            # It has been said already: the report was not kept either.
            earlier = []
        emit(self.cluster.name, report_figures([report, *earlier]))

    def _remove_what_is_old(self) -> None:
        """What cannot be removed is no reason for anything to fail: the next run tries again."""
        from include.registry_prune.lists.old_lists import remove_old_lists
        from include.registry_prune.report.kept_reports import remove_reports

        kinds = (
            ("reports", remove_reports, self.cluster.keep_reports),
            ("lists", remove_old_lists, self.cluster.keep_lists),
        )
        for what, remove, days in kinds:
            if not days:
                continue
            before = datetime.now(UTC) - timedelta(days=days)
            try:
                count = remove(self.cluster.artifacts, self.cluster.dag_id, before=before)
            except Exception as error:  # object storages raise errors of their own libraries
                self.log.warning("Old %s could not be removed, the next run tries again: %s", what, error)
            else:
                if count:
                    self.log.info(
                        "Removed the %s of %s from before %s", what, format_count(count, "run"), before.date()
                    )


def _handed_over(run: Run, tasks: Iterable[str], key: str = "return_value") -> dict[str, Any]:
    """What these tasks left under a key, as JSON; those that left nothing are missing."""
    ti: Any = run.context["ti"]
    values = {task: ti.xcom_pull(task_ids=task, key=key) for task in tasks}
    return {task: value for task, value in values.items() if value is not None}


def _seconds_of_all_tries(run: Run, tasks: list[str]) -> dict[str, float]:
    """How long each task took: Airflow knows its last try, and the task itself noted the ones before."""
    ti: Any = run.context["ti"]
    last = {
        each["task_id"]: each["duration"] or 0.0
        for each in ti.get_task_breadcrumbs(dag_id=run.dag_id, run_id=run.run_id)
    }
    earlier = _handed_over(run, tasks, EARLIER_SECONDS)
    return {task: round(last[task] + float(earlier.get(task, 0.0)), 3) for task in tasks if task in last}

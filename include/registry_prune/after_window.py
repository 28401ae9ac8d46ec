"""The tasks after the window: integrity again, the role taken back, a last look, the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.decision import Mode
from include.registry_prune.integrity import IntegrityCheck
from include.registry_prune.lease import Lease
from include.registry_prune.links import ReportPageLink
from include.registry_prune.operators import IntegrityBefore, RegistryOperator
from include.registry_prune.parameters import SettingsError
from include.registry_prune.registry_state import Settled
from include.registry_prune.run_context import Run, history_asset

if TYPE_CHECKING:
    from include.registry_prune.records import Record
    from include.registry_prune.settings import ClusterSettings


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
            raise AirflowFailException(
                "IMAGES ARE BROKEN THAT WERE WHOLE BEFORE THIS RUN. Push or import them again; pause this DAG until it "
                f"is known why:\n{shown}"
            )
        return check


class RevokeImagePruner(RegistryOperator):
    """Takes the role away again, if the binding is ours."""

    retries_refusals = True

    def work(self, run: Run) -> None:
        from include.registry_prune.role import Grant, revoke_role

        if not run.parameters.needs_role:
            self.log.info("This run did not need the role")
            return
        grant = run.result("grant_image_pruner", Grant)
        if grant is not None and not grant.ours:
            self.log.info("ClusterRoleBinding %s is not ours: it stays", grant.binding)
            return
        revoke_role(run.cluster)


class VerifyRestored(RegistryOperator):
    """Looks at the cluster itself; fails the run if anything of it is left behind. Lists the builds that it hit."""

    def work(self, run: Run) -> Record | None:
        from include.registry_prune.leftovers import builds_hit, leftovers

        lease = run.result("arm_window", Lease)
        restored = run.result("restore_read_write", Settled)
        found = leftovers(run.cluster, holder=run.holder, lease=lease)
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
    """Stores and publishes the report of every run, also of one that failed at its first step; leaves later runs what
    they compare with."""

    operator_extra_links = (ReportPageLink(),)

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(cluster=cluster, outlets=[history_asset(cluster)], **kwargs)

    def work(self, run: Run) -> Record:
        from include.registry_prune.report import build_report, past_run

        ti: Any = run.context["ti"]
        tasks = [task_id for task_id in run.context["dag"].task_ids if task_id != self.task_id]
        states = run.task_states()
        breadcrumbs = ti.get_task_breadcrumbs(dag_id=run.dag_id, run_id=run.run_id)
        phases = {each["task_id"]: round(each["duration"] or 0.0, 3) for each in breadcrumbs}
        try:
            dry_run_only = run.parameters.dry_run_only
            hard_prune_wanted = run.parameters.mode is not Mode.NEVER
        except SettingsError:
            dry_run_only, hard_prune_wanted = False, True
        report = build_report(
            run_id=run.run_id,
            cluster=self.cluster.name,
            results={task_id: ti.xcom_pull(task_ids=task_id) for task_id in tasks},
            states={task_id: str(states[task_id]) for task_id in tasks if states.get(task_id)},
            phases={task_id: phases[task_id] for task_id in tasks if task_id in phases},
            hard_prune_wanted=hard_prune_wanted,
            dry_run_only=dry_run_only,
        )
        run.remember(past_run(report))
        self.log.info("%s", report.text())
        return report

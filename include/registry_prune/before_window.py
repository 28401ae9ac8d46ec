"""The last two tasks before the window: a person's approval, where it is asked for, and the right moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from include.registry_prune.alerts import Alert, AlertKind
from include.registry_prune.approval import Approval, question
from include.registry_prune.base_prune_job import BasePrune
from include.registry_prune.decision import Action, Verdict
from include.registry_prune.dockerregistry import PrunerResult
from include.registry_prune.integrity import IntegrityCheck
from include.registry_prune.opening_hours import OpeningHours, parse_opening_hours
from include.registry_prune.operators import RegistryOperator
from include.registry_prune.right_moment import RunningBuilds, judge
from include.registry_prune.run_context import Run
from include.registry_prune.sensors import Gate
from include.registry_prune.units import format_count, format_seconds, format_size

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.registry_prune.records import Record
    from include.registry_prune.settings import ClusterSettings


class ApproveWindow(RegistryOperator, ApprovalOperator):
    """Asks a person in Airflow's UI whether the window may be opened, if the cluster's settings want that.

    The task waits without a worker. Rejected, the rest of the run is skipped.
    """

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(
            cluster=cluster,
            subject=f"Open the read-only window of cluster {cluster.name}?",
            defaults=self.APPROVE if cluster.approval_default == "approve" else self.REJECT,
            response_timeout=timedelta(seconds=cluster.seconds("approval_limit")),
            **kwargs,
        )

    def work(self, run: Run) -> Record:
        if not self.cluster.approval:
            self.log.info("approval is switched off")
            return Approval(asked=False, approved=True)
        self.body = _question(run)
        where = f"\nAnswer it in Airflow: {run.url}/tasks/{self.task_id}" if run.url else ""
        self.notifiers = [Alert(AlertKind.APPROVAL, self.cluster, f"{self.subject}\n{self.body}{where}")]
        ApprovalOperator.execute(self, run.context)
        raise AssertionError("unreachable: the task waits for its answer")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with the answer."""
        answer: Approval | None = None
        if "error" not in event:
            user = event.get("responded_by_user")
            answer = Approval(
                asked=True, approved=event["chosen_options"] == [self.APPROVE], by=str(user["name"]) if user else ""
            )
            Run(context, self.cluster).hand_over(answer)
            self.log.info("%s", answer.sentence())
        super().execute_complete(context, event)
        assert answer is not None
        return answer.to_json()


def _question(run: Run) -> str:
    from include.registry_prune.access import AccessReview

    verdict = run.result("survey_gate", Verdict)
    access = run.result("verify_access", AccessReview)
    return question(
        cluster=run.settings.name,
        server=access.server if access else "its API server is not known",
        verdict=verdict or Verdict(action=Action.PRUNE, reasons=("there was no survey",)),
        facts=tuple(_facts(run, verdict)),
        limit_seconds=run.settings.seconds("approval_limit"),
    )


def _facts(run: Run, verdict: Verdict | None) -> list[str]:
    """What a person who decides will want to know."""
    survey = run.result("survey", PrunerResult)
    base_prune = run.result("base_prune", BasePrune)
    integrity = run.result("integrity_before", IntegrityCheck)
    estimate = verdict.estimate if verdict else None
    facts = []
    if survey and survey.said:
        size = format_size(survey.said.rounded_bytes)
        facts.append(f"orphans: {format_count(survey.said.blobs, 'blob')}, about {size}")
        facts.append(f"list of candidates: {survey.artifact or 'not kept'}")
    facts.append(f"estimated time of the delete: {estimate.words() if estimate else 'not known'}")
    if base_prune:
        facts.append(f"base prune: {base_prune.text()}")
    facts.append(f"images broken already: {'not looked at' if integrity is None else integrity.broken_count}")
    if run.settings.opening_hours:
        facts.append(f"opening hours, in which the answer is of use: {run.settings.hours}")
    return facts


class RightMoment(Gate):
    """Opening hours, running builds, and once more all checks: is this the moment to make the registry read-only?

    Looks again every minute and holds no worker in between. The survey may be hours old by now, if a person had to
    approve; the dry run inside the window decides anyway.
    """

    def verdict(self, run: Run) -> Verdict | None:
        from include.registry_prune.readiness import look, obstacles

        ready = look(run.cluster, holder=run.holder, may_open_window=True, looks_into_storage=True)
        if ready.problems:
            return Verdict(action=Action.STOP, reasons=ready.problems)
        in_the_way = obstacles(run.cluster, running_builds=RunningBuilds(run.parameters.running_builds).action)
        surveyed = run.result("survey_gate", Verdict)
        now = datetime.now(UTC)
        verdict = judge(
            in_the_way,
            now=now,
            hours=self._hours(run),
            estimated_delete_seconds=surveyed.estimated_delete_seconds if surveyed else None,
            waited_seconds=(now - (self._first_look(run) or now)).total_seconds(),
            wait_seconds=self.cluster.seconds("moment_wait"),
        )
        if verdict is None:
            reasons = (
                "; ".join(each.text for each in in_the_way) or f"the opening hours {self.cluster.hours} begin soon"
            )
            self.log.info("Not yet: %s. Looked at again in %s", reasons, format_seconds(self.poke_interval))
        return verdict

    def _hours(self, run: Run) -> OpeningHours:
        return parse_opening_hours("", "UTC") if run.parameters.ignore_opening_hours else self.cluster.hours

    def _first_look(self, run: Run) -> datetime | None:
        """When this task first looked; None if that is now."""
        ti: Any = run.context["ti"]
        first: datetime | None = ti.get_first_reschedule_date(run.context)
        return first

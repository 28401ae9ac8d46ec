"""The step before the window in which a person decides, if the cluster's settings want that."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.base_prune.job import BasePrune
from include.registry_prune.preflight.approval import Approval, question
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.run.run_context import Run
from include.registry_prune.units import format_count, format_size
from include.registry_prune.verdict.decision import Action, Verdict

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.registry_prune.records import Record
    from include.registry_prune.settings.clusters import ClusterSettings


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
        kept = run.context["task_state_store"].get(self._answer_key(run))
        if kept is not None:
            return Approval.from_json(kept)
        if not self.cluster.approval:
            self.log.info("approval is switched off")
            return Approval(asked=False, approved=True, window=run.new_window())
        self.body = _question(run)
        where = f"\nAnswer it in Airflow: {run.url}/tasks/{self.task_id}" if run.url else ""
        self.notifiers = [Alert(AlertKind.APPROVAL, self.cluster, f"{self.subject}\n{self.body}{where}")]
        ApprovalOperator.execute(self, run.context)
        raise AssertionError("unreachable: the task waits for its answer")

    def _answer_key(self, run: Run) -> str:
        """Where an answer is kept for a further try: Airflow often fails a task that is resumed at once, and tries it
        again. A task that is cleared gets more tries, and so asks again."""
        return f"answer-{run.context['ti'].max_tries}"

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with the answer."""
        answer: Approval | None = None
        if "error" not in event:
            user = event.get("responded_by_user")
            run = Run(context, self.cluster)
            answer = Approval(
                asked=True,
                approved=event["chosen_options"] == [self.APPROVE],
                by=str(user["name"]) if user else "",
                window=run.new_window(),
            )
            context["task_state_store"].set(self._answer_key(run), answer.to_json())
            run.hand_over(answer)
            self.log.info("%s", answer.text())
        super().execute_complete(context, event)
        assert answer is not None
        return answer.to_json()


def _question(run: Run) -> str:
    from include.registry_prune.preflight.access import AccessReview

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
    facts.append(f"estimated time of the delete: {estimate.text() if estimate else 'not known'}")
    if base_prune:
        facts.append(f"base prune: {base_prune.text()}")
    facts.append(f"images broken already: {'not looked at' if integrity is None else integrity.broken_count}")
    if run.settings.opening_hours:
        facts.append(f"opening hours, in which the answer is of use: {run.settings.hours}")
    return facts

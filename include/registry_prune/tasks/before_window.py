"""The steps before the window, while the registry takes pushes: log in, base prune, role, survey, approval."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.base_prune.job import BasePrune
from include.registry_prune.connection import connect
from include.registry_prune.exact_pod.kept import LOOK
from include.registry_prune.names import DEPLOYMENT
from include.registry_prune.preflight.approval import Approval, question
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.report.links import airflow_address
from include.registry_prune.run.base import CandidateList, RegistryOperator
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters_file import other_entry
from include.registry_prune.settings.parameters import DeleteBy
from include.registry_prune.tasks.kept import look_at_storage
from include.registry_prune.units import format_count, format_size
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.verdict.survey_basis import BASIS, SurveyBasis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from include.registry_prune.cluster.cluster import Cluster
    from include.registry_prune.records import Record
    from include.registry_prune.settings.clusters import ClusterSettings


class VerifyAccess(RegistryOperator):
    """Step 1, log in: who am I, may I do all that this run will do, and is the registry in a state for it?"""

    def work(self, run: Run) -> Record:
        from include.registry_prune.cluster.error import ClusterError
        from include.registry_prune.preflight.access import needed_permissions, review_access, token_note
        from include.registry_prune.run.place_of_lists import mark_place

        parameters = run.parameters
        by_list = parameters.may_open_window and parameters.delete_by is DeleteBy.LIST
        permissions = needed_permissions(
            {
                "role": parameters.needs_role,
                "base_prune": parameters.base_prune,
                "restart": parameters.base_prune and self.cluster.restart_after_base_prune,
                "window": parameters.may_open_window,
                "exact_delete": by_list,
            }
        )
        run.name_run()
        try:
            run.close_dead_window()
        except ClusterError as error:
            if not error.permanent:
                raise
            # What the account lacks is named below, all of it at once.
            self.log.warning("A window of a run that is gone could not be looked for: %s", error)
        review = review_access(
            run.cluster,
            permissions=permissions,
            may_open_window=parameters.may_open_window,
            waits_for_base_prune=parameters.base_prune,
        )
        self.log.info(
            "Logged in at %s as %s; all %d permissions are there", review.server, review.user, len(permissions)
        )
        self.log.info("OpenShift %s, registry storage: %s", review.cluster_version, review.storage)
        warning = timedelta(seconds=self.cluster.seconds("token_warning"))
        token = token_note(run.cluster.token_expires_at, now=datetime.now(UTC), warning=warning)
        review = review.model_copy(update={"notes": (*review.notes, *([token] if token else []))})
        for note in review.notes:
            self.log.warning("%s", note)
        self._warn_of_events(run)
        another = self._require_only_entry(run)
        if another:
            self.log.warning("%s", another)
            review = review.model_copy(update={"notes": (*review.notes, another)})
        mark_place(run)
        if by_list:
            look = look_at_storage(run)
            self.log.info("%s", look.text())
            run.hand_over(look, LOOK)
        return review

    def _require_only_entry(self, run: Run) -> str | None:
        """Refuse a cluster that another entry prunes; else note that this one does.

        :return: a warning, if an entry of another Airflow does, too.
        :raises AirflowFailException: naming both entries.
        """
        from include.registry_prune.preflight.entry import note_entry, other_airflow, second_entry

        def reach(name: str) -> Cluster | None:
            other = other_entry(name)
            return None if other is None else connect(other.connection)

        problem = second_entry(run.cluster, self.cluster.name, reach)
        if problem:
            raise AirflowFailException(problem)
        if not run.parameters.may_open_window:
            return None
        airflow = airflow_address()
        return other_airflow(
            note_entry(run.cluster, self.cluster.name, airflow=airflow, now=datetime.now(UTC)), airflow
        )

    def _warn_of_events(self, run: Run) -> None:
        """Without these rights a run works, and one of its alerts is missing."""
        from include.registry_prune.cluster.error import ClusterError
        from include.registry_prune.preflight.access import EVENTS, missing_permissions

        if not self.cluster.alert_events:
            return
        try:
            missing = missing_permissions(run.cluster, EVENTS)
        except ClusterError:
            return
        if missing:
            self.log.warning(
                "No Events can be written on the Config CR (setting alert_events). Add these rules (deploy/rbac.yaml "
                "has all): %s",
                "; ".join(permission.rule() for permission in missing),
            )


class BasePruneImages(RegistryOperator):
    """Step 2, base prune: ``oc adm prune images`` as a Job from the cluster's own template."""

    before_window = True

    def work(self, run: Run) -> Record:
        from include.registry_prune.base_prune.job import BasePrune
        from include.registry_prune.base_prune.job_run import BasePruneError, run_base_prune

        parameters = run.parameters
        if not parameters.base_prune:
            self.log.info("base_prune is switched off")
            return BasePrune(carried_out=False)
        try:
            result = run_base_prune(
                run.cluster,
                holder=run.identity,
                keep_tag_revisions=parameters.keep_tag_revisions,
                keep_younger_than=parameters.keep_younger_than,
                dry_run=parameters.dry_run_only,
                wait_seconds=self.cluster.seconds("base_prune_wait"),
                limit_seconds=self.cluster.seconds("base_prune_limit"),
            )
        except BasePruneError as error:
            raise (AirflowException if error.passes else AirflowFailException)(str(error)) from error
        return result.model_copy(update={"after_a_failure": run.context["ti"].try_number > 1})


class RestartRegistry(RegistryOperator):
    """The registry's pods remember layers that the base prune deleted: replaces them, if the settings say so.

    Right after the base prune and not at the end of a run without a window: the survey takes hours on large storage, it
    may fail, and until the pods are replaced a push may build on a layer that is gone.
    """

    before_window = True

    def work(self, run: Run) -> Record:
        from include.registry_prune.base_prune.job import BasePrune, Restart
        from include.registry_prune.base_prune.registry_restart import restart_registry
        from include.registry_prune.cluster.settling import NotSettledError

        base = run.result("base_prune", BasePrune)
        if base is None or not base.storage_changed:
            self.log.info("The base prune deleted nothing from the registry's storage: no pod remembers what is gone")
            return Restart(needed=False)
        if not self.cluster.restart_after_base_prune:
            self.log.warning(
                "The registry's pods may remember layers that the base prune deleted, until they are replaced: a push "
                "of such a layer succeeds, and the image cannot be pulled. A read-only window replaces them. To have "
                "it done after every base prune, set restart_after_base_prune."
            )
            return Restart(needed=True, not_done="restart_after_base_prune is off")
        try:
            return restart_registry(
                run.cluster, pruned_until=base.ended_at, limit_seconds=self.cluster.seconds("settle_limit")
            )
        except NotSettledError as error:
            raise AirflowException(str(error)) from error


class GrantImagePruner(RegistryOperator):
    """Step 4, role: ``system:image-pruner`` for the registry's service account, if it lacks it."""

    before_window = True

    def work(self, run: Run) -> Record | None:
        from include.registry_prune.cluster.role import grant_role

        if not run.parameters.needs_role:
            self.log.info("This run does not look into the registry's storage: the role is not needed")
            return None
        return grant_role(run.cluster, owner=run.identity, is_over=run.is_owner_over)


class Survey(CandidateList):
    """Step 5, early: a dry run while the registry still takes pushes. Is it worth opening a window?"""

    before_window = True

    def work(self, run: Run) -> Record | None:
        if not run.parameters.surveys:
            self.log.info("survey is switched off: the window opens without a look first, as the documentation has it")
            return None
        basis = SurveyBasis.of(run.cluster.images(), registry_deployment(run), began_at=datetime.now(UTC))
        run.hand_over(basis, BASIS)
        return self.list_candidates(run)


def registry_deployment(run: Run) -> Mapping[str, Any]:
    """The registry's Deployment."""
    deployment = run.cluster.deployment()
    if deployment is None:
        raise AirflowException(f"Deployment {DEPLOYMENT} is not there: look at the operator.")
    return deployment


class IntegrityBefore(RegistryOperator):
    """Which images are broken before anything is deleted? Reported, and held against the check afterwards."""

    def work(self, run: Run) -> Record | None:
        return self.check(run)

    def check(self, run: Run) -> IntegrityCheck | None:
        """The check, or None if it is switched off."""
        from include.registry_prune.pruner.checks import check_integrity, choose_pod, end_leftovers
        from include.registry_prune.pruner.own_checks import CheckKind

        if not run.parameters.integrity_check:
            self.log.info("integrity_check is switched off")
            return None
        cluster = run.cluster
        state = cluster.registry_state()
        end_leftovers(cluster, state, holder=run.identity, kind=CheckKind.INTEGRITY)
        limit_seconds = self.cluster.seconds("integrity_limit")
        check = check_integrity(cluster, choose_pod(state), holder=run.identity, limit_seconds=limit_seconds)
        problem = check.problem()
        if problem:
            raise AirflowException(problem)
        for line in check.broken:
            self.log.warning("%s", line)
        self.log.info("Integrity: %d broken images", check.broken_count)
        return check


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

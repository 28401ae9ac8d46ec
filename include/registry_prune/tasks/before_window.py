"""The steps before the window, while the registry takes pushes: log in, base prune, role, survey, integrity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.base_prune.job import BasePrune
from include.registry_prune.connection import connect
from include.registry_prune.exact_pod.kept import LOOK
from include.registry_prune.names import DEPLOYMENT
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.report.links import airflow_address
from include.registry_prune.run.base import CandidateList, RegistryOperator
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters_file import other_entry
from include.registry_prune.settings.parameters import DeleteBy
from include.registry_prune.tasks.kept import look_at_storage
from include.registry_prune.verdict.survey_basis import BASIS, SurveyBasis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.registry_prune.cluster.cluster import Cluster
    from include.registry_prune.records import Record


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
        run.stay_on(review)
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
        from include.registry_prune.base_prune.job import Restart
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

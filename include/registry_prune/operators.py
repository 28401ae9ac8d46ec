"""The tasks of a run, one operator for each: thin shells that say what a step is in Airflow's terms.

Kubernetes and the modules that need it are imported when a task works, not when a DAG file is parsed.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.dockerregistry import PrunerResult
from include.registry_prune.integrity import IntegrityCheck
from include.registry_prune.lease import LeaseError
from include.registry_prune.parameters import SettingsError
from include.registry_prune.run_context import Run
from include.registry_prune.survey_basis import BASIS, SurveyBasis

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from include.registry_prune.records import Record
    from include.registry_prune.settings import ClusterSettings


class RegistryOperator(BaseOperator):
    """A step of a run.

    :param cluster: settings of the cluster that the run is for.
    """

    retries_refusals = False
    """Whether a request that the cluster refuses (401, 403 …) is worth a retry: only for what must be put back."""

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Do the step; what it returns goes to XCom as JSON."""
        return self.carry_out(context, self.work)

    def carry_out(self, context: Context, work: Callable[[Run], Record | None]) -> dict[str, Any] | None:
        """Do some work, and say in Airflow's terms what goes wrong in it."""
        from include.registry_prune.access import AccessError
        from include.registry_prune.cluster_error import ClusterError

        try:
            record = work(Run(context, self.cluster))
        except (SettingsError, AccessError) as error:
            raise AirflowFailException(str(error)) from error
        except LeaseError as error:
            raise (AirflowException if self.retries_refusals else AirflowFailException)(str(error)) from error
        except ClusterError as error:
            refused = error.permanent and not self.retries_refusals
            raise (AirflowFailException if refused else AirflowException)(str(error)) from error
        return None if record is None else record.to_json()

    @abstractmethod
    def work(self, run: Run) -> Record | None:
        """The step itself."""


class VerifyAccess(RegistryOperator):
    """Step 1, log in: who am I, may I do all that this run will do, and is the registry in a state for it?"""

    def work(self, run: Run) -> Record:
        from include.registry_prune.access import needed_permissions, review_access

        parameters = run.parameters
        permissions = needed_permissions(
            {
                "role": parameters.needs_role,
                "base_prune": parameters.base_prune,
                "restart": parameters.base_prune and self.cluster.restart_after_base_prune,
                "window": parameters.may_open_window,
            }
        )
        review = review_access(
            run.cluster,
            holder=run.holder,
            permissions=permissions,
            may_open_window=parameters.may_open_window,
            waits_for_base_prune=parameters.base_prune,
            looks_into_storage=parameters.needs_role,
        )
        self.log.info(
            "Logged in at %s as %s; all %d permissions are there", review.server, review.user, len(permissions)
        )
        self.log.info("OpenShift %s, registry storage: %s", review.cluster_version, review.storage)
        for note in review.notes:
            self.log.warning("%s", note)
        return review


class BasePruneImages(RegistryOperator):
    """Step 2, base prune: ``oc adm prune images`` as a Job from the cluster's own template."""

    def work(self, run: Run) -> Record:
        from include.registry_prune.base_prune import BasePruneError, run_base_prune
        from include.registry_prune.base_prune_job import BasePrune

        parameters = run.parameters
        if not parameters.base_prune:
            self.log.info("base_prune is switched off")
            return BasePrune(carried_out=False)
        try:
            result = run_base_prune(
                run.cluster,
                holder=run.holder,
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

    def work(self, run: Run) -> Record:
        from include.registry_prune.base_prune_job import BasePrune, Restart
        from include.registry_prune.registry_restart import restart_registry
        from include.registry_prune.settling import NotSettledError

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

    def work(self, run: Run) -> Record | None:
        from include.registry_prune.role import grant_role

        if not run.parameters.needs_role:
            self.log.info("This run does not look into the registry's storage: the role is not needed")
            return None
        return grant_role(run.cluster)


class CandidateList(RegistryOperator):
    """``dockerregistry -prune=check``; the candidates go to an artifact."""

    def list_candidates(self, run: Run, *, hands_over: bool = True) -> PrunerResult:
        """Do it.

        :param hands_over: also the result of a dry run that failed.
        """
        from include.registry_prune.artifacts import artifact_path, candidate_writer
        from include.registry_prune.pruning import choose_pod, run_dry_run

        cluster = run.cluster
        pod = choose_pod(self.state(run))
        path = artifact_path(self.cluster.artifacts, dag_id=run.dag_id, run_id=run.run_id, task_id=self.task_id)
        head = {"cluster": cluster.server, "run": run.holder, "pod": pod, "time": datetime.now(UTC).isoformat()}
        with candidate_writer(path, head) as candidates:
            result = run_dry_run(
                cluster,
                pod,
                holder=run.holder,
                limit_seconds=self.cluster.seconds("dry_run_limit"),
                candidates=candidates,
                artifact=str(path),
            )
            if hands_over:
                run.hand_over(result)
            problem = result.problem()
            if problem and result.exit_status is None:
                # A lost connection is worth another try; what the pruner itself reports is not.
                raise AirflowException(f"{problem} The dry run is done again, if retries are left: it changes nothing.")
            if problem:
                raise AirflowFailException(problem)
        return result

    def state(self, run: Run) -> Any:
        """The registry as it is now, without what an earlier try left in it; inside the window more is asked for."""
        from include.registry_prune.own_checks import CheckKind
        from include.registry_prune.pruning import end_leftovers

        state = run.cluster.registry_state()
        end_leftovers(run.cluster, state, holder=run.holder, kind=CheckKind.DRY_RUN)
        return state


class Survey(CandidateList):
    """Step 5, early: a dry run while the registry still takes pushes. Is it worth opening a window?"""

    def work(self, run: Run) -> Record | None:
        if not run.parameters.surveys:
            self.log.info("survey is switched off: the window opens without a look first, as the documentation has it")
            return None
        if self.cluster.seconds("survey_stands_for"):
            run.hand_over(survey_basis(run), BASIS)
        return self.list_candidates(run)


def survey_basis(run: Run) -> SurveyBasis:
    """What a survey that began now would be made on."""
    deployment = run.cluster.deployment()
    if deployment is None:
        raise AirflowException("Deployment image-registry is not there: look at the operator.")
    return SurveyBasis.of(run.cluster.images(), deployment, began_at=datetime.now(UTC))


class IntegrityBefore(RegistryOperator):
    """Which images are broken before anything is deleted? Reported, and held against the check afterwards."""

    def work(self, run: Run) -> Record | None:
        return self.check(run)

    def check(self, run: Run) -> IntegrityCheck | None:
        """The check, or None if it is switched off."""
        from include.registry_prune.own_checks import CheckKind
        from include.registry_prune.pruning import check_integrity, choose_pod, end_leftovers

        if not run.parameters.integrity_check:
            self.log.info("integrity_check is switched off")
            return None
        cluster = run.cluster
        state = cluster.registry_state()
        end_leftovers(cluster, state, holder=run.holder, kind=CheckKind.INTEGRITY)
        limit_seconds = self.cluster.seconds("integrity_limit")
        check = check_integrity(cluster, choose_pod(state), holder=run.holder, limit_seconds=limit_seconds)
        problem = check.problem()
        if problem:
            raise AirflowException(problem)
        for line in check.broken:
            self.log.warning("%s", line)
        self.log.info("Integrity: %d broken images", check.broken_count)
        return check

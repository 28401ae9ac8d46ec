"""The gates of a run: sensors that ask the decision and turn its verdict into Airflow's states.

*prune* lets the run go on, *skip* skips the rest of it, *stop* fails it: a person must look.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.registry_prune.decision import Action, Mode, Verdict, decide
from include.registry_prune.dockerregistry import LineKind, PrunerResult
from include.registry_prune.parameters import SettingsError
from include.registry_prune.run_context import Run

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.registry_prune.settings import ClusterSettings


class Gate(BaseSensorOperator):
    """Waits until a verdict can be given, that is, while the API server does not answer; then acts on it."""

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask for the verdict and act on it."""
        from include.registry_prune.cluster import ClusterError

        run = Run(context, self.cluster)
        try:
            verdict = self.verdict(run)
        except ClusterError as error:
            if error.permanent:
                raise AirflowFailException(str(error)) from error
            self.log.warning("No verdict yet: %s", error)
            return PokeReturnValue(is_done=False)
        except SettingsError as error:
            raise AirflowFailException(str(error)) from error
        run.hand_over(verdict)
        self.log.info("Verdict: %s", verdict.sentence())
        if verdict.action is Action.STOP:
            raise AirflowFailException(f"Stopped, nothing was deleted: {'; '.join(verdict.reasons)}")
        if verdict.action is Action.SKIP:
            raise AirflowSkipException(verdict.sentence())
        return PokeReturnValue(is_done=True, xcom_value=verdict.to_json())

    @abstractmethod
    def verdict(self, run: Run) -> Verdict:
        """What to do."""


class SurveyGate(Gate):
    """Is it worth opening a window? Below the thresholds the rest is skipped, and the registry was never read-only."""

    def verdict(self, run: Run) -> Verdict:
        parameters = run.parameters
        survey = run.result("survey", PrunerResult)
        if survey is None:
            if parameters.mode is Mode.NEVER:
                return Verdict(action=Action.SKIP, reasons=("hard_prune is set to never",))
            return Verdict(action=Action.PRUNE, reasons=("the survey is switched off, the dry run will tell",))
        verdict = decide(
            survey,
            mode=parameters.mode,
            thresholds=parameters.thresholds,
            image_count=run.cluster.image_count(),
        )
        if parameters.dry_run_only and verdict.action is Action.PRUNE:
            reasons = (*verdict.reasons, "a run without dry_run_only would prune now")
            return Verdict(action=Action.SKIP, reasons=reasons)
        return verdict


class BlobThreshold(Gate):
    """The last gate before the delete: thresholds, ceilings, and no candidate that an Image of the cluster names."""

    def verdict(self, run: Run) -> Verdict:
        from include.registry_prune.artifacts import read_candidates
        from include.registry_prune.references import audit

        dry_run = run.result("dry_run", PrunerResult)
        if dry_run is None or dry_run.artifact is None:
            raise AirflowFailException("There is no dry run to judge: clear dry_run, so that it is done again.")
        with run.lease_keeper():
            candidates = set(read_candidates(dry_run.artifact, kind=LineKind.BLOB))
            reference_audit = audit(candidates, run.cluster.images())
        return decide(
            dry_run,
            mode=run.parameters.mode,
            thresholds=run.parameters.thresholds,
            image_count=reference_audit.images,
            audit=reference_audit,
        )

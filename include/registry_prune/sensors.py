"""The gates of a run: sensors that ask the decision and turn its verdict into Airflow's states.

*prune* lets the run go on, *skip* skips the rest of it, *stop* fails it: a person must look.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.registry_prune.decision import Action, Evidence, Mode, Stage, Verdict, decide
from include.registry_prune.dockerregistry import LineKind, PrunerResult
from include.registry_prune.parameters import SettingsError
from include.registry_prune.references import audit, audit_streams
from include.registry_prune.run_context import Run, history_asset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow.sdk import Context

    from include.registry_prune.settings import ClusterSettings

CLOCK_DIFFERENCE = timedelta(minutes=5)
"""An Image that is older than the run by more than this was there when the run's survey began."""


class Gate(BaseSensorOperator):
    """Waits until a verdict can be given, that is, while the API server does not answer; then acts on it."""

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(inlets=[history_asset(cluster)], **kwargs)
        self.cluster = cluster

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask for the verdict and act on it."""
        from include.registry_prune.cluster_error import ClusterError

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
        except (OSError, EOFError, zlib.error) as error:
            # Perhaps only the object storage does not answer: worth another try.
            raise AirflowException(
                f"The list of candidates cannot be read, so nothing is deleted: {error}. If tasks run on different "
                "machines, set artifacts to a place that all workers and the triggerer share, and trigger a new run."
            ) from error
        except ValueError as error:
            raise AirflowFailException(f"No verdict on this evidence, so nothing is deleted: {error}") from error
        if verdict is None:
            return PokeReturnValue(is_done=False)
        run.hand_over(verdict)
        self.log.info("Verdict: %s", verdict.sentence())
        if verdict.estimate is not None:
            self.log.info("A delete would take %s", verdict.estimate.words())
        if verdict.action is Action.STOP:
            raise AirflowFailException(f"Stopped, nothing was deleted: {'; '.join(verdict.reasons)}")
        if verdict.action is Action.SKIP:
            raise AirflowSkipException(verdict.sentence())
        return PokeReturnValue(is_done=True, xcom_value=verdict.to_json())

    @abstractmethod
    def verdict(self, run: Run) -> Verdict | None:
        """What to do; None if that cannot be said yet."""

    def evidence(
        self, run: Run, stage: Stage, dry_run: PrunerResult | None, *, older_than: datetime | None = None
    ) -> Evidence:
        """Everything that the verdict is given on.

        :param older_than: Images that are newer do not speak against the dry run.
        """
        from include.registry_prune.artifacts import candidate_digests, read_candidates

        cluster, parameters = run.cluster, run.parameters
        # A dry run that failed stops the run whatever is in its list, and may have none.
        artifact = dry_run.artifact if dry_run and dry_run.complete else None
        images = audit(candidate_digests(artifact) if artifact else set(), cluster.images(), older_than=older_than)
        repositories = set(read_candidates(artifact, kind=LineKind.REPOSITORY)) if artifact else set()
        named = images.named_images()
        streams = audit_streams(repositories, cluster.image_streams() if repositories or named else (), images=named)
        return Evidence(
            stage=stage,
            mode=parameters.mode,
            thresholds=parameters.thresholds,
            limits=self.cluster.ceilings.limits,
            dry_run=dry_run,
            images=images.with_tags(streams.tags),
            streams=streams,
            dry_run_only=parameters.dry_run_only,
            passed=parameters.pass_ceilings,
            passed_by=run.asked_by if parameters.pass_ceilings else "",
            server=cluster.server,
            cluster_id=cluster_id(cluster.cluster_version()),
            history=run.history(),
        )


class SurveyGate(Gate):
    """Is it worth opening a window, and may it be? If not, the registry was never read-only."""

    def verdict(self, run: Run) -> Verdict:
        survey = run.result("survey", PrunerResult)
        if survey is None and run.parameters.mode is Mode.NEVER:
            return Verdict(action=Action.SKIP, reasons=("hard_prune is set to never",))
        older_than = run.started_at - CLOCK_DIFFERENCE if run.started_at else None
        return decide(self.evidence(run, Stage.SURVEY, survey, older_than=older_than))


class BlobThreshold(Gate):
    """The last gate before the delete: all that the survey's gate asks, of the dry run that the delete will follow."""

    def verdict(self, run: Run) -> Verdict:
        dry_run = run.result("dry_run", PrunerResult)
        if dry_run is None or dry_run.artifact is None:
            raise AirflowFailException("There is no dry run to judge: clear dry_run, so that it is done again.")
        with run.lease_keeper():
            return decide(self.evidence(run, Stage.DELETE, dry_run))


def cluster_id(cluster_version: Mapping[str, Any] | None) -> str:
    """Which cluster it is, by its ClusterVersion; empty if that does not say."""
    return str(((cluster_version or {}).get("spec") or {}).get("clusterID") or "")

"""The gates of a run: sensors that ask for a verdict and turn it into Airflow's states.

*prune* lets the run go on, *skip* skips the rest of it, *stop* fails it: a person must look.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.registry_prune.fleet.others import canaries, release_turn, turn_obstacles
from include.registry_prune.preflight.right_moment import Obstacle, judge
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult
from include.registry_prune.records import WindowRecord
from include.registry_prune.run.past_runs import history_asset, history_of
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.parameters import DeleteBy, SettingsError
from include.registry_prune.units import format_seconds
from include.registry_prune.verdict.decision import Action, Evidence, Mode, Stage, Verdict, decide
from include.registry_prune.verdict.estimate import WindowPlan
from include.registry_prune.verdict.references import ReferenceAudit, StreamAudit, audit, audit_streams
from include.registry_prune.verdict.survey_basis import BASIS, SurveyBasis
from include.registry_prune.window.lease import LeaseError

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context

    from include.registry_prune.settings.clusters import ClusterSettings


HELD = "held"
"""The XCom in which ``dry_run`` hands over what it held the survey's list against, so that the gate need not ask the
cluster for all of it once more."""


class Held(WindowRecord):
    """What was found.

    :param images: the Images, with the blobs of the list held against them; ``streams``: likewise the repositories.
    """

    version: Literal[1] = 1
    images: ReferenceAudit
    streams: StreamAudit


class Revived(NamedTuple):
    """What the list has, and somebody needs again: it came to be named while pushes were taken.

    :param blobs: digests, 32 bytes each; ``repositories``: ``NS/NAME``.
    """

    blobs: set[bytes]
    repositories: set[str]

    def __bool__(self) -> bool:
        return bool(self.blobs or self.repositories)


def hold(run: Run, artifact: str | None, *, older_than: datetime | None) -> tuple[Held, Revived]:
    """Hold a list against the cluster.

    :param artifact: the list; None: only the Images are looked at.
    :param older_than: Images and image streams that were made later revive what they name; None: nothing is revived.
    :raises OSError: if the list cannot be read.
    :raises MalformedObjectError: if an Image or image stream cannot be read.
    """
    from include.registry_prune.lists.artifacts import candidate_digests, read_candidates

    revived = Revived(set(), set())
    digests = candidate_digests(artifact) if artifact else set()
    images = audit(digests, run.cluster.images(), older_than=older_than, revived=revived.blobs)
    repositories = set(read_candidates(artifact, kind=LineKind.REPOSITORY)) if artifact else set()
    named = images.named_images()
    streams = audit_streams(
        repositories,
        run.cluster.image_streams() if repositories or named else (),
        images=named,
        older_than=older_than,
        revived=revived.repositories,
    )
    return Held(images=images.with_tags(streams.tags), streams=streams), revived


class Gate(BaseSensorOperator):
    """Waits until a verdict can be given, that is, while the API server does not answer; then acts on it."""

    of_window = False
    """As :attr:`RegistryOperator.of_window`."""

    def __init__(self, *, cluster: ClusterSettings, **kwargs: Any) -> None:
        super().__init__(inlets=[history_asset(cluster)], **kwargs)
        self.cluster = cluster

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask for the verdict and act on it."""
        from include.registry_prune.cluster.error import ClusterError

        run = Run(context, self.cluster)
        try:
            verdict = self.verdict(run)
        except ClusterError as error:
            if error.permanent:
                raise AirflowFailException(str(error)) from error
            self.log.warning("No verdict yet: %s", error)
            return PokeReturnValue(is_done=False)
        except (SettingsError, LeaseError) as error:
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
        window = run.window.token if self.of_window else ""
        verdict = verdict.model_copy(update={"given_at": datetime.now(UTC), "window": window})
        run.hand_over(verdict)
        self.log.info("Verdict: %s", verdict.text())
        if verdict.estimate is not None:
            self.log.info("A delete would take %s", verdict.estimate.text())
        if verdict.action is Action.STOP:
            raise AirflowFailException(f"Stopped, nothing was deleted: {'; '.join(verdict.reasons)}")
        if verdict.action is Action.SKIP:
            raise AirflowSkipException(verdict.text())
        return PokeReturnValue(is_done=True, xcom_value=verdict.to_json())

    @abstractmethod
    def verdict(self, run: Run) -> Verdict | None:
        """What to do; None if that cannot be said yet."""

    def evidence(
        self,
        run: Run,
        stage: Stage,
        dry_run: PrunerResult | None,
        *,
        older_than: datetime | None = None,
        held: Held | None = None,
    ) -> Evidence:
        """Everything that the verdict is given on.

        :param older_than: Images that are newer do not speak against the dry run.
        :param held: what its list was held against already.
        """
        cluster, parameters = run.cluster, run.parameters
        if held is None:
            # A dry run that failed stops the run whatever is in its list, and may have none.
            held, _ = hold(run, dry_run.artifact if dry_run and dry_run.complete else None, older_than=older_than)
        return Evidence(
            stage=stage,
            mode=parameters.hard_prune,
            thresholds=parameters.thresholds,
            limits=self.cluster.ceilings.limits,
            dry_run=dry_run,
            images=held.images,
            streams=held.streams,
            dry_run_only=parameters.dry_run_only,
            passed=parameters.pass_ceilings,
            passed_by=run.asked_by if parameters.pass_ceilings else "",
            server=cluster.server,
            cluster_id=cluster.cluster_id(),
            plan=WindowPlan(
                limit_seconds=self.cluster.seconds("window_limit"),
                scans=self.cluster.dry_run_in_window == "always" or not parameters.surveys,
                by_list=parameters.delete_by is DeleteBy.LIST,
            ),
            history=history_of(run),
        )


class SurveyGate(Gate):
    """Is it worth opening a window, and may it be? If not, the registry was never read-only."""

    def verdict(self, run: Run) -> Verdict:
        survey = run.result("survey", PrunerResult)
        if survey is None and run.parameters.hard_prune is Mode.NEVER:
            return Verdict(action=Action.SKIP, reasons=("hard_prune is set to never",))
        basis = run.result("survey", SurveyBasis, BASIS)
        return decide(self.evidence(run, Stage.SURVEY, survey, older_than=basis.older_than if basis else None))


class RightMoment(Gate):
    """Opening hours, running builds, and once more all checks: is this the moment to make the registry read-only?

    Looks again every minute and holds no worker in between. The survey may be hours old by now, if a person had to
    approve; the dry run inside the window decides anyway.
    """

    of_window = True

    def verdict(self, run: Run) -> Verdict | None:
        verdict = self._moment(run)
        if verdict is not None and verdict.action is not Action.PRUNE:
            release_turn(self.cluster, run.name)
        return verdict

    def _moment(self, run: Run) -> Verdict | None:
        from include.registry_prune.preflight.access import token_problem
        from include.registry_prune.preflight.readiness import look, obstacles

        run.close_dead_window()
        ready = look(run.cluster, may_open_window=True)
        lasts = timedelta(seconds=self.cluster.seconds("window_limit") + self.cluster.seconds("settle_limit"))
        token = token_problem(run.cluster.token_expires_at, ends_by=datetime.now(UTC) + lasts)
        problems = (*ready.problems, *([token] if token else []))
        if problems:
            return Verdict(action=Action.STOP, reasons=problems)
        builds = run.parameters.running_builds.action
        others = canaries(self.cluster)
        if isinstance(others, Verdict):
            return others
        in_the_way = [*obstacles(run.cluster, holder=run.window, running_builds=builds), *others]
        verdict = self._judge(run, in_the_way)
        if verdict is not None and verdict.action is Action.PRUNE:
            # Last of all, and whatever else may be passed over: whoever claims a turn is ready for it.
            in_the_way = turn_obstacles(self.cluster, run.name)
            verdict = self._judge(run, in_the_way) if in_the_way else verdict
        if verdict is None:
            reasons = (
                "; ".join(each.what for each in in_the_way) or f"the opening hours {self.cluster.hours} begin soon"
            )
            self.log.info("Not yet: %s. Looked at again in %s", reasons, format_seconds(self.poke_interval))
        return verdict

    def _judge(self, run: Run, in_the_way: list[Obstacle]) -> Verdict | None:
        surveyed = run.result("survey_gate", Verdict)
        now = datetime.now(UTC)
        return judge(
            in_the_way,
            now=now,
            hours=run.hours,
            needs_seconds=surveyed.estimate.least_seconds if surveyed and surveyed.estimate else None,
            waited_seconds=(now - (self._first_look(run) or now)).total_seconds(),
            wait_seconds=self.cluster.seconds("moment_wait"),
        )

    def _first_look(self, run: Run) -> datetime | None:
        """When this task first looked; None if that is now."""
        ti: Any = run.context["ti"]
        first: datetime | None = ti.get_first_reschedule_date(run.context)
        return first


class BlobThreshold(Gate):
    """The last gate before the delete: all that the survey's gate asks, of the dry run that the delete will follow."""

    of_window = True

    def verdict(self, run: Run) -> Verdict:
        from include.registry_prune.lists.artifacts import read_seal

        dry_run = run.of_window("dry_run", PrunerResult)
        if dry_run.artifact is None:
            raise AirflowFailException("The dry run kept no list, so there is nothing to judge.")
        with run.lease_keeper():
            # The seal is read first: a list that is written anew meanwhile is not the one that was judged.
            judged = read_seal(dry_run.artifact).sha256 if dry_run.complete else ""
            held = run.result("dry_run", Held, HELD)
            if held is not None and held.window != run.window.token:
                held = None
            return decide(self.evidence(run, Stage.DELETE, dry_run, held=held)).model_copy(update={"judged": judged})

"""A cluster and an Airflow that works on it: starts both, stops both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_airflow.clusters.kubeconfig import ChosenCluster
from local_airflow.clusters.sandbox_cluster import SandboxCluster
from local_airflow.commands.report import size_text
from local_airflow.errors import LocalAirflowError
from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import AirflowInstance, free_port
from local_airflow.instance.environment import CLUSTERS_VARIABLE, AirflowSettings, KubernetesConnection
from local_airflow.instance.rest import AirflowApi, ApiUnavailableError
from local_airflow.instance.state import InstanceRecord, StateFolder, end_everything
from local_airflow.interruption import Interrupted, Interruption
from local_airflow.terminal import Terminal

DAG_ID = "registry_prune"
DAG_LIMIT_SECONDS = 120.0
"""The dag-processor reads a file within 5 s; on a machine that is busy with other work it took 30."""
IMPORT_ERROR_PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.1
SANDBOX_SMALL_IMAGE = "registry.test/registry-prune-small:1"
"""The sandbox's nodes run this project's own program in a pod of it: ``--param delete_by=list`` works there."""
PASS_PARAMETER = "pass_ceilings"
WHO_CLOSES = """\
the guard in the cluster closes it, or the next run with MODE=prune, as soon as its lease has run out.
To close it at once: docs/on-call.md, "Close a window by hand"."""
CUT_OFF = f"""\
An earlier run was cut off. It is marked failed, and nothing goes on with it: {{runs}}.
If it left a read-only window open, {WHO_CLOSES}"""


@dataclass(frozen=True)
class StackOptions:
    """What to start.

    :param project: the project's root.
    :param dags_folder: where the DAG files are.
    :param cluster: a real cluster; ``None`` for a sandbox.
    :param seed_arguments: for a sandbox: options of ``python -m sandbox seed``.
    :param parameters: of the run that is triggered.
    """

    project: Path
    dags_folder: Path
    cluster: ChosenCluster | None = None
    seed_arguments: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def cluster_description(self) -> str:
        """For people: which cluster."""
        return "a sandbox cluster" if self.cluster is None else self.cluster.description

    @property
    def cluster_address(self) -> str:
        """Address of the real cluster; empty for a sandbox."""
        return "" if self.cluster is None else self.cluster.address


def starting_text(options: StackOptions) -> str:
    """For people: what is about to start."""
    if options.cluster is not None:
        return f"starting Airflow for {options.cluster.description}"
    return "starting Airflow and a sandbox cluster"


class Stack:
    """The processes of one state folder. The folder's lock has to be held while this is used."""

    def __init__(
        self, options: StackOptions, state: StateFolder, interruption: Interruption, terminal: Terminal
    ) -> None:
        self._options = options
        self._state = state
        self._interruption = interruption
        self._terminal = terminal
        self.sandbox = SandboxCluster(state, options.project, interruption)
        connection = (
            KubernetesConnection(str(state.kubeconfig)) if options.cluster is None else options.cluster.connection
        )
        self.airflow = AirflowInstance(
            AirflowSettings(
                home=state.airflow,
                project=options.project,
                dags_folder=options.dags_folder,
                port=free_port(),
                connection=connection,
                clusters_file=None if self._has_own_clusters_file() else state.clusters_file,
                # On a sandbox there is nothing to protect. A real cluster is reached with somebody's
                # rights, and other users of this machine can reach the loopback interface too.
                login=options.cluster is not None,
            ),
            state.root,
            interruption,
        )

    def _has_own_clusters_file(self) -> bool:
        """Whether the person named a ``clusters.yaml``, for a real cluster.

        One that only happens to lie there could lead to another cluster than the kubeconfig does.
        """
        return self._options.cluster is not None and CLUSTERS_VARIABLE in os.environ

    @property
    def password(self) -> str | None:
        """Password of ``admin``; ``None`` if no login is asked for."""
        return self.airflow.secrets.admin_password if self.airflow.settings.login else None

    def start(self, *, background: bool) -> AirflowApi:
        """Start everything; returns when the DAG can be triggered.

        :param background: whether it is meant to live on when this process ends.
        :raises LocalAirflowError: if something does not start, or the run is to pass a ceiling that does not exist.
            What did start has to be stopped still.
        """
        end_everything(self._state)
        self._state.begin(self._options.cluster_address)
        entry = "{}" if self._options.cluster is not None else f"{{small_image: {SANDBOX_SMALL_IMAGE}}}"
        self._state.clusters_file.write_text(f"default: {entry}\n", encoding="utf-8")
        with ThreadPoolExecutor(max_workers=1) as pool:
            prepared: Future[None] | None = None
            if self._options.cluster is None:
                prepared = pool.submit(self._prepare_sandbox)
            try:
                api = self._start_airflow(background=background)
                while prepared is not None and not prepared.done():
                    self._interruption.wait(POLL_SECONDS)
            except BaseException as error:
                # The other half need not go on; the pool waits for it.
                self._interruption.request()
                if prepared is not None and isinstance(error, Interrupted) and error.signal_number == 0:
                    prepared.result()  # it was the other half that failed: raises what went wrong there
                raise
            if prepared is not None:
                prepared.result()
        return api

    def trigger(self, api: AirflowApi) -> str:
        """Start a run of the DAG with the chosen parameters.

        :return: the run's id.
        """
        # The run is there before the DAG is un-paused, so that no other can come first.
        run_id = api.trigger(DAG_ID, self._options.parameters)
        api.unpause(DAG_ID)
        return run_id

    def end_airflow(self) -> None:
        """End Airflow's processes, when all its tasks are done, and leave the sandbox alone."""
        self.airflow.end()

    def kept_text(self) -> str | None:
        """Where this cluster's lists and history are kept; ``None`` for a sandbox, whose are thrown away."""
        address = self._options.cluster_address
        if not address or self._state.kept_for != address:
            return None
        size = size_text(self._state.size_bytes())
        return f"The lists, logs and history of {address} are kept in {self._state.root} ({size})."

    def stop(self) -> list[str]:
        """End everything. It looks at no signal, so nothing interrupts it half way.

        :return: a description of each process that could not be ended.
        """
        processes.end_all(lambda: processes.marked(self._state.root, "airflow"))
        self.sandbox.down()
        left = end_everything(self._state)
        if not left:
            self._state.record.unlink(missing_ok=True)
        return left

    def _prepare_sandbox(self) -> None:
        try:
            seeded = self.sandbox.prepare(self._options.seed_arguments)
        except BaseException:
            self._interruption.request()  # Airflow need not go on
            raise
        self._terminal.event("the sandbox cluster is up and its registry is filled")
        self._terminal.line("\n".join(f"        {line}" for line in seeded.splitlines()))

    def _start_airflow(self, *, background: bool) -> AirflowApi:
        cut_off = self.airflow.create_database()
        if cut_off:
            self._terminal.line(CUT_OFF.format(runs=", ".join(cut_off)))
        begun = datetime.now(UTC)
        started = self.airflow.start_processes()
        url = self.airflow.settings.url
        InstanceRecord(url, self._options.cluster_description, self.password, background, started).write(self._state)
        self.airflow.wait_until_healthy()
        self._terminal.event(f"Airflow is up: {url}")
        api = AirflowApi(url, self.password)
        self.airflow.warm_up()
        # A database that was kept knows the DAG as it was at the last start.
        self._wait(lambda: self._dag_is_known(api, begun), DAG_LIMIT_SECONDS)
        self._refuse_unknown_ceilings(api)
        return api

    def _refuse_unknown_ceilings(self, api: AirflowApi) -> None:
        """Only the DAG knows which ceilings there are."""
        asked = self._options.parameters.get(PASS_PARAMETER, [])
        known = api.parameter_choices(DAG_ID, PASS_PARAMETER) if asked else []
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise LocalAirflowError(f"there is no ceiling {', '.join(unknown)}; the ceilings are: {', '.join(known)}")

    def _dag_is_known(self, api: AirflowApi, begun: datetime) -> bool:
        if api.knows_dag(DAG_ID, parsed_since=begun):
            return True
        errors = api.import_errors()
        if errors:
            # Files are read one by one: a fault in one of them does not mean that ours is not to come.
            self._interruption.wait(IMPORT_ERROR_PATIENCE_SECONDS)
            if not api.knows_dag(DAG_ID, parsed_since=begun):
                raise LocalAirflowError("Airflow cannot read the DAG files:\n" + "\n".join(errors))
        return False

    def _wait(self, condition: Callable[[], bool], limit_seconds: float) -> None:
        deadline = time.monotonic() + limit_seconds
        while True:
            self.airflow.check_alive()
            try:
                if condition():
                    return
            except ApiUnavailableError:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise LocalAirflowError(
                    f"Airflow found no DAG {DAG_ID} in {self._options.dags_folder} in {limit_seconds:.0f} s"
                )
            self._interruption.wait(POLL_SECONDS)

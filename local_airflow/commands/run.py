"""``run``: one run of the DAG, from the start of Airflow to the report; nothing is left running."""

from __future__ import annotations

import sys
import time

from local_airflow.commands.progress import PATIENCE_WITH_API_SECONDS, RunFollower, seconds_text
from local_airflow.commands.report import REPORT_TASK, RunReport, failures, render
from local_airflow.commands.stack import DAG_ID, WHO_CLOSES, Stack, StackOptions, starting_text
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.rest import AirflowApi, ApiUnavailableError
from local_airflow.instance.state import StateFolder, refuse_if_up
from local_airflow.interruption import Interrupted, Interruption
from local_airflow.terminal import Terminal

POLL_SECONDS = 0.1


def run(options: StackOptions, state: StateFolder) -> int:
    """Start, trigger, follow, report, verify, stop.

    :return: exit status: 0 if all of it went well, 128 plus the signal's number after Ctrl-C, else 1.
    """
    terminal = Terminal(sys.stdout)
    with Interruption() as interruption:
        try:
            with state.locked():
                refuse_if_up(state)
                status = _Run(options, state, interruption, terminal).execute()
        except LocalAirflowError as error:
            terminal.line(f"error: {error}")
            return 1
    if status == 0:
        terminal.event(f"done in {seconds_text(terminal.elapsed_seconds())}, nothing is left running")
    return status


class _Run:
    def __init__(
        self, options: StackOptions, state: StateFolder, interruption: Interruption, terminal: Terminal
    ) -> None:
        self._options = options
        self._state = state
        self._interruption = interruption
        self._terminal = terminal
        self._stack = Stack(options, state, interruption, terminal)

    def execute(self) -> int:
        self._terminal.event(starting_text(self._options))
        status = 1
        try:
            status = self._work()
        except Interrupted as interrupted:
            self._terminal.clear_status()
            self._terminal.event(f"{interrupted}: stopping everything")
            status = 128 + interrupted.signal_number
        except LocalAirflowError as error:
            self._terminal.clear_status()
            self._terminal.line(f"error: {error}")
        finally:
            left = self._stack.stop()
        kept = self._stack.kept_text()
        if kept:
            self._terminal.line(kept)
        if left:
            self._terminal.line("error: these processes could not be ended: " + ", ".join(left))
            return status or 1
        return status

    def _work(self) -> int:
        api = self._stack.start(background=False)
        run_id = self._stack.trigger(api)
        self._terminal.event(f"triggered {DAG_ID}: {run_id}")
        state = self._follow(api, run_id)
        reported = self._report(api, run_id, state)
        api.close()
        verified = self._end_and_verify()
        return 0 if state == "success" and reported and verified else 1

    def _follow(self, api: AirflowApi, run_id: str) -> str:
        follower = RunFollower(api, DAG_ID, run_id, self._terminal, self._interruption, self._stack.airflow.check_alive)
        try:
            return follower.follow()
        except Interrupted as interrupted:
            if self._options.cluster is not None:
                self._leave_cluster_in_order(api, run_id, follower)
            raise interrupted from None

    def _leave_cluster_in_order(self, api: AirflowApi, run_id: str, follower: RunFollower) -> None:
        """End the run on a real cluster through Airflow, so that its teardowns take back what it did."""
        self._interruption.forget()
        self._terminal.clear_status()
        self._terminal.line(
            "Ending the run: its teardowns first take back what it changed on the cluster, and set the registry\n"
            "read-write again. Ctrl-C again stops at once and LEAVES THE CLUSTER AS IT IS."
        )
        try:
            self._mark_failed(api, run_id)
            self._report(api, run_id, follower.follow())
        except (Interrupted, LocalAirflowError) as error:
            self._terminal.clear_status()
            self._terminal.line(
                f"warning: the run's teardowns did not come to their end: {error}\n"
                "See whether the registry is read-only\n"
                "(oc get configs.imageregistry.operator.openshift.io/cluster -o yaml, .spec.readOnly).\n"
                f"If it is, {WHO_CLOSES}"
            )

    def _mark_failed(self, api: AirflowApi, run_id: str) -> None:
        """Mark the run failed; a busy api-server is asked again, because nothing else puts the cluster in order."""
        needed_by = time.monotonic() + PATIENCE_WITH_API_SECONDS
        while True:
            try:
                return api.mark_failed(DAG_ID, run_id)
            except ApiUnavailableError:
                if time.monotonic() > needed_by:
                    raise
            self._interruption.wait(POLL_SECONDS)

    def _report(self, api: AirflowApi, run_id: str, state: str) -> bool:
        """Print the report, and what went wrong.

        :return: whether there was a report.
        """
        try:
            report = RunReport.from_xcom(api.xcom(DAG_ID, run_id, REPORT_TASK))
            self._terminal.line("\n" + render(report) + "\n")
            reported = True
        except LocalAirflowError as error:
            self._terminal.line(f"error: {error}")
            reported = False
        errors = failures(api, DAG_ID, run_id)
        if state != "success" or errors:
            self._terminal.line(f"The run ended as {state}.")
        if errors:
            self._terminal.line(errors)
        return reported

    def _end_and_verify(self) -> bool:
        """End Airflow, and let the sandbox check meanwhile what its registry holds now.

        :return: whether all is well; of a real cluster nothing is checked here.
        """
        if self._options.cluster is not None:
            self._stack.end_airflow()
            return True
        child = self._stack.sandbox.start_verification()
        self._stack.end_airflow()
        while child.poll() is None:
            self._interruption.wait(POLL_SECONDS)
        output = self._stack.sandbox.verification_log.read_text(encoding="utf-8", errors="replace")
        self._terminal.line("\n".join(f"  {line}" for line in ["sandbox verify:", *output.splitlines()]))
        if child.returncode != 0:
            self._terminal.line(f"error: sandbox verify ended with exit status {child.returncode}")
        return child.returncode == 0

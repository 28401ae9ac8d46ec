"""``up``, ``down`` and ``status``: Airflow and its cluster kept running in the background, with the UI to look at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import requests

from local_airflow.clusters.sandbox_cluster import SandboxCluster
from local_airflow.commands.stack import DAG_ID, Stack, StackOptions, starting_text
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.rest import loopback_session
from local_airflow.instance.state import InstanceRecord, StateFolder, end_everything
from local_airflow.interruption import Interrupted, Interruption
from local_airflow.terminal import Terminal


def up(options: StackOptions, state: StateFolder) -> int:
    """Start everything, trigger a run, say where the UI is, and leave it running.

    :return: exit status: 0 if it is up, also if it was before; else 1, or 128 plus the signal's number.
    """
    terminal = Terminal(sys.stdout)
    with Interruption() as interruption:
        try:
            with state.locked():
                record = InstanceRecord.read(state)
                if record is not None and record.background and record.living():
                    return _already_up(record, terminal)
                return _bring_up(options, state, interruption, terminal)
        except LocalAirflowError as error:
            terminal.line(f"error: {error}")
            return 1


def down(states: Sequence[StateFolder], sandbox_in: Callable[[StateFolder], SandboxCluster]) -> int:
    """End everything that is running in the state folders, and what is left of something that was killed.

    :return: exit status: 0 if nothing runs any more.
    """
    terminal = Terminal(sys.stdout)
    present = [state for state in states if state.root.is_dir()]
    if not present:
        terminal.line(f"nothing is running: there is no {', '.join(str(state.root) for state in states)}")
        return 0
    try:
        left = [each for state in present for each in _take_down(state, sandbox_in(state))]
    except LocalAirflowError as error:
        terminal.line(f"error: {error}")
        return 1
    if left:
        terminal.line("error: these processes could not be ended: " + ", ".join(left))
        return 1
    terminal.line("everything is stopped")
    return 0


def _take_down(state: StateFolder, sandbox: SandboxCluster) -> list[str]:
    with state.locked():
        sandbox.down()
        left = end_everything(state)
        if not left:
            state.record.unlink(missing_ok=True)
    return left


def status(states: Sequence[StateFolder]) -> int:
    """Say what is running.

    :return: exit status: 0 if all of it is, 1 if only a part, 3 if nothing is up.
    """
    terminal = Terminal(sys.stdout)
    records = [record for record in map(InstanceRecord.read, states) if record is not None]
    if not records:
        terminal.line("nothing is up")
        return 3
    return max(_show(record, terminal) for record in records)


def _show(record: InstanceRecord, terminal: Terminal) -> int:
    living = set(record.living())
    terminal.line(f"Airflow for {record.cluster}: {record.url}")
    for identity in record.processes:
        terminal.line(f"  {identity.name:14} {'running' if identity in living else 'ended':8} pid {identity.pid}")
    try:
        health = loopback_session().get(f"{record.url}/api/v2/monitor/health", timeout=5).json()
        for name, part in sorted(health.items()):
            terminal.line(f"  health of {name}: {part.get('status')}")
    except (requests.RequestException, ValueError):
        terminal.line("  the api-server does not answer")
    return 0 if len(living) == len(record.processes) else 1


def _already_up(record: InstanceRecord, terminal: Terminal) -> int:
    missing = set(record.processes) - set(record.living())
    if missing:
        names = ", ".join(sorted(identity.name for identity in missing))
        terminal.line(f"error: it is up at {record.url}, but {names} ended; take it down and start anew")
        return 1
    terminal.line(f"already up: {record.url} (Airflow for {record.cluster})")
    return 0


def _bring_up(options: StackOptions, state: StateFolder, interruption: Interruption, terminal: Terminal) -> int:
    stack = Stack(options, state, interruption, terminal)
    terminal.event(starting_text(options))
    try:
        api = stack.start(background=True)
        run_id = stack.trigger(api)
        api.close()
        interruption.check()
    except (Interrupted, LocalAirflowError) as error:
        terminal.line(f"error: {error}; stopping everything")
        left = stack.stop()
        if left:
            terminal.line("error: these processes could not be ended: " + ", ".join(left))
        return 128 + error.signal_number if isinstance(error, Interrupted) else 1
    url = stack.airflow.settings.url
    terminal.event(f"triggered {DAG_ID}: {run_id}")
    terminal.line(f"Airflow's UI: {url}/dags/{DAG_ID}/runs/{run_id}")
    if stack.password is None:
        terminal.line("It asks for no login. The schedule is off: only what you trigger is run.")
    else:
        terminal.line(f"Log in as admin with the password {stack.password}")
    kept = stack.kept_text()
    if kept:
        terminal.line(kept)
    return 0

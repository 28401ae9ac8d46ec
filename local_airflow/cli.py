"""The command line: ``python -m local_airflow run|up|down|status|connection``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from local_airflow.clusters.connection import TokenOrder, add_options, print_connection
from local_airflow.clusters.kubeconfig import ChosenCluster, choose_cluster
from local_airflow.clusters.sandbox_cluster import SandboxCluster
from local_airflow.commands.background import down, status, up
from local_airflow.commands.run import run
from local_airflow.commands.stack import PASS_PARAMETER, StackOptions
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.state import InstanceRecord, StateFolder
from local_airflow.interruption import Interruption

PROJECT = Path(__file__).resolve().parent.parent
STATES = PROJECT / ".state"
CLUSTER_STATES = STATES / "clusters"
"""A state folder for each real cluster; what is in them is kept for good."""
DRY_RUN_PARAMETER = "dry_run_only"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for.

    :return: the exit status.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command == "connection":
        order = TokenOrder(options.kubeconfig, options.context, options.namespace, options.duration)
        try:
            print_connection(order, out=sys.stdout, said=sys.stderr)
        except LocalAirflowError as error:
            parser.exit(1, f"{error}\n")
        return 0
    if options.command == "status":
        return status(background_states(options.state))
    if options.command == "down":
        with Interruption() as interruption:  # noted and not looked at: it goes on to its end
            return down(background_states(options.state), lambda state: SandboxCluster(state, PROJECT, interruption))
    try:
        chosen = stack_options(options)
    except LocalAirflowError as error:
        parser.error(str(error))
    state = StateFolder((options.state or default_state(options.command, chosen.cluster)).absolute())
    return run(chosen, state) if options.command == "run" else up(chosen, state)


def default_state(command: str, cluster: ChosenCluster | None) -> Path:
    """Where ``run`` and ``up`` keep their state unless they are told: a sandbox of their own, a real cluster shared."""
    return STATES / command if cluster is None else CLUSTER_STATES / cluster.folder_name


def background_states(chosen: Path | None) -> list[StateFolder]:
    """What ``down`` and ``status`` look at: the folder that was named, or all in which ``up`` started something."""
    if chosen is not None:
        return [StateFolder(chosen.absolute())]
    clusters = [StateFolder(folder) for folder in sorted(CLUSTER_STATES.glob("*"))]
    started = [(state, InstanceRecord.read(state)) for state in clusters]
    return [StateFolder(STATES / "up"), *(state for state, record in started if record and record.background)]


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m local_airflow",
        description="Runs the DAG registry_prune in a real Airflow on this machine, on a sandbox cluster "
        "unless a kubeconfig is given.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    started, found = ".state/{}, for a real cluster .state/clusters/HOST_PORT", "all in which `up` started something"
    for name, default, text in (
        ("run", started.format("run"), "run the DAG once, print the report, leave nothing running"),
        ("up", started.format("up"), "start the same and keep it running in the background, with the UI to look at"),
        ("down", found, "stop what `up` started"),
        ("status", found, "say what is running"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--state", type=Path, metavar="FOLDER", help=f"the folder in which it keeps all it has ({default})"
        )
        if name in ("run", "up"):
            _add_run_options(command)
    text = "print the Airflow connection to a cluster as JSON, with a new token; say when the token expires"
    add_options(commands.add_parser("connection", help=text, description=text))
    return parser


def _add_run_options(command: argparse.ArgumentParser) -> None:
    sandbox = command.add_argument_group("on the sandbox")
    sandbox.add_argument("--images", type=int, default=300, help="images in its registry (%(default)s)")
    sandbox.add_argument("--orphans", type=int, default=3000, help="orphaned blobs in it (%(default)s)")
    sandbox.add_argument("--size", help="as for `python -m sandbox seed`")
    sandbox.add_argument("--seed", help="as for `python -m sandbox seed`")
    sandbox.add_argument("--cause", action="append", default=[], help="as for `python -m sandbox seed`")
    real = command.add_argument_group("on a real cluster")
    real.add_argument("--kubeconfig", help="use the cluster of this kubeconfig instead of a sandbox")
    real.add_argument("--context", help="context of the kubeconfig (its current one)")
    command.add_argument(
        "--mode",
        choices=("dry-run", "prune"),
        help="prune deletes, dry-run only looks (default: prune on a sandbox, dry-run on a real cluster)",
    )
    command.add_argument(
        "--pass",
        dest="passed",
        action="append",
        default=[],
        metavar="CEILING[,CEILING]",
        help="ceilings that this run may pass, because you have looked into the reason that an earlier run gave "
        f"(the parameter {PASS_PARAMETER})",
    )
    command.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of the DAG, its value in JSON or a plain word; can be repeated",
    )
    command.add_argument("--dags-folder", type=Path, default=PROJECT / "dags", help="where the DAG files are (dags)")


def stack_options(options: argparse.Namespace) -> StackOptions:
    """What to start.

    :raises LocalAirflowError: if the options contradict each other or name what is not there.
    """
    if options.context is not None and options.kubeconfig is None:
        raise LocalAirflowError("--context goes with --kubeconfig: which file has the context?")
    cluster = choose_cluster(options.kubeconfig, options.context) if options.kubeconfig else None
    mode = options.mode or ("prune" if cluster is None else "dry-run")
    parameters = dict(map(parse_parameter, options.param))
    if mode == "dry-run":
        if not parameters.get(DRY_RUN_PARAMETER, True):
            raise LocalAirflowError(f"{DRY_RUN_PARAMETER}=false contradicts the mode; give --mode prune")
        parameters[DRY_RUN_PARAMETER] = True
    if options.passed:
        if PASS_PARAMETER in parameters:
            raise LocalAirflowError(f"--pass and --param {PASS_PARAMETER}=… say the same twice; give one of them")
        parameters[PASS_PARAMETER] = ceiling_names(options.passed)
    if not options.dags_folder.is_dir():
        raise LocalAirflowError(f"there is no folder {options.dags_folder} with DAG files")
    seed = ["--images", str(options.images), "--orphans", str(options.orphans)]
    for name in ("size", "seed"):
        value = getattr(options, name)
        seed += [] if value is None else [f"--{name}", value]
    for cause in options.cause:
        seed += ["--cause", cause]
    return StackOptions(
        project=PROJECT,
        dags_folder=options.dags_folder.absolute(),
        cluster=cluster,
        seed_arguments=tuple(seed),
        parameters=parameters,
    )


def ceiling_names(given: list[str]) -> list[str]:
    """The names in ``--pass a,b --pass c``, each once.

    :raises LocalAirflowError: if there are none.
    """
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if not names:
        raise LocalAirflowError("--pass names no ceiling; give it as --pass orphan_share or PASS=orphan_share")
    return list(dict.fromkeys(names))


def parse_parameter(text: str) -> tuple[str, Any]:
    """``key=value`` with the value in JSON; what is no JSON is taken as a word, such as ``2GiB``.

    :raises LocalAirflowError: if there is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise LocalAirflowError(f"a parameter is given as KEY=VALUE, not as {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value

"""The command line: ``python -m local_airflow run|up|down|status``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from local_airflow.background import down, status, up
from local_airflow.errors import LocalAirflowError
from local_airflow.interruption import Interruption
from local_airflow.kubeconfig import choose_cluster
from local_airflow.run import run
from local_airflow.sandbox_cluster import SandboxCluster
from local_airflow.stack import StackOptions
from local_airflow.state import StateFolder

PROJECT = Path(__file__).resolve().parent.parent
DRY_RUN_PARAMETER = "dry_run_only"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for.

    :return: the exit status.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    state = StateFolder((options.state or PROJECT / ".state" / options.default_state).absolute())
    if options.command == "status":
        return status(state)
    if options.command == "down":
        with Interruption() as interruption:  # noted and not looked at: it goes on to its end
            return down(state, SandboxCluster(state, PROJECT, interruption))
    try:
        chosen = stack_options(options)
    except LocalAirflowError as error:
        parser.error(str(error))
    return run(chosen, state) if options.command == "run" else up(chosen, state)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m local_airflow",
        description="Runs the DAG registry_prune in a real Airflow on this machine, on a sandbox cluster "
        "unless a kubeconfig is given.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, default_state, text in (
        ("run", "run", "run the DAG once, print the report, leave nothing running"),
        ("up", "up", "start the same and keep it running in the background, with the UI to look at"),
        ("down", "up", "stop what `up` started"),
        ("status", "up", "say what is running"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(default_state=default_state)
        command.add_argument(
            "--state", type=Path, metavar="FOLDER", help=f"where it keeps all it has (.state/{default_state})"
        )
        if name in ("run", "up"):
            _add_run_options(command)
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
        help="prune deletes; dry-run only looks (a sandbox is pruned, on a real cluster it only looks)",
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
    """What is to be started.

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

"""``python -m sandbox``: a stand-in OpenShift cluster on this machine."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.assembly.credentials import Credentials
from sandbox.base.errors import SandboxError
from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings
from sandbox.base.storage_kinds import NAMES as STORAGE_KINDS
from sandbox.command_line import fault_commands, service
from sandbox.command_line.admin_client import AdminClient
from sandbox.command_line.summary import summary
from sandbox.controllers.builds import BUILDS, build_object
from sandbox.registry.objects import namespace_object
from sandbox.registry.seed import seed
from sandbox.registry.verify import verify
from sandbox.server.objects.resources import resource_type

_DEFAULT_STATE = Path(".state/sandbox")
_TIMINGS = {"quick": SandboxSettings.quick, "real": SandboxSettings.real}


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    arguments = _parser().parse_args(words)
    state = StateDirectory(arguments.state.resolve())
    try:
        status: int = arguments.run(arguments, state)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--state", type=Path, default=_DEFAULT_STATE, help="folder that holds everything (%(default)s)")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the cluster; returns when it is ready")
    up.add_argument("--replicas", type=int, help="pods of the registry (2)")
    up.add_argument("--nodes", type=int, help="worker nodes (3)")
    up.add_argument("--timing", choices=_TIMINGS, default="quick", help="of operator and pods (%(default)s)")
    up.add_argument("--port", type=int, default=0, help="of the API server on 127.0.0.1; 0 takes a free one")
    up.add_argument(
        "--real-registry",
        action=argparse.BooleanOptionalAction,
        help="the registry pods run docker-registry and serve (if it is installed)",
    )
    up.add_argument("--storage", choices=STORAGE_KINDS, help="kind of storage that the registry's Config names (pvc)")
    up.add_argument("--storage-latency", type=float, help="seconds that each request to the bucket takes longer (0)")
    up.add_argument("--foreground", action="store_true", help="run it in this process, until Ctrl-C")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="end the cluster and every process of its pods")
    down.add_argument("--purge", action="store_true", help="remove the state folder, the storage included")
    down.set_defaults(run=_down)

    for name, module, purpose in (
        ("seed", seed, "fill the registry with images and orphaned blobs"),
        ("verify", verify, "look whether the cluster is as a run has to leave it"),
    ):
        command = commands.add_parser(name, help=purpose)
        module.add_arguments(command)
        command.set_defaults(run=module.run)

    status = commands.add_parser("status", help="how the cluster is")
    status.set_defaults(run=_status)

    token = commands.add_parser("token", help="print the token of a service account")
    kubeconfig = commands.add_parser("kubeconfig", help="write a kubeconfig for a service account")
    for command in (token, kubeconfig):
        command.add_argument("namespace")
        command.add_argument("name")
    token.set_defaults(run=_token)
    kubeconfig.add_argument("--output", type=Path, help="default: a file in the state folder")
    kubeconfig.set_defaults(run=_kubeconfig)

    operator = commands.add_parser("operator", help="stop or start the registry's operator")
    operator.add_argument("event", choices=("stop", "start"))
    operator.set_defaults(run=_operator)

    version = commands.add_parser("version", help="update the cluster to a version, which may be an older one")
    version.add_argument("version", help="for example 4.9.17")
    version.add_argument("--partial", action="store_true", help="the update is under way")
    version.set_defaults(run=_version)

    build = commands.add_parser("build", help="start a build, which pushes at its end")
    build.add_argument("namespace")
    build.add_argument("name")
    build.add_argument("--output", default="shop/app:latest", help="NAMESPACE/NAME:TAG or HOST/… (%(default)s)")
    build.add_argument("--seconds", type=float, default=1.0, help="until its push (%(default)s)")
    build.set_defaults(run=_build)

    fault = commands.add_parser("fault", help="order something to go wrong")
    fault_commands.add_arguments(fault)
    fault.set_defaults(run=_fault)
    return parser


def _settings(arguments: argparse.Namespace) -> SandboxSettings:
    names = ("replicas", "nodes", "storage", "storage_latency", "real_registry")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    try:
        return _TIMINGS[arguments.timing](port=arguments.port, **given)
    except ValueError as error:
        raise SandboxError(str(error)) from error


def _options(arguments: argparse.Namespace) -> list[str]:
    options = [f"--timing={arguments.timing}", f"--port={arguments.port}"]
    for name in ("replicas", "nodes", "storage", "storage_latency"):
        if getattr(arguments, name) is not None:
            options.append(f"--{name.replace('_', '-')}={getattr(arguments, name)}")
    if arguments.real_registry is not None:
        options.append("--real-registry" if arguments.real_registry else "--no-real-registry")
    return options


def _up(arguments: argparse.Namespace, state: StateDirectory) -> int:
    settings = _settings(arguments)
    if arguments.foreground:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        # Late: it loads the whole cluster, which no other command needs.
        from sandbox.command_line.foreground import serve

        serve(state, settings)
        return 0
    if not service.start(state, settings, _options(arguments)):
        print("It was up already, and stays as it is.")
    print(service.instructions(state))
    return 0


def _down(arguments: argparse.Namespace, state: StateDirectory) -> int:
    print(service.stop(state))
    if arguments.purge:
        shutil.rmtree(state.root, ignore_errors=True)
        print(f"{state.root} was removed.")
    return 0


def _client(state: StateDirectory) -> AdminClient:
    return AdminClient(service.describe(state)["url"], Credentials(state))


def _status(_: argparse.Namespace, state: StateDirectory) -> int:
    description = service.describe(state)
    print(summary(state, description, _client(state)))
    return 0


def _require_service_account(state: StateDirectory, namespace: str, name: str) -> None:
    _client(state).request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")


def _token(arguments: argparse.Namespace, state: StateDirectory) -> int:
    _require_service_account(state, arguments.namespace, arguments.name)
    print(Credentials(state).authenticator.service_account_token(arguments.namespace, arguments.name))
    return 0


def _kubeconfig(arguments: argparse.Namespace, state: StateDirectory) -> int:
    _require_service_account(state, arguments.namespace, arguments.name)
    url = service.describe(state)["url"]
    print(
        Credentials(state).write_service_account_kubeconfig(url, arguments.namespace, arguments.name, arguments.output)
    )
    return 0


def _operator(arguments: argparse.Namespace, state: StateDirectory) -> int:
    running = arguments.event == "start"
    _client(state).request("POST", "/sandbox/operator", {"running": running})
    print("The registry's operator runs." if running else "The registry's operator is stopped.")
    return 0


def _version(arguments: argparse.Namespace, state: StateDirectory) -> int:
    body = {"version": arguments.version, "completed": not arguments.partial}
    _client(state).request("POST", "/sandbox/cluster-version", body)
    print(f"The cluster {'is being updated to' if arguments.partial else 'has'} version {arguments.version}.")
    return 0


def _build(arguments: argparse.Namespace, state: StateDirectory) -> int:
    client = _client(state)
    try:
        build = build_object(arguments.namespace, arguments.name, arguments.output, arguments.seconds)
    except ValueError as error:
        raise SandboxError(str(error)) from error
    if arguments.namespace not in {found["metadata"]["name"] for found in client.list("namespaces")}:
        client.request("POST", "/api/v1/namespaces", namespace_object(arguments.namespace))
    client.request("POST", resource_type(BUILDS).collection_path(arguments.namespace), build)
    print(f"Build {arguments.namespace}/{arguments.name} pushes in {arguments.seconds:g} s.")
    return 0


def _fault(arguments: argparse.Namespace, state: StateDirectory) -> int:
    print(arguments.command(arguments, state, _client(state)))
    return 0

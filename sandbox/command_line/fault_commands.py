"""``python -m sandbox fault …``: order something to go wrong."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, get_args

from sandbox.assembly import situations
from sandbox.base.errors import SandboxError
from sandbox.base.names import NAMESPACE
from sandbox.base.paths import StateDirectory
from sandbox.command_line.admin_client import AdminClient
from sandbox.kubelet.exec_faults import Effect, meanings
from sandbox.registry.faults import PrunerFaults

Command = Callable[[argparse.Namespace, StateDirectory, AdminClient], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m sandbox fault``."""
    commands = parser.add_subparsers(title="faults", dest="fault", required=True, metavar="FAULT")
    _add_exec(commands)
    api = commands.add_parser("api", help="of the API server; fields of sandbox.server.faults.FaultRule")
    _add_fields(api, "status=503 verb=patch resource=configs remaining=2", _api)
    pruner = commands.add_parser("pruner", help="of the hard prune and the base prune; fields of PrunerFaults")
    _add_fields(pruner, "seconds_per_blob=0.01 fail_delete_after_blobs=5", _pruner)
    evict = commands.add_parser("evict", help="evict a pod: killed, phase Failed, reason Evicted")
    evict.set_defaults(command=_evict)
    restart = commands.add_parser("restart-container", help="out of memory: killed with all in it, and started anew")
    restart.set_defaults(command=_restart_container)
    for command in (evict, restart):
        command.add_argument("pod")
        command.add_argument("--namespace", "-n", default=NAMESPACE)
    restart.add_argument("--container", help="default: the pod's first one")
    node = commands.add_parser("node", help="lose a node, or have it back")
    node.add_argument("name", help="worker-0 …")
    node.add_argument(
        "event",
        choices=("lost", "off", "back"),
        help="lost: it is silent, its processes go on; off: they end too",
    )
    node.set_defaults(command=_node)
    api_server = commands.add_parser("api-server", help="killed, and started again; objects and pods live on")
    api_server.add_argument("seconds", type=float, help="until it is started again")
    api_server.set_defaults(command=_api_server)
    readiness = commands.add_parser("readiness", help="whether containers become ready")
    readiness.add_argument("event", choices=("hold", "allow"))
    readiness.set_defaults(command=_readiness)
    _add_situations(commands)
    clear = commands.add_parser("clear", help="take back all orders for API, exec, pruner and readiness")
    clear.set_defaults(command=_clear)


def _add_situations(commands: Any) -> None:
    media_types = commands.add_parser("media-types", help="empty the manifest media type of some Images")
    media_types.add_argument("count", nargs="?", type=int, default=1, help="of Images (%(default)s)")
    media_types.set_defaults(command=_media_types)
    etcd = commands.add_parser("empty-etcd", help="all Images and image streams are gone, the storage is full")
    etcd.add_argument("--keep-image-streams", action="store_true")
    etcd.set_defaults(command=_empty_etcd)
    other = commands.add_parser("other-cluster", help="Images and image streams become those of another cluster")
    other.set_defaults(command=_other_cluster)
    hidden = commands.add_parser("hide-image-streams", help="each answers 404, until `fault clear`")
    hidden.set_defaults(command=_hide_image_streams)
    storage = commands.add_parser("storage", help="pods find an empty folder where their storage was")
    storage.add_argument("event", choices=("unmount", "mount"))
    storage.set_defaults(command=_storage)


def _add_exec(commands: Any) -> None:
    effects = "; ".join(f"{effect}: {meaning}" for effect, meaning in meanings().items())
    parser = commands.add_parser("exec", help="of a command in a pod", description=effects)
    parser.add_argument("effect", choices=get_args(Effect))
    parser.add_argument("--after-seconds", type=float)
    parser.add_argument("--after-bytes", type=int)
    parser.add_argument("--at-exit", action="store_true", help="instead of the exit status")
    parser.add_argument("--of-command", default="", help="only commands with this text in them")
    parser.add_argument("--pod", default="", help="only pods whose name starts with this text")
    parser.add_argument("--times", type=int, default=1, help="how many execs it meets (%(default)s); 0: all")
    parser.set_defaults(command=_exec)


def _add_fields(parser: argparse.ArgumentParser, example: str, command: Command) -> None:
    parser.add_argument("fields", nargs="+", metavar="FIELD=VALUE", help=f"for example: {example}")
    parser.set_defaults(command=command)


def _fields(words: list[str]) -> dict[str, Any]:
    """Fields and values; a value is read as JSON where it is some, else as text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise SandboxError(f"{word!r} is no FIELD=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _exec(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    fault = {
        "effect": arguments.effect,
        "after_seconds": arguments.after_seconds,
        "after_bytes": arguments.after_bytes,
        "at_exit": arguments.at_exit,
        "command": arguments.of_command,
        "pod": arguments.pod,
        "times": arguments.times or None,
    }
    client.request("POST", "/sandbox/exec-faults", fault)
    how_often = f"the next {arguments.times}" if arguments.times else "all"
    return f"Ordered for {how_often} execs that match: {meanings()[arguments.effect]}."


def _api(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    fields = _fields(arguments.fields)
    return f"Ordered: fault {client.request('POST', '/sandbox/faults', fields)['id']} of the API."


def _pruner(arguments: argparse.Namespace, state: StateDirectory, _: AdminClient) -> str:
    fields = _fields(arguments.fields)
    try:
        PrunerFaults(**fields).write(state)
    except (TypeError, ValueError) as error:
        raise SandboxError(f"this is no order for a pruner: {error}") from error
    return "Ordered: it holds for every pruner that starts from now on, in place of an earlier order."


def _evict(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    client.request("POST", f"/sandbox/pods/{arguments.namespace}/{arguments.pod}/evict", {})
    return f"Pod {arguments.pod} is being evicted."


def _restart_container(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    path = f"/sandbox/pods/{arguments.namespace}/{arguments.pod}/restart"
    client.request("POST", path, {"container": arguments.container})
    return f"Everything in pod {arguments.pod} was killed; its container is started anew."


def _node(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    body = {"alive": arguments.event == "back", "power_off": arguments.event == "off"}
    client.request("POST", f"/sandbox/nodes/{arguments.name}", body)
    return f"Node {arguments.name} is {arguments.event}."


def _api_server(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    client.request("POST", "/sandbox/api-server", {"seconds": arguments.seconds})
    return f"The API server is gone, with every connection to it, for {arguments.seconds:g} s."


def _readiness(arguments: argparse.Namespace, _: StateDirectory, client: AdminClient) -> str:
    allowed = arguments.event == "allow"
    client.request("POST", "/sandbox/readiness", {"allowed": allowed})
    return "Containers become ready again." if allowed else "From now on no container becomes ready."


def _media_types(arguments: argparse.Namespace, state: StateDirectory, _: AdminClient) -> str:
    names = situations.forget_media_types(state, arguments.count)
    return "\n".join(("The manifest media type is empty now of:", *names))


def _empty_etcd(arguments: argparse.Namespace, state: StateDirectory, _: AdminClient) -> str:
    count = situations.restore_empty_etcd(state, image_streams=not arguments.keep_image_streams)
    return f"{count} Images are gone; the storage is as it was."


def _other_cluster(_: argparse.Namespace, state: StateDirectory, __: AdminClient) -> str:
    situations.become_other_cluster(state)
    return "Images, image streams and clusterID are those of another cluster; the storage is as it was."


def _hide_image_streams(_: argparse.Namespace, __: StateDirectory, client: AdminClient) -> str:
    client.request("POST", "/sandbox/faults", asdict(situations.IMAGE_STREAMS_HIDDEN))
    return "Every image stream answers 404. `fault clear` takes that back."


def _storage(arguments: argparse.Namespace, state: StateDirectory, _: AdminClient) -> str:
    if arguments.event == "unmount":
        situations.unmount_storage(state)
        return "The pods find an empty folder where their storage was. `fault storage mount` puts it back."
    situations.mount_storage(state)
    return "The storage is mounted again."


def _clear(_: argparse.Namespace, state: StateDirectory, client: AdminClient) -> str:
    client.request("DELETE", "/sandbox/exec-faults")
    client.request("DELETE", "/sandbox/faults")
    client.request("POST", "/sandbox/readiness", {"allowed": True})
    state.pruner_faults.unlink(missing_ok=True)
    return "All orders are taken back. Lost nodes stay lost (`fault node NAME back`), unmounted storage unmounted."

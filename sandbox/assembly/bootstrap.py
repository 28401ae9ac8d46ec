"""The objects that a cluster has after its installation, and the programs that its pods find."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from sandbox.base.names import CONFIGS
from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings
from sandbox.base.storage_kinds import NONE as NO_STORAGE
from sandbox.base.storage_kinds import storage_spec
from sandbox.kubelet.node import KUBELET_PORT, Node
from sandbox.server.objects.resources import of_kind, resource_type
from sandbox.server.objects.store import Store

_MANIFESTS = Path(__file__).parents[1] / "manifests"
_PROJECT = Path(__file__).parents[2]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's is ten times as fast, and a tenth of a sandbox's start was this."""

STAND_INS = {
    "dockerregistry": "sandbox.registry.hard_pruner.dockerregistry",
    "oc": "sandbox.registry.base_pruner.image_pruner",
}
"""Programs that pods find, by the module that each is."""
_EXECUTABLE = """\
#!{python} -I
import os
import sys

sys.path.insert(0, {project!r})

from {module} import main

sys.exit(main(sys.argv[1:], os.environ))
"""


# What the Dockerfile of the small image puts into it: this project, and a Python that finds it.
_PYTHON = """\
#!/bin/sh
PYTHONPATH={project} exec {python} "$@"
"""

# GNU coreutils without what needs other rights (chroot, chcon …) or is installed under other names by some.
_COREUTILS = (
    "b2sum", "base32", "base64", "basename", "basenc", "cat", "chgrp", "chmod", "chown", "cksum", "comm",
    "cp", "csplit", "cut", "date", "dd", "df", "dir", "dirname", "du", "echo", "env", "expand", "expr",
    "factor", "false", "fmt", "fold", "groups", "head", "id", "install", "join", "link", "ln", "logname",
    "ls", "md5sum", "mkdir", "mkfifo", "mknod", "mktemp", "mv", "nice", "nl", "nohup", "nproc", "numfmt",
    "od", "paste", "pathchk", "pr", "printenv", "printf", "ptx", "pwd", "readlink", "realpath", "rm", "rmdir",
    "seq", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "shred", "shuf", "sleep", "sort",
    "split", "stat", "stdbuf", "stty", "sum", "sync", "tac", "tail", "tee", "test", "timeout", "touch", "tr",
    "true", "truncate", "tsort", "tty", "uname", "unexpand", "uniq", "unlink", "vdir", "wc", "who", "whoami",
    "yes",
)  # fmt: skip


def create_objects(
    store: Store, settings: SandboxSettings, nodes: Sequence[Node], storage: dict[str, Any] | None = None
) -> None:
    """Fill an empty store.

    The Deployment and the CronJob are left to the registry's operator.

    :param storage: ``spec.storage`` of the registry's Config; None: as the settings name it.
    """
    for path in sorted(_MANIFESTS.glob("*.yaml")):
        for obj in _objects(path):
            if of_kind(obj["apiVersion"], obj["kind"]) is resource_type(CONFIGS):
                obj["spec"] |= {"replicas": settings.replicas, "storage": storage or storage_spec(settings.storage)}
                if settings.storage == NO_STORAGE:
                    # What the installer does where there is none: https://docs.openshift.com, registry on bare metal.
                    obj["spec"]["managementState"] = "Removed"
            _create_missing(store, obj)
    for node in nodes:
        _create_missing(store, _node(node))


def create_from(manifest: Path, store: Store) -> None:
    """Add the objects of a file in YAML that are not there yet.

    :raises ValueError: if the API does not serve a kind.
    """
    for obj in _objects(manifest):
        _create_missing(store, obj)


def _objects(manifest: Path) -> Iterator[dict[str, Any]]:
    return cast("Iterator[dict[str, Any]]", yaml.load_all(manifest.read_bytes(), Loader=_Loader))


def _create_missing(store: Store, obj: dict[str, Any]) -> None:
    kind = of_kind(obj["apiVersion"], obj["kind"])
    if kind is None:
        raise ValueError(f"{obj['apiVersion']} {obj['kind']} is in a manifest, but the API does not serve it")
    if store.find(kind.name, obj["metadata"]["name"], obj["metadata"].get("namespace")) is None:
        store.create(kind.name, obj)


def _node(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {
                "kubernetes.io/hostname": node.name,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/worker": "",
            },
        },
        "spec": {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "capacity": {"cpu": "4", "memory": "16Gi", "pods": "250"},
            "allocatable": {"cpu": "4", "memory": "15Gi", "pods": "250"},
            "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            "nodeInfo": {
                "kubeletVersion": "v1.31.8",
                "containerRuntimeVersion": "cri-o://1.31.8",
                "osImage": "Red Hat Enterprise Linux CoreOS 418",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def write_executables(state: StateDirectory) -> None:
    """Write the programs that pods find: the stand-ins for ``dockerregistry`` and ``oc``, and links to coreutils."""
    state.executables.mkdir(parents=True, exist_ok=True)
    for name, module in STAND_INS.items():
        path = state.executables / name
        path.write_text(_EXECUTABLE.format(python=sys.executable, project=str(_PROJECT), module=module))
        path.chmod(0o755)
    state.small_image.mkdir(parents=True, exist_ok=True)
    python = state.small_image / "python3"
    python.write_text(_PYTHON.format(python=sys.executable, project=str(_PROJECT)))
    python.chmod(0o755)
    state.coreutils.mkdir(parents=True, exist_ok=True)
    for name in ("sh", *_COREUTILS):
        link, program = state.coreutils / name, shutil.which(name)
        if program is not None and not link.is_symlink():
            link.symlink_to(program)

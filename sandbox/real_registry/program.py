"""Which program the registry pods run, and its configuration."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from sandbox.base.errors import SandboxError

NOT_INSTALLED = (
    "docker-registry is not installed (Debian, Ubuntu: apt-get install docker-registry): "
    "the registry pods idle, nothing can be pushed to them or pulled"
)
SWITCHED_OFF = "real registries are switched off: the registry pods idle, nothing can be pushed to them or pulled"

_PROGRAM = "docker-registry"
_BOUND_TO_PARENT = "setpriv"
# The pod's own ones say: port 5000 on all addresses, with a certificate that the sandbox does not have.
_REPLACED_VARIABLES = ("REGISTRY_HTTP_ADDR", "REGISTRY_HTTP_TLS_CERTIFICATE", "REGISTRY_HTTP_TLS_KEY")
# Whatever kind of storage the Config names, it is a folder of this machine.
_STORAGE_VARIABLES = re.compile(r"REGISTRY_STORAGE(?:_(?:FILESYSTEM|S3|SWIFT)_.*)?")
_LAYER = "application/octet-stream"


def find_program(wanted: bool | None) -> str | None:
    """Path of the registry's program; None: the pods idle.

    :param wanted: None takes it if it is installed.
    :raises SandboxError: it is wanted and not installed.
    """
    found = None if wanted is False else shutil.which(_PROGRAM)
    if wanted and found is None:
        raise SandboxError(f"real_registry is true, but {NOT_INSTALLED}")
    return found


def serve_command(program: str, configuration: Path) -> list[str]:
    """The words that serve; one process, which ends with the one that has started it where ``setpriv`` is there."""
    words = [program, "serve", str(configuration)]
    binder = shutil.which(_BOUND_TO_PARENT)
    return [binder, "--pdeathsig", "KILL", *words] if binder else words


def serve_environment(container: Mapping[str, str]) -> dict[str, str]:
    """The container's variables without those that only fit a real cluster's network and storage."""
    return {
        name: value
        for name, value in container.items()
        if name not in _REPLACED_VARIABLES and not _STORAGE_VARIABLES.fullmatch(name)
    }


def configuration(ip: str, storage: Path, notification_url: str, authorization: str) -> str:
    """The configuration file: what the pod's variables leave open. They have precedence.

    :param ip: loopback address to listen on; the port is any free one.
    :param authorization: header of the notifications.
    """
    endpoint = {
        "name": "sandbox",
        "url": notification_url,
        "headers": {"Authorization": [authorization]},
        "timeout": "5s",
        "threshold": 10,
        "backoff": "100ms",
        "ignore": {"mediatypes": [_LAYER], "actions": ["pull", "mount", "delete"]},
    }
    # JSON is YAML.
    return json.dumps(
        {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage)}},
            "http": {"addr": f"{ip}:0"},
            "notifications": {"endpoints": [endpoint]},
        },
        indent=1,
    )

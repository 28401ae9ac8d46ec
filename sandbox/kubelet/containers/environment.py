"""The environment of a container's processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.base.paths import StateDirectory
from sandbox.base.proc_files import CONTAINER_VARIABLE, POD_UID_VARIABLE, STATE_VARIABLE
from sandbox.kubelet.containers.container import is_small_image, serves_registry
from sandbox.kubelet.containers.pod_files import PodFiles

SERVICE_ACCOUNT_DIRECTORY_VARIABLE = "SANDBOX_SERVICE_ACCOUNT_DIRECTORY"


@dataclass(frozen=True)
class ApiAddress:
    """Where pods find the API server.

    :param ca_certificate: PEM of the authority that its certificate is from.
    """

    host: str
    port: int
    ca_certificate: str


def container_environment(
    state: StateDirectory, address: ApiAddress, files: PodFiles, pod: dict[str, Any], container: dict[str, Any]
) -> dict[str, str]:
    """All variables of a container's processes; nothing is inherited from the sandbox's own.

    The registry's image is sure to have a shell and coreutils, and so the registry's container finds no more.
    ``valueFrom`` is followed for ``fieldRef`` of the pod's metadata only.
    """
    metadata = pod["metadata"]
    programs = str(state.coreutils) if serves_registry(container) else "/usr/bin:/bin"
    if is_small_image(container):
        programs = f"{state.small_image}:{state.coreutils}"
    variables = {
        "PATH": f"{state.executables}:{programs}",
        "HOME": str(files.root),
        "LANG": "C.UTF-8",
        "HOSTNAME": metadata["name"],
        "KUBERNETES_SERVICE_HOST": address.host,
        "KUBERNETES_SERVICE_PORT": str(address.port),
    }
    for variable in container.get("env") or []:
        variables[variable["name"]] = files.translate(_value(variable, metadata))
    return variables | {
        STATE_VARIABLE: str(state.root),
        POD_UID_VARIABLE: metadata["uid"],
        CONTAINER_VARIABLE: container["name"],
        SERVICE_ACCOUNT_DIRECTORY_VARIABLE: str(files.service_account),
    }


def _value(variable: dict[str, Any], metadata: dict[str, Any]) -> str:
    field_path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
    if field_path.startswith("metadata."):
        return str(metadata.get(field_path.removeprefix("metadata."), ""))
    return str(variable.get("value") or "")

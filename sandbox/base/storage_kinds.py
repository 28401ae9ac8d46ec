"""Where the registry keeps its blobs, as Config, Deployment and conditions tell it.

After ``pkg/storage`` of cluster-image-registry-operator. In the sandbox the blobs are in one folder for each of
these kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

_CLAIM = "image-registry-storage"
_VOLUME = "registry-storage"
_MOUNT = "/registry"
_FILESYSTEM = {"REGISTRY_STORAGE": "filesystem", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": _MOUNT}


@dataclass(frozen=True)
class StorageKind:
    """One kind of storage.

    :param key: of ``spec.storage``.
    :param defaults: what the sandbox puts there.
    :param managed: the operator has made the storage itself.
    :param driver: the registry's driver; empty for a mounted file system.
    :param variables: suffix of the variable of the driver to field of ``spec.storage.KEY``.
    :param fixed: variables that are the same for all.
    :param exists: reason and message of the condition StorageExists; None if it is not set.
    """

    key: str
    defaults: JsonObject
    managed: bool = False
    driver: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)
    exists: tuple[str, str] | None = None


KINDS = {
    kind.key: kind
    for kind in (
        StorageKind("pvc", {"claim": _CLAIM}, exists=("PVC Exists", "")),
        StorageKind("emptyDir", {}),
        StorageKind(
            "s3",
            {
                "bucket": "sandbox-image-registry-us-east-1",
                "encrypt": True,
                "region": "us-east-1",
                "virtualHostedStyle": False,
            },
            managed=True,
            driver="s3",
            variables={
                "BUCKET": "bucket",
                "REGION": "region",
                "ENCRYPT": "encrypt",
                "VIRTUALHOSTEDSTYLE": "virtualHostedStyle",
                "REGIONENDPOINT": "regionEndpoint",
            },
            fixed={
                "REGISTRY_STORAGE_S3_USEDUALSTACK": "true",
                "REGISTRY_STORAGE_S3_CREDENTIALSCONFIGPATH": "/var/run/secrets/cloud/credentials",
            },
            exists=("S3 Bucket Exists", "User supplied S3 bucket exists and is accessible"),
        ),
        StorageKind(
            "swift",
            {"authURL": "https://identity.example.com/v3", "authVersion": "3", "container": "sandbox-image-registry"},
            managed=True,
            driver="swift",
            variables={"CONTAINER": "container", "AUTHURL": "authURL", "AUTHVERSION": "authVersion"},
            exists=("Container exists", "User supplied container already exists"),
        ),
    )
}
NONE = "none"
"""No storage is configured."""
NAMES = (*KINDS, NONE)


def storage_spec(name: str) -> JsonObject:
    """``spec.storage`` for a kind of storage.

    :param name: one of ``NAMES``.
    :raises ValueError: there is no such kind.
    """
    if name == NONE:
        return {}
    if name not in KINDS:
        raise ValueError(f"there is no storage {name!r}; there is: {', '.join(NAMES)}")
    kind = KINDS[name]
    return {"managementState": "Managed" if kind.managed else "Unmanaged", name: dict(kind.defaults)}


def kind_of(storage: JsonObject | None) -> StorageKind | None:
    """The kind that ``spec.storage`` names; None if it names none that the sandbox knows."""
    return next((kind for key, kind in KINDS.items() if key in (storage or {})), None)


def environment(storage: JsonObject | None) -> dict[str, str]:
    """The variables by which the registry knows of its storage."""
    kind = kind_of(storage)
    if kind is None or not kind.driver:
        return dict(_FILESYSTEM)
    values = (storage or {})[kind.key]
    prefix = f"REGISTRY_STORAGE_{kind.driver.upper()}"
    found = {f"{prefix}_{name}": values.get(key) for name, key in kind.variables.items() if key in values}
    return {"REGISTRY_STORAGE": kind.driver, **kind.fixed} | {name: _text(value) for name, value in found.items()}


def volumes(storage: JsonObject | None) -> list[JsonObject]:
    """The pod's volume for the blobs, if they are in a file system."""
    kind = kind_of(storage)
    if kind is None or kind.driver:
        return []
    if kind.key == "pvc":
        claim = (storage or {})["pvc"].get("claim") or _CLAIM
        return [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim}}]
    return [{"name": _VOLUME, "emptyDir": {}}]


def volume_mounts(storage: JsonObject | None) -> list[dict[str, str]]:
    """Where the container sees it."""
    return [{"name": volume["name"], "mountPath": _MOUNT} for volume in volumes(storage)]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value or "")

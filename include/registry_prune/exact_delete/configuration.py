"""The registry's storage, as the environment of its pods configures it (pure).

The operator of the image registry writes it there (``ConfigEnv`` of each driver in ``pkg/storage`` of
github.com/openshift/cluster-image-registry-operator), and a pod made from the Deployment's template inherits it. What a
variable means: the drivers' parameters in github.com/distribution/distribution and OpenShift's fork of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.registry_prune.cluster.registry_state import is_read_only

_PREFIX = "REGISTRY_STORAGE"
_INSTEAD = "Set delete_by to dockerregistry for this cluster: the documented delete works on every storage."


class ConfigurationError(Exception):
    """The storage cannot be used by the exact delete; the message says why and what to set instead."""


@dataclass(frozen=True)
class FileSystemConfiguration:
    """A mounted file system: a PVC, NFS, CephFS, hostPath.

    :param root: where ``docker/registry/v2`` lies.
    """

    root: Path

    def text(self) -> str:
        """For people."""
        return f"file system {self.root}"


@dataclass(frozen=True)
class S3Configuration:
    """A bucket of AWS, Ceph RGW, NooBaa, MinIO or another S3-compatible store.

    :param root: prefix of every key, without a slash at either end; empty for none.
    :param endpoint: URL; empty for AWS's own of the region.
    :param access_key: static key; empty where ``credentials_file`` or the pod's own identity is used, likewise
        ``secret_key``.
    :param credentials_file: in AWS's format, with static keys or a role and the file of a web identity token.
    :param path_style: the bucket is named in the path; False: in the host; None: as the endpoint takes it.
    """

    bucket: str
    region: str
    root: str = ""
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    credentials_file: str = ""
    path_style: bool | None = None
    dual_stack: bool = False
    verify: bool = True

    def text(self) -> str:
        """For people, without secrets."""
        place = "/".join(part for part in (self.bucket, self.root) if part)
        return f"s3 bucket {place} at {self.endpoint or f'AWS {self.region}'}"


Configuration = FileSystemConfiguration | S3Configuration


def configuration(environ: Mapping[str, str]) -> Configuration:
    """Read the storage's configuration.

    :param environ: of the process.
    :raises ConfigurationError: if it is incomplete, or of a driver that the exact delete does not know.
    """
    driver = environ.get(_PREFIX, "")
    if driver == "filesystem":
        root = environ.get(f"{_PREFIX}_FILESYSTEM_ROOTDIRECTORY", "")
        if not root.startswith("/"):
            raise ConfigurationError(
                f"{_PREFIX}_FILESYSTEM_ROOTDIRECTORY is {root!r}, and has to be an absolute path. The operator sets it "
                f"in Deployment image-registry. {_INSTEAD}"
            )
        return FileSystemConfiguration(Path(root))
    if driver in ("s3", "s3aws"):
        return _s3({name.removeprefix(f"{_PREFIX}_S3_"): value for name, value in environ.items()})
    if not driver:
        raise ConfigurationError(
            f"{_PREFIX} is not set: this pod is not made from the registry's template, or the registry has no storage. "
            f"{_INSTEAD}"
        )
    raise ConfigurationError(
        f"The registry's storage is {driver!r}, and the exact delete knows filesystem and s3 alone. {_INSTEAD}"
    )


def pod_is_read_only(environ: Mapping[str, str]) -> bool:
    """Whether the template that this pod was made from serves read-only."""
    return is_read_only({"env": [{"name": name, "value": value} for name, value in environ.items()]})


def _s3(values: Mapping[str, str]) -> S3Configuration:
    bucket, region = values.get("BUCKET", ""), values.get("REGION", "")
    if not bucket:
        raise ConfigurationError(f"{_PREFIX}_S3_BUCKET is not set: the operator sets it in Deployment image-registry.")
    endpoint = _endpoint(values.get("REGIONENDPOINT", ""), secure=_switch(values, "SECURE", default=True))
    return S3Configuration(
        bucket=bucket,
        region=region or "us-east-1",
        root=values.get("ROOTDIRECTORY", "").strip("/"),
        endpoint=endpoint,
        access_key=values.get("ACCESSKEY", ""),
        secret_key=values.get("SECRETKEY", ""),
        session_token=values.get("SESSIONTOKEN", ""),
        credentials_file=values.get("CREDENTIALSCONFIGPATH", ""),
        path_style=_path_style(values, endpoint),
        # An endpoint of its own has the one address that it has.
        dual_stack=_switch(values, "USEDUALSTACK", default=False) and not endpoint,
        verify=not _switch(values, "SKIPVERIFY", default=False),
    )


def _endpoint(text: str, *, secure: bool) -> str:
    """A URL: the drivers take a host alone too."""
    if not text or "://" in text:
        return text.rstrip("/")
    return f"{'https' if secure else 'http'}://{text.rstrip('/')}"


def _path_style(values: Mapping[str, str], endpoint: str) -> bool | None:
    """By either of the two names that versions of OpenShift have for it.

    Up to 4.16 the operator says VIRTUALHOSTEDSTYLE, which counts where there is an endpoint; then FORCEPATHSTYLE.
    """
    if values.get("FORCEPATHSTYLE"):
        # AWS's own endpoints take both, and the library knows which bucket names do not go into a host name.
        forced = _switch(values, "FORCEPATHSTYLE", default=True)
        return forced if endpoint or forced else None
    return not _switch(values, "VIRTUALHOSTEDSTYLE", default=False) if endpoint else None


def _switch(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name, "").strip().lower()
    if not text:
        return default
    if text in ("true", "1", "t"):
        return True
    if text in ("false", "0", "f"):
        return False
    raise ConfigurationError(f"{_PREFIX}_S3_{name} is {text!r}, and has to be true or false.")

"""A client for the registry's bucket, as the registry itself is configured to reach it.

boto3, and not fsspec with s3fs: its batches answer for each key, where s3fs raises the first error of a batch and
forgets which keys are gone; and the rest (web identity, regional endpoints, proxies, signatures) is botocore in both.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import certifi
from botocore.config import Config

from include.registry_prune.exact_delete.configuration import S3Configuration

CA_FOLDERS = (Path("/etc/pki/ca-trust/source/anchors"), Path("/usr/share/pki/ca-trust-source/anchors"))
"""Where the operator mounts the authorities that the cluster's administrator trusts. The registry's own image makes
its bundle from them when it starts; another image has to read them itself."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


def s3_client(
    configuration: S3Configuration,
    *,
    at_once: int,
    environ: Mapping[str, str],
    work_folder: Path,
    ca_folders: Iterable[Path] = CA_FOLDERS,
) -> Any:
    """A boto3 client. It repeats nothing by itself: that is done by who knows what was asked, and can be interrupted.

    Proxies are taken from the environment, as the registry takes them.

    :param at_once: requests at the same time.
    :param work_folder: takes a bundle of authorities.
    """
    core = botocore.session.get_session()
    if configuration.credentials_file:
        core.set_config_variable("credentials_file", configuration.credentials_file)
    session = boto3.Session(botocore_session=core)
    client = session.client(
        "s3",
        region_name=configuration.region,
        endpoint_url=configuration.endpoint or None,
        aws_access_key_id=configuration.access_key or None,
        aws_secret_access_key=configuration.secret_key or None,
        aws_session_token=configuration.session_token or None,
        verify=_verify(configuration, environ, work_folder, ca_folders),
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=at_once,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
            s3={
                "addressing_style": {True: "path", False: "virtual", None: "auto"}[configuration.path_style],
                "use_dualstack_endpoint": configuration.dual_stack,
            },
        ),
    )
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
    return client


def _add_content_md5(request: Any, **_: Any) -> None:
    """The digest that every store takes.

    Since 1.36 boto3 sends a CRC32 instead, and with it Ceph, NooBaa and MinIO of before 2025 refuse a batch
    (``MissingContentMD5``); AWS takes either.
    """
    for name in list(request.headers):
        if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-")):
            del request.headers[name]
    body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()


def _verify(
    configuration: S3Configuration, environ: Mapping[str, str], work_folder: Path, ca_folders: Iterable[Path]
) -> str | bool | None:
    """What the endpoint's certificate is held against: False for nothing, None for botocore's own choice."""
    if not configuration.verify:
        return False
    if environ.get("AWS_CA_BUNDLE"):
        return environ["AWS_CA_BUNDLE"]
    found = [path for folder in ca_folders if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_file()]
    authorities = [text for path in found if b"-----BEGIN CERTIFICATE-----" in (text := path.read_bytes())]
    if not authorities:
        return None
    bundle = work_folder / "authorities.pem"
    bundle.write_bytes(b"\n".join([Path(certifi.where()).read_bytes(), *authorities]))
    return os.fspath(bundle)

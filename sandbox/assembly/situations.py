"""Situations in which a hard prune would destroy what is needed, to be played on a cluster that is up.

Each is brought about as it is in reality: by what the API tells of images, or by what is seen of the storage.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sandbox.base.errors import SandboxError
from sandbox.base.names import CLUSTER_VERSION, CLUSTER_VERSIONS
from sandbox.base.paths import StateDirectory
from sandbox.registry.api import IMAGE_STREAMS, IMAGES, ApiClient, ApiFailureError
from sandbox.registry.seed.seed_images import ImageSeeder
from sandbox.registry.seed.seed_sink import SeedSink
from sandbox.registry.storage.images import ImageBuilder
from sandbox.registry.storage.layout import StorageLayout
from sandbox.registry.storage.media_types import IMAGE_MANIFESTS
from sandbox.server.faults import FaultRule

IMAGE_STREAMS_HIDDEN = FaultRule(
    verb="get", resource="imagestreams", status=404, message="the server could not find the requested resource"
)
"""Every image stream seems to be gone: to the pruner all repositories are to be removed whole."""

_TIMEOUT_SECONDS = 30.0
_OTHER_CLUSTER_ID = "0c1d7f06-52a9-4f0b-9d5e-b1f6f8a7c9d4"


def forget_media_types(state: StateDirectory, count: int = 1) -> list[str]:
    """Empty ``dockerImageManifestMediaType`` of ``count`` Images: the pruner takes their configs.

    Transcripts 91 to 93.

    :returns: the names of these Images.
    :raises SandboxError: fewer Images than that have a config, or the sandbox does not answer.
    """
    with _administrator(state) as api:
        whole = [image for image in api.list(IMAGES) if image.get("dockerImageManifestMediaType") in IMAGE_MANIFESTS]
        if len(whole) < count:
            raise SandboxError(f"there are {len(whole)} Images with a config, not {count}: seed some first")
        for image in whole[:count]:
            api.replace(IMAGES, image | {"dockerImageManifestMediaType": ""})
        return [image["metadata"]["name"] for image in whole[:count]]


def restore_empty_etcd(state: StateDirectory, *, image_streams: bool = True) -> int:
    """The API has no Images any more, as after a restore of an early backup; the storage is as it was.

    :param image_streams: False: these are still there.
    :returns: how many Images are gone.
    :raises SandboxError: the sandbox does not answer.
    """
    with _administrator(state) as api:
        images = _delete_all(api, IMAGES)
        if image_streams:
            _delete_all(api, IMAGE_STREAMS)
        return images


def become_other_cluster(state: StateDirectory, images: int = 40) -> None:
    """From now on the API is that of another cluster: its images are not those of the storage.

    :param images: how many it has that tags name.
    :raises SandboxError: the sandbox does not answer.
    """
    elsewhere = state.root / "storage-of-other-cluster"
    with _administrator(state) as api:
        restore_empty_etcd(state)
        builder = ImageBuilder(StorageLayout(elsewhere), "another cluster")
        ImageSeeder(SeedSink(api, 0), builder, datetime.now(UTC)).seed(images, 0)
        version = api.get(CLUSTER_VERSIONS, CLUSTER_VERSION)
        api.replace(CLUSTER_VERSIONS, version | {"spec": version["spec"] | {"clusterID": _OTHER_CLUSTER_ID}})
    shutil.rmtree(elsewhere, ignore_errors=True)


def unmount_storage(state: StateDirectory) -> None:
    """The pods find an empty folder where their storage was.

    :raises SandboxError: it is unmounted already.
    """
    away = _unmounted(state)
    if away.exists():
        raise SandboxError("the storage is unmounted already")
    state.storage.rename(away)
    state.storage.mkdir()


def mount_storage(state: StateDirectory) -> None:
    """The storage is back; what was written meanwhile is gone, as what is below a mount.

    :raises SandboxError: it is not unmounted.
    """
    away = _unmounted(state)
    if not away.exists():
        raise SandboxError("the storage is mounted")
    shutil.rmtree(state.storage)
    away.rename(state.storage)


def _unmounted(state: StateDirectory) -> Path:
    return state.root / "storage-unmounted"


def _delete_all(api: ApiClient, resource: str) -> int:
    found = api.list(resource)
    for each in found:
        api.delete(resource, each["metadata"]["name"], each["metadata"].get("namespace"))
    return len(found)


@contextmanager
def _administrator(state: StateDirectory) -> Iterator[ApiClient]:
    try:
        with closing(ApiClient.from_kubeconfig(state.kubeconfig, _TIMEOUT_SECONDS)) as api:
            yield api
    except ApiFailureError as error:
        raise SandboxError(f"the sandbox in {state.root} refuses, or does not answer: {error}") from error

"""What the cluster knows of images outlives ``down``, so that the storage that is kept is not all garbage at ``up``."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.base.paths import StateDirectory
from sandbox.registry.storage.layout import BLOBS_ROOT
from sandbox.server.objects.store import Store

_RESOURCES = ("images.image.openshift.io", "imagestreams.image.openshift.io")


def _file(state: StateDirectory) -> Path:
    return state.root / "images.json"


def save_images(store: Store, state: StateDirectory) -> None:
    """Keep all Images and ImageStreams."""
    _file(state).write_text(json.dumps({resource: store.list(resource) for resource in _RESOURCES}))


def restore_images(store: Store, state: StateDirectory) -> bool:
    """Put back what :func:`save_images` kept, once.

    :returns: False if there is a storage that nobody knows the images of any more: the sandbox was killed. What
        was known of its content (the seeds) is forgotten too.
    """
    kept = _file(state)
    if not kept.exists():
        known = not (state.storage / BLOBS_ROOT.lstrip("/")).exists()
        state.seed_inventory.unlink(missing_ok=True)
        return known
    for resource, objects in json.loads(kept.read_text()).items():
        for obj in objects:
            store.create(resource, obj)
    kept.unlink()
    return True

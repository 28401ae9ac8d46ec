"""How objects go: grace of pods, finalizers, and what depends on an object that is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.server.errors import JsonObject
from sandbox.server.objects.collection import Record, copy_of
from sandbox.server.objects.metadata import pod_grace_seconds, terminating
from sandbox.server.objects.ownership import owner_uids
from sandbox.server.objects.resources import RESOURCE_TYPES

if TYPE_CHECKING:
    from sandbox.server.objects.store import Store

FOREGROUND = "foregroundDeletion"


def mark(resource: str, value: JsonObject, grace_seconds: int | None, propagation: str | None) -> JsonObject | None:
    """The object as it waits for its end; None if it can go at once.

    :param grace_seconds: what the caller of the API asked for; only pods have a grace.
    """
    grace = pod_grace_seconds(value, grace_seconds) if resource == "pods" else 0
    metadata = value["metadata"]
    finalizers = list(metadata.get("finalizers") or [])
    if propagation == "Foreground" and FOREGROUND not in finalizers:
        finalizers.append(FOREGROUND)
    if not grace and not finalizers:
        return None
    # A second delete may shorten the time that is left, never lengthen it.
    remaining = metadata.get("deletionGracePeriodSeconds")
    later = "deletionTimestamp" in metadata and remaining is not None and grace >= remaining
    marked = copy_of(value) if later else terminating(value, grace)
    if finalizers:
        marked["metadata"]["finalizers"] = finalizers
    return marked


def is_over(value: JsonObject) -> bool:
    """Deleted, without finalizers and without a grace that a kubelet has to end?"""
    metadata = value["metadata"]
    return bool(
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


def delete_dependents(store: Store, uid: str) -> None:
    """Delete what names this owner and no other one that is still there."""
    for resource, (namespace, name) in store.owners.dependents(uid):
        record = store.find(resource, name, namespace)
        if record is None:
            continue
        others = [other for other in owner_uids(record.object) if other != uid and store.owners.place(other)]
        if not others:
            store.delete(resource, name, namespace, propagation="Background")


def finish_foreground(store: Store, uid: str) -> JsonObject | None:
    """Remove the owner that waits for its dependents, if none of them is left; returns its last state."""
    place = store.owners.place(uid)
    if place is None or store.owners.dependents(uid):
        return None
    resource, (namespace, name) = place
    owner = store.get(resource, name, namespace)
    finalizers = owner["metadata"].get("finalizers") or []
    if FOREGROUND not in finalizers:
        return None
    owner["metadata"]["finalizers"] = [finalizer for finalizer in finalizers if finalizer != FOREGROUND]
    return store.update(resource, owner)


def clean_up_after(store: Store, resource: str, record: Record, *, orphan: bool) -> None:
    """What follows when an object is gone: its dependents, its waiting owners, a namespace's content."""
    if orphan:
        _orphan_dependents(store, record.uid)
    else:
        delete_dependents(store, record.uid)
    for uid in owner_uids(record.object):
        finish_foreground(store, uid)
    if resource == "namespaces":
        _empty_namespace(store, record.key[1])


def _orphan_dependents(store: Store, uid: str) -> None:
    for resource, (namespace, name) in store.owners.dependents(uid):
        dependent = store.get(resource, name, namespace)
        references = dependent["metadata"]["ownerReferences"]
        dependent["metadata"]["ownerReferences"] = [ref for ref in references if ref["uid"] != uid]
        store.update(resource, dependent)


def _empty_namespace(store: Store, namespace: str) -> None:
    for resource_type in RESOURCE_TYPES.values():
        if not resource_type.namespaced:
            continue
        for record in list(store.records(resource_type.name, namespace)):
            if store.find(resource_type.name, record.key[1], namespace):
                store.remove(resource_type.name, record.key[1], namespace)

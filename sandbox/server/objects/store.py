"""What a write to the cluster's objects does, and what follows from it.

Defaults and checks of a new object; grace of pods, finalizers, and what depends on an object that is gone.
"""

from __future__ import annotations

from collections.abc import Callable

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import Record, copy_of
from sandbox.server.objects.defaults import with_defaults
from sandbox.server.objects.metadata import new_object, pod_grace_seconds, terminating, updated_object
from sandbox.server.objects.ownership import owner_uids
from sandbox.server.objects.resources import RESOURCE_TYPES, resource_type
from sandbox.server.objects.state import ObjectState
from sandbox.server.objects.validation import check_object, check_update

_FOREGROUND = "foregroundDeletion"


class Store(ObjectState):
    """All objects of the cluster: one writer, one order of changes, as etcd behind the API server."""

    def create(self, resource: str, obj: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Add an object; uid, resourceVersion, times, generation and a generated name are filled in.

        A ``metadata.creationTimestamp`` that is given is kept.

        :raises ApiError: 409 the name is taken, 422 the object is not valid.
        """
        kind = resource_type(resource)
        created = with_defaults(kind, new_object(kind, obj))
        check_object(kind, created)
        metadata = created["metadata"]
        if self.find(resource, metadata["name"], metadata.get("namespace")) is not None:
            raise ApiError.already_exists(resource, metadata["name"])
        if not dry_run:
            self.commit(resource, None, created)
        return copy_of(created)

    def update(
        self, resource: str, obj: JsonObject, *, subresource: str | None = None, dry_run: bool = False
    ) -> JsonObject:
        """Replace an object; with ``subresource="status"`` only its status, otherwise all but its status.

        Nothing happens if nothing would change. ``generation`` rises when the wanted state changes.

        :raises ApiError: 404; 409 if ``metadata.resourceVersion`` is given and stale; 422 not valid.
        """
        kind, metadata = resource_type(resource), obj["metadata"]
        old = self.record(resource, metadata["name"], metadata.get("namespace"))
        updated = updated_object(kind, old.object, obj, subresource)
        if updated is None:
            return copy_of(old.object)
        check_object(kind, updated)
        check_update(kind, old.object, updated)
        if not dry_run:
            self.commit(resource, old, updated)
            if _is_over(updated):
                self._drop(resource, self.record(resource, *reversed(old.key)))
        return copy_of(updated)

    def modify(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        mutate: Callable[[JsonObject], object],
        *,
        subresource: str | None = None,
    ) -> JsonObject:
        """Read an object, let ``mutate`` change it in place, and write it back.

        :raises ApiError: 404, 422.
        """
        obj = self.get(resource, name, namespace)
        mutate(obj)
        return self.update(resource, obj, subresource=subresource)

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: str | None = None,
        dry_run: bool = False,
    ) -> JsonObject:
        """Delete an object as the API does; returns its last state.

        A pod that runs on a node gets a deletionTimestamp and is removed by the kubelet, unless
        ``grace_seconds`` is 0. Anything else is removed at once, except what has finalizers.

        :param grace_seconds: for pods; default is ``spec.terminationGracePeriodSeconds``.
        :param propagation: ``Background`` (default), ``Foreground`` (dependents first) or ``Orphan``.
        :raises ApiError: 404.
        """
        record = self.record(resource, name, namespace)
        marked = _marked(resource, record.object, grace_seconds, propagation)
        if dry_run:
            return copy_of(marked or record.object)
        if marked is None:
            return self._drop(resource, record, orphan=propagation == "Orphan")
        if marked != record.object:
            self.commit(resource, record, marked)
        if propagation == "Foreground":
            self._delete_dependents(record.uid)
            return self._finish_foreground(record.uid) or copy_of(marked)
        return copy_of(marked)

    def remove(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Remove an object for good, whatever its grace: what a kubelet does when a pod has ended.

        :raises ApiError: 404.
        """
        self._drop(resource, self.record(resource, name, namespace))

    # --- what follows

    def _drop(self, resource: str, record: Record, *, orphan: bool = False) -> JsonObject:
        last = self.drop(resource, record)
        self._clean_up_after(resource, record, orphan=orphan)
        return last

    def _delete_dependents(self, uid: str) -> None:
        """Delete what names this owner and no other one that is still there."""
        for resource, (namespace, name) in self.owners.dependents(uid):
            record = self.find(resource, name, namespace)
            if record is None:
                continue
            others = [other for other in owner_uids(record.object) if other != uid and self.owners.place(other)]
            if not others:
                self.delete(resource, name, namespace, propagation="Background")

    def _finish_foreground(self, uid: str) -> JsonObject | None:
        """Remove the owner that waits for its dependents, if none of them is left; returns its last state."""
        place = self.owners.place(uid)
        if place is None or self.owners.dependents(uid):
            return None
        resource, (namespace, name) = place
        owner = self.get(resource, name, namespace)
        finalizers = owner["metadata"].get("finalizers") or []
        if _FOREGROUND not in finalizers:
            return None
        owner["metadata"]["finalizers"] = [finalizer for finalizer in finalizers if finalizer != _FOREGROUND]
        return self.update(resource, owner)

    def _clean_up_after(self, resource: str, record: Record, *, orphan: bool) -> None:
        """What follows when an object is gone: its dependents, its waiting owners, a namespace's content."""
        if orphan:
            self._orphan_dependents(record.uid)
        else:
            self._delete_dependents(record.uid)
        for uid in owner_uids(record.object):
            self._finish_foreground(uid)
        if resource == "namespaces":
            self._empty_namespace(record.key[1])

    def _orphan_dependents(self, uid: str) -> None:
        for resource, (namespace, name) in self.owners.dependents(uid):
            dependent = self.get(resource, name, namespace)
            references = dependent["metadata"]["ownerReferences"]
            dependent["metadata"]["ownerReferences"] = [ref for ref in references if ref["uid"] != uid]
            self.update(resource, dependent)

    def _empty_namespace(self, namespace: str) -> None:
        for kind in RESOURCE_TYPES.values():
            # What goes may take others of the same list with it.
            for _, name in [record.key for record in self.records(kind.name, namespace)] if kind.namespaced else ():
                if self.find(kind.name, name, namespace):
                    self.remove(kind.name, name, namespace)


def _marked(resource: str, value: JsonObject, grace_seconds: int | None, propagation: str | None) -> JsonObject | None:
    """The object as it waits for its end; None if it can go at once.

    :param grace_seconds: what the caller of the API asked for; only pods have a grace.
    """
    grace = pod_grace_seconds(value, grace_seconds) if resource == "pods" else 0
    metadata = value["metadata"]
    finalizers = list(metadata.get("finalizers") or [])
    if propagation == "Foreground" and _FOREGROUND not in finalizers:
        finalizers.append(_FOREGROUND)
    if not grace and not finalizers:
        return None
    # A second delete may shorten the time that is left, never lengthen it.
    remaining = metadata.get("deletionGracePeriodSeconds")
    later = "deletionTimestamp" in metadata and remaining is not None and grace >= remaining
    marked = copy_of(value) if later else terminating(value, grace)
    if finalizers:
        marked["metadata"]["finalizers"] = finalizers
    return marked


def _is_over(value: JsonObject) -> bool:
    """Deleted, without finalizers and without a grace that a kubelet has to end?"""
    metadata = value["metadata"]
    return bool(
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )

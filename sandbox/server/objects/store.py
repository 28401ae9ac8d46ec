"""All objects of the cluster, in memory: one writer, one order of changes, as etcd behind the API server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects import deletion, history
from sandbox.server.objects.collection import Collection, Key, Record, copy_of
from sandbox.server.objects.defaults import with_defaults
from sandbox.server.objects.history import Change, ChangeStream, History, Subscription
from sandbox.server.objects.metadata import new_object, updated_object
from sandbox.server.objects.ownership import OwnerIndex
from sandbox.server.objects.resources import RESOURCE_TYPES, ResourceType, resource_type
from sandbox.server.objects.selectors import field_selector, label_selector
from sandbox.server.objects.validation import check_object, check_update

HISTORY_LIMIT = 10_000


class Store:
    """The objects, by resource name (``pods``, ``deployments.apps``), namespace and name.

    Used from one event loop; no method waits. Methods that return ``dict`` hand out copies.

    :param history_limit: how many changes of each resource a watch can go back.
    """

    def __init__(self, history_limit: int = HISTORY_LIMIT) -> None:
        self._version = 1
        self._collections = {name: Collection() for name in RESOURCE_TYPES}
        self._histories = {name: History(history_limit, self._version) for name in RESOURCE_TYPES}
        self._versions = dict.fromkeys(RESOURCE_TYPES, self._version)
        self._streams: defaultdict[str | None, list[ChangeStream]] = defaultdict(list)
        self.owners = OwnerIndex()

    # --- reading

    def get(self, resource: str, name: str, namespace: str | None = None) -> JsonObject:
        """A copy of the object.

        :raises ApiError: 404.
        """
        return copy_of(self.record(resource, name, namespace).object)

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> list[JsonObject]:
        """Copies of all objects that the selectors let through, ordered by namespace and name."""
        return [copy_of(record.object) for record in self.records(resource, namespace, labels, fields)]

    def record(self, resource: str, name: str, namespace: str | None = None) -> Record:
        """The present state of the object, not copied: read only.

        :raises ApiError: 404.
        """
        found = self.find(resource, name, namespace)
        if found is None:
            raise ApiError.not_found(resource, name)
        return found

    def find(self, resource: str, name: str, namespace: str | None = None) -> Record | None:
        """Like :meth:`record`, but None when there is no such object."""
        return self._collections[resource].get(_key(resource_type(resource), name, namespace))

    def records(
        self,
        resource: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Iterable[Record]:
        """Like :meth:`list`, but the states themselves, not copied: read only, and before the next write."""
        records = self._collections[resource].iterate(namespace)
        if not labels and not fields:
            return records
        by_label, by_field = label_selector(labels), field_selector(resource_type(resource), fields)
        return (record for record in records if by_label(record.object) and by_field(record.object))

    def version(self, resource: str | None = None) -> int:
        """The resourceVersion of the last write, of all or of one resource."""
        return self._version if resource is None else self._versions[resource]

    # --- writing

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
            self._commit(resource, None, created)
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
            self._commit(resource, old, updated)
            if deletion.is_over(updated):
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
        marked = deletion.mark(resource, record.object, grace_seconds, propagation)
        if dry_run:
            return copy_of(marked or record.object)
        if marked is None:
            return self._drop(resource, record, orphan=propagation == "Orphan")
        if marked != record.object:
            self._commit(resource, record, marked)
        if propagation == "Foreground":
            deletion.delete_dependents(self, record.uid)
            return deletion.finish_foreground(self, record.uid) or copy_of(marked)
        return copy_of(marked)

    def remove(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Remove an object for good, whatever its grace: what a kubelet does when a pod has ended.

        :raises ApiError: 404.
        """
        self._drop(resource, self.record(resource, name, namespace))

    # --- changes

    def subscribe(self, resource: str | None = None) -> Subscription:
        """The changes from now on, of one resource or of all, for a controller."""
        return Subscription(self.stream(resource))

    def stream(self, resource: str | None = None) -> ChangeStream:
        """Like :meth:`subscribe`, not copied: read only."""
        stream = ChangeStream(self._streams[resource].remove)
        self._streams[resource].append(stream)
        return stream

    def changes_since(self, resource: str, version: int) -> Sequence[Change]:
        """The changes of a resource after a resourceVersion, not copied: read only.

        :raises ApiError: 410, that is too long ago.
        """
        return self._histories[resource].since(version)

    def expire_history(self, resource: str) -> None:
        """Forget all changes of a resource so far: a watch that starts from one of them gets 410."""
        self._histories[resource].forget(self._version)

    # --- inside

    def _commit(self, resource: str, old: Record | None, value: JsonObject) -> Record:
        self._version += 1
        value["metadata"]["resourceVersion"] = str(self._version)
        record = Record(copy_of(value), self._version)
        self._collections[resource].put(record)
        self.owners.replace(resource, old, record)
        self._publish(Change(history.MODIFIED if old else history.ADDED, resource, record, old))
        return record

    def _drop(self, resource: str, record: Record, *, orphan: bool = False) -> JsonObject:
        self._version += 1
        last = copy_of(record.object)
        last["metadata"]["resourceVersion"] = str(self._version)
        self._collections[resource].drop(record.key)
        self.owners.replace(resource, record, None)
        self._publish(Change(history.DELETED, resource, Record(last, self._version), record))
        deletion.clean_up_after(self, resource, record, orphan=orphan)
        return copy_of(last)

    def _publish(self, change: Change) -> None:
        self._versions[change.resource] = self._version
        self._histories[change.resource].append(change)
        for stream in (*self._streams[change.resource], *self._streams[None]):
            stream.publish(change)


def _key(kind: ResourceType, name: str, namespace: str | None) -> Key:
    if not kind.namespaced:
        return "", name
    if not namespace:
        raise ValueError(f"{kind.name} are namespaced: say in which namespace {name!r} is")
    return namespace, name

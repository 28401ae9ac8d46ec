"""All objects of the cluster as they are, in memory, and the one order of their changes, as etcd has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects import history
from sandbox.server.objects.collection import Collection, Key, Record, copy_of
from sandbox.server.objects.history import Change, ChangeStream, History, Subscription
from sandbox.server.objects.ownership import OwnerIndex
from sandbox.server.objects.resources import RESOURCE_TYPES, ResourceType, resource_type
from sandbox.server.objects.selectors import field_selector, label_selector

HISTORY_LIMIT = 10_000


class ObjectState:
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

    # --- every change

    def commit(self, resource: str, old: Record | None, value: JsonObject) -> None:
        """Keep an object in place of an earlier state (None: it is new), under the next version."""
        self._version += 1
        value["metadata"]["resourceVersion"] = str(self._version)
        record = Record(copy_of(value), self._version)
        self._collections[resource].put(record)
        self.owners.replace(resource, old, record)
        self._publish(Change(history.MODIFIED if old else history.ADDED, resource, record, old))

    def drop(self, resource: str, record: Record) -> JsonObject:
        """Forget an object; returns its last state, under the next version."""
        self._version += 1
        last = copy_of(record.object)
        last["metadata"]["resourceVersion"] = str(self._version)
        self._collections[resource].drop(record.key)
        self.owners.replace(resource, record, None)
        self._publish(Change(history.DELETED, resource, Record(last, self._version), record))
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

"""Which objects depend on which others: what the garbage collector has to know."""

from __future__ import annotations

from collections import defaultdict

from sandbox.server.errors import JsonObject
from sandbox.server.objects.collection import Key, Record

Place = tuple[str, Key]
"""Resource and key of an object."""


def owner_uids(value: JsonObject) -> list[str]:
    """The uids in ``metadata.ownerReferences``."""
    return [reference["uid"] for reference in value["metadata"].get("ownerReferences") or []]


class OwnerIndex:
    """Finds objects by their uid, and dependents by the uid of an owner."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._dependents: defaultdict[str, dict[Place, None]] = defaultdict(dict)

    def replace(self, resource: str, old: Record | None, new: Record | None) -> None:
        """Take note of a write; ``new`` is None when the object is gone."""
        if old is not None:
            self._places.pop(old.uid, None)
            for uid in owner_uids(old.object):
                self._dependents[uid].pop((resource, old.key), None)
                if not self._dependents[uid]:
                    del self._dependents[uid]
        if new is not None:
            self._places[new.uid] = (resource, new.key)
            for uid in owner_uids(new.object):
                self._dependents[uid][resource, new.key] = None

    def place(self, uid: str) -> Place | None:
        """Where the object of that uid is, or None if there is none."""
        return self._places.get(uid)

    def dependents(self, uid: str) -> list[Place]:
        """Where the objects are that name this uid as an owner."""
        return list(self._dependents.get(uid, ()))

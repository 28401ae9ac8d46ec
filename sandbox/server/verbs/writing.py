"""POST, PUT and DELETE of objects."""

from __future__ import annotations

from aiohttp import web

from sandbox.server.access.escalation import EscalationCheck
from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.kubectl.representation import negotiate
from sandbox.server.objects.collection import Record
from sandbox.server.objects.resources import ResourceType
from sandbox.server.objects.selectors import field_selector, label_selector
from sandbox.server.objects.store import Store
from sandbox.server.responses import json_response, raw_json
from sandbox.server.verbs.api_request import ApiRequest, DeleteOptions


class Writer:
    """Answers ``create``, ``update``, ``delete`` and ``deletecollection``."""

    def __init__(self, store: Store, escalation: EscalationCheck) -> None:
        self._store = store
        self._escalation = escalation

    async def create(self, request: ApiRequest) -> web.Response:
        """Create the object in the body."""
        return self.create_object(request, await request.object())

    def create_object(self, request: ApiRequest, value: JsonObject) -> web.Response:
        """Create an object as the request's user.

        :raises ApiError: 400, 403, 404 (no such namespace), 409, 422.
        """
        resource_type, namespace = request.resource_type, request.info.namespace
        form = negotiate(request.http, resource_type)
        metadata = value["metadata"]
        if resource_type.namespaced:
            if namespace is None:
                raise ApiError.method_not_allowed()
            _check_same("namespace", metadata.setdefault("namespace", namespace), namespace)
            self._store.record("namespaces", namespace)
        # How old an Image is and what a stream's tags have seen matters to the base pruner, so these may be
        # brought along; a real server sets them itself.
        if resource_type.group != "image.openshift.io":
            metadata.pop("creationTimestamp", None)
            if "status" in resource_type.subresources:
                value.pop("status", None)
        self._escalation.check(request.user, resource_type, value)
        created = self._store.create(resource_type.name, value, dry_run=request.dry_run)
        return raw_json(form.one(Record(created, 0)), 201)

    async def update(self, request: ApiRequest) -> web.Response:
        """Replace the object, or its status, by the body."""
        value = await request.object()
        resource_type = request.resource_type
        if resource_type.custom and not value["metadata"].get("resourceVersion"):
            told = "Invalid value: 0: must be specified for an update"
            cause = ("metadata.resourceVersion", "FieldValueInvalid", told)
            raise ApiError.invalid(resource_type.kind, resource_type.group, request.name, [cause])
        return self.update_object(request, value)

    def update_object(self, request: ApiRequest, value: JsonObject) -> web.Response:
        """Write an object back as the request's user.

        :raises ApiError: 400, 403, 404, 409, 422.
        """
        resource_type = request.resource_type
        form = negotiate(request.http, resource_type)
        metadata = value["metadata"]
        _check_same("name", metadata.setdefault("name", request.name), request.name)
        if request.info.namespace is not None:
            _check_same(
                "namespace",
                metadata.setdefault("namespace", request.info.namespace),
                request.info.namespace,
            )
        self._escalation.check(request.user, resource_type, value)
        updated = self._store.update(
            resource_type.name, value, subresource=request.info.subresource, dry_run=request.dry_run
        )
        return raw_json(form.one(Record(updated, 0)))

    async def delete(self, request: ApiRequest) -> web.Response:
        """Delete one object. Pods, and what waits for a finalizer, are shown; for the rest a Status."""
        options = await DeleteOptions.of(request)
        form = negotiate(request.http, request.resource_type)
        deleted = self._delete(request.resource_type, request.name, request.info.namespace, options)
        if request.resource_type.name == "pods" or "deletionTimestamp" in deleted["metadata"]:
            return raw_json(form.one(Record(deleted, 0)))
        return json_response(_deleted_status(request.resource_type, deleted))

    async def delete_collection(self, request: ApiRequest) -> web.Response:
        """Delete all that the selectors let through; shows what that was."""
        options = await DeleteOptions.of(request)
        resource_type, query = request.resource_type, request.http.query
        by_label = label_selector(query.get("labelSelector"))
        by_field = field_selector(resource_type, query.get("fieldSelector"))
        chosen = [
            record
            for record in self._store.records(resource_type.name, request.info.namespace)
            if by_label(record.object) and by_field(record.object)
        ]
        for record in chosen:
            namespace, name = record.key
            # One of them may own another one, and have taken it along.
            if self._store.find(resource_type.name, name, namespace) is not None:
                self._delete(resource_type, name, namespace, options)
        form = negotiate(request.http, resource_type)
        return raw_json(form.many(chosen, {"resourceVersion": str(self._store.version())}))

    async def evict(self, request: ApiRequest) -> web.Response:
        """Evict a pod (policy/v1 Eviction): a delete that a PodDisruptionBudget could refuse; there are none."""
        body = await request.object()
        options = DeleteOptions.from_body(body.get("deleteOptions") or {})
        self._delete(request.resource_type, request.name, request.info.namespace, options)
        return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)

    def _delete(
        self, resource_type: ResourceType, name: str, namespace: str | None, options: DeleteOptions
    ) -> JsonObject:
        record = self._store.record(resource_type.name, name, namespace)
        options.check(resource_type, record.object["metadata"])
        return self._store.delete(
            resource_type.name,
            name,
            namespace,
            grace_seconds=options.grace_seconds,
            propagation=options.propagation,
            dry_run=options.dry_run,
        )


def _check_same(what: str, in_object: str, in_url: str) -> None:
    if in_object == in_url:
        return
    if what == "namespace":
        raise ApiError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    raise ApiError.bad_request(
        f"the {what} of the object ({in_object}) does not match the {what} on the URL ({in_url})"
    )


def _deleted_status(resource_type: ResourceType, deleted: JsonObject) -> JsonObject:
    details = {
        "name": deleted["metadata"]["name"],
        "kind": resource_type.plural,
        "uid": deleted["metadata"]["uid"],
    }
    if resource_type.group:
        details["group"] = resource_type.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

"""What makes an object invalid (422): of all rules of the real server those that this procedure can meet."""

from __future__ import annotations

import json
from typing import Any

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.resources import ResourceType

_TYPE_NAMES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    str: "string",
    float: "number",
    dict: "object",
    list: "array",
}
_SCHEMAS: dict[str, dict[str, str]] = {
    "configs.imageregistry.operator.openshift.io": {
        "managementState": "string",
        "readOnly": "boolean",
        "replicas": "integer",
        "logLevel": "string",
        "httpSecret": "string",
        "rolloutStrategy": "string",
        "storage": "object",
    },
    "imagepruners.imageregistry.operator.openshift.io": {
        "suspend": "boolean",
        "schedule": "string",
        "keepTagRevisions": "integer",
        "keepYoungerThan": "integer",
        "keepYoungerThanDuration": "string",
        "ignoreInvalidImageReferences": "boolean",
        "failedJobsHistoryLimit": "integer",
        "successfulJobsHistoryLimit": "integer",
    },
}
"""The types of the fields in ``spec``, as the CustomResourceDefinitions have them."""


def check_object(resource_type: ResourceType, value: JsonObject) -> None:
    """Refuse an object whose fields are of the wrong type.

    :raises ApiError: 422.
    """
    schema = _SCHEMAS.get(resource_type.name)
    if schema:
        _check_types(resource_type, value, schema)
    if "roleRef" in value or resource_type.plural.endswith("rolebindings"):
        _check_role_reference(resource_type, value)


def _check_types(resource_type: ResourceType, value: JsonObject, schema: dict[str, str]) -> None:
    spec = value.get("spec") or {}
    wrong = [
        (field, _type_name(spec[field]), wanted)
        for field, wanted in schema.items()
        if spec.get(field) is not None and _type_name(spec[field]) != wanted
    ]
    if not wrong:
        return
    causes = [
        (
            f"spec.{field}",
            "FieldValueTypeInvalid",
            f'Invalid value: "{found}": spec.{field} in body must be of type {wanted}: "{found}"',
        )
        for field, found, wanted in wrong
    ]
    unchecked = (
        "Invalid value: null: some validation rules were not checked because the object was invalid; correct "
        "the existing errors to complete validation"
    )
    causes.append(("<nil>", "FieldValueInvalid", unchecked))
    raise ApiError.invalid(resource_type.kind, resource_type.group, value["metadata"]["name"], causes)


def _type_name(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "null")


def _check_role_reference(resource_type: ResourceType, value: JsonObject) -> None:
    reference = value.get("roleRef") or {}
    name = value["metadata"]["name"]
    if not reference.get("name"):
        cause = ("roleRef.name", "FieldValueRequired", "Required value")
        raise ApiError.invalid(resource_type.kind, resource_type.group, name, [cause])
    reference.setdefault("apiGroup", "rbac.authorization.k8s.io")


def check_update(resource_type: ResourceType, old: JsonObject, new: JsonObject) -> None:
    """Refuse a change of what cannot be changed.

    :raises ApiError: 422.
    """
    if "roleRef" in old and old["roleRef"] != new.get("roleRef"):
        shown = json.dumps(new.get("roleRef"), separators=(",", ":"))
        cause = ("roleRef", "FieldValueInvalid", f"Invalid value: {shown}: cannot change roleRef")
        raise ApiError.invalid(resource_type.kind, resource_type.group, new["metadata"]["name"], [cause])

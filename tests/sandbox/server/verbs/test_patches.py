"""What patches make of objects."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.server.errors import ApiError
from sandbox.server.verbs.patches import json_patch, merge_patch, strategic_merge


def test_merge_patch_deletes_nulls_and_replaces_lists() -> None:
    target = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert merge_patch(target, {"a": {"b": None, "e": {"f": None, "g": 1}}, "d": [3]}) == {
        "a": {"c": 2, "e": {"g": 1}},
        "d": [3],
    }
    assert target == {"a": {"b": 1, "c": 2}, "d": [1, 2]}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/a/x~1y", "value": 1}, {"a": {"l": [1, 2], "x/y": 1}}),
        ({"op": "add", "path": "/a/l/-", "value": 3}, {"a": {"l": [1, 2, 3]}}),
        ({"op": "add", "path": "/a/l/0", "value": 0}, {"a": {"l": [0, 1, 2]}}),
        ({"op": "add", "path": "/n", "value": None}, {"a": {"l": [1, 2]}, "n": None}),
        ({"op": "remove", "path": "/a/l/0"}, {"a": {"l": [2]}}),
        ({"op": "replace", "path": "/a/l", "value": []}, {"a": {"l": []}}),
        ({"op": "move", "from": "/a/l", "path": "/m"}, {"a": {}, "m": [1, 2]}),
        ({"op": "copy", "from": "/a/l/1", "path": "/c"}, {"a": {"l": [1, 2]}, "c": 2}),
        ({"op": "test", "path": "/a/l/1", "value": 2}, {"a": {"l": [1, 2]}}),
    ],
)
def test_json_patch_operations(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json_patch({"a": {"l": [1, 2]}}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/nosuch"},
        {"op": "replace", "path": "/nosuch", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/l/9", "value": 1},
    ],
)
def test_json_patch_that_cannot_be_applied_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refusal:
        json_patch({"a": 1, "l": []}, [operation])
    assert refusal.value.code == 422


def test_json_patch_has_to_be_a_list_of_operations() -> None:
    with pytest.raises(ApiError, match="list of operations"):
        json_patch({}, {"op": "add"})
    with pytest.raises(ApiError, match="no operation"):
        json_patch({}, [{"op": "increase", "path": "/a"}])


def pod_spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


def test_strategic_merge_finds_containers_and_env_by_name() -> None:
    target = pod_spec(
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "b", "image": "1"},
    )
    patch = pod_spec({"name": "a", "env": [{"name": "Y", "value": "3"}, {"name": "Z", "value": "4"}]})
    merged = strategic_merge(target, patch)
    assert merged["spec"]["containers"] == [
        {
            "name": "a",
            "image": "1",
            "env": [
                {"name": "X", "value": "1"},
                {"name": "Y", "value": "3"},
                {"name": "Z", "value": "4"},
            ],
        },
        {"name": "b", "image": "1"},
    ]


def test_strategic_merge_deletes_and_orders_by_directive() -> None:
    target = pod_spec({"name": "a", "env": [{"name": "X"}, {"name": "Y"}, {"name": "Z"}]})
    patch = pod_spec(
        {
            "name": "a",
            "$setElementOrder/env": [{"name": "Z"}, {"name": "X"}],
            "env": [{"name": "Y", "$patch": "delete"}],
        }
    )
    assert strategic_merge(target, patch)["spec"]["containers"][0]["env"] == [{"name": "Z"}, {"name": "X"}]


def test_strategic_merge_of_conditions_finalizers_and_retained_keys() -> None:
    target = {
        "metadata": {"finalizers": ["a"]},
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
        "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]},
    }
    merged = strategic_merge(
        target,
        {
            "metadata": {"finalizers": ["b"]},
            "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
    )
    assert merged["metadata"]["finalizers"] == ["a", "b"]
    assert merged["spec"]["strategy"] == {"type": "Recreate"}
    assert merged["status"]["conditions"] == [
        {"type": "Ready", "status": "True"},
        {"type": "Other", "status": "True"},
    ]


def test_strategic_merge_replaces_what_has_no_merge_key() -> None:
    subject, other = {"kind": "User", "name": "a"}, {"kind": "User", "name": "b"}
    assert strategic_merge({"subjects": [subject]}, {"subjects": [other]}) == {"subjects": [other]}


def test_strategic_merge_needs_the_merge_key() -> None:
    with pytest.raises(ApiError, match="merge key: name"):
        strategic_merge(pod_spec({"name": "a"}), pod_spec({"image": "2"}))

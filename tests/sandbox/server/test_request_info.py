"""What a request is about, by its method, path and query."""

from __future__ import annotations

import pytest

from sandbox.server.request_info import request_info


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "pods", None, None)),
        ("GET", "/api/v1/pods", {"watch": "True"}, ("watch", "pods", None, None)),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "namespaces", None, "a")),
        ("PATCH", "/api/v1/namespaces/a/status", {}, ("patch", "namespaces/status", None, "a")),
        ("GET", "/api/v1/namespaces/a/pods/b/exec", {}, ("get", "pods/exec", "a", "b")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", {}, ("deletecollection", "deployments", "a", None)),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/b", {}, ("update", "deployments", "a", "b")),
        ("GET", "/apis/image.openshift.io/v1/images/sha256%3Aab", {}, ("get", "images", None, "sha256:ab")),
        ("GET", "/apis/apps/v1", {}, ("get", "", None, None)),
        ("GET", "/apis/nosuch.io/v1/things", {}, ("get", "", None, None)),
        ("GET", "/version", {}, ("get", "", None, None)),
    ],
)
def test_what_a_request_is_about(
    method: str, path: str, query: dict[str, str], expected: tuple[str, str, str | None, str | None]
) -> None:
    info = request_info(method, path, query)
    assert (info.verb, info.resource, info.namespace, info.name) == expected


def test_a_list_of_one_name_is_authorized_by_that_name() -> None:
    info = request_info("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=one", "watch": "1"})
    assert info.selected_name == "one"

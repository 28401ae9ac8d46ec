"""Tokens, and the tables' ages and names of requests: what is decided without HTTP."""

from __future__ import annotations

import pytest

from sandbox.server.access.authentication import TokenAuthenticator, User
from sandbox.server.kubectl.ages import human_duration
from sandbox.server.request_info import request_info


def test_a_token_carries_its_user_and_groups() -> None:
    tokens = TokenAuthenticator()
    assert tokens.authenticate(tokens.issue("alice", ["staff"])) == User("alice", ("staff", "system:authenticated"))


def test_a_service_account_has_one_token_and_the_groups_of_its_kind() -> None:
    tokens = TokenAuthenticator()
    token = tokens.service_account_token("shop", "web")
    assert token == tokens.service_account_token("shop", "web")
    assert tokens.authenticate(token) == User(
        "system:serviceaccount:shop:web",
        ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
    )


@pytest.mark.parametrize("token", ["", "nonsense", "e30.e30", "é.è"])
def test_what_was_not_issued_is_nobody(token: str) -> None:
    assert TokenAuthenticator().authenticate(token) is None


def test_a_token_of_another_key_is_nobody() -> None:
    assert TokenAuthenticator(b"one").authenticate(TokenAuthenticator(b"two").issue("alice")) is None


def test_tokens_outlive_the_server_if_the_key_does() -> None:
    token = TokenAuthenticator(b"key").issue("alice")
    assert TokenAuthenticator(b"key").authenticate(token) is not None


def test_expired_and_revoked_tokens_are_nobody() -> None:
    tokens = TokenAuthenticator()
    assert tokens.authenticate(tokens.issue("alice", expiration_seconds=0)) is None
    token = tokens.issue("alice", expiration_seconds=600)
    assert tokens.authenticate(token) is not None
    tokens.revoke(token)
    assert tokens.authenticate(token) is None
    tokens.restore(token)
    assert tokens.authenticate(token) is not None


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


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (121, "2m1s"),
        (120, "2m"),
        (700, "11m"),
        (3 * 3600 + 120, "3h2m"),
        (9 * 3600, "9h"),
        (3 * 86400 + 7200, "3d2h"),
        (100 * 86400, "100d"),
        (900 * 86400, "2y170d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_are_shown_as_kubectl_does(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown

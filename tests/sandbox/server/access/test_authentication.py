"""Tokens, and whose they are."""

from __future__ import annotations

import pytest

from sandbox.server.access.authentication import TokenAuthenticator, User


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

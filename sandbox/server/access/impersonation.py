"""``kubectl --as``: acting as somebody else, for who may."""

from __future__ import annotations

from aiohttp import web

from sandbox.server.access.authentication import AUTHENTICATED, User
from sandbox.server.access.rbac import Action, Authorizer

_SERVICE_ACCOUNT = "system:serviceaccount:"


def effective_user(request: web.Request, user: User, authorizer: Authorizer) -> User:
    """Whom the request acts as: the headers ``Impersonate-User`` and ``Impersonate-Group``, else ``user``.

    :raises ApiError: 403, the user may not act as that one.
    """
    name = request.headers.get("Impersonate-User")
    if not name:
        return user
    groups = list(request.headers.getall("Impersonate-Group", []))
    namespace, _, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if name.startswith(_SERVICE_ACCOUNT) and account:
        authorizer.check(user, Action("impersonate", "", "serviceaccounts", namespace, account))
        implied = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        authorizer.check(user, Action("impersonate", "", "users", name=name))
        implied = []
    for group in groups:
        authorizer.check(user, Action("impersonate", "", "groups", name=group))
    return User(name, tuple(dict.fromkeys([*(groups or implied), AUTHENTICATED])))

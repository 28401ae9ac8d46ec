"""Questions to the API about users: who am I, may I, what may I; and tokens for service accounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from sandbox.server.access.authentication import TokenAuthenticator, User
from sandbox.server.access.rbac import Action, Authorizer
from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.metadata import timestamp
from sandbox.server.objects.store import Store
from sandbox.server.responses import json_response
from sandbox.server.verbs.api_request import ApiRequest

_TOKEN_SECONDS = 3600
_SHORTEST_TOKEN_SECONDS = 600


class Reviewer:
    """Answers what is created only to be asked."""

    def __init__(self, store: Store, authenticator: TokenAuthenticator, authorizer: Authorizer) -> None:
        self._store = store
        self._authenticator = authenticator
        self._authorizer = authorizer

    async def review(self, request: ApiRequest) -> web.Response:
        """A SelfSubjectAccessReview, SubjectAccessReview, SelfSubjectRulesReview or SelfSubjectReview."""
        asked = await request.object()
        plural = request.resource_type.plural
        spec = asked.get("spec") or {}
        if plural == "selfsubjectreviews":
            status = {"userInfo": {"username": request.user.name, "groups": list(request.user.groups)}}
        elif plural == "selfsubjectrulesreviews":
            status = self._rules(request.user, spec.get("namespace") or "")
        elif plural == "selfsubjectaccessreviews":
            status = self._access(request.user, spec)
        else:
            status = self._access(User(spec.get("user") or "", tuple(spec.get("groups") or ())), spec)
        answer = {
            "kind": request.resource_type.kind,
            "apiVersion": request.resource_type.api_version,
            "metadata": {"creationTimestamp": None},
            "spec": spec,
            "status": status,
        }
        return json_response(answer, 201)

    async def token(self, request: ApiRequest) -> web.Response:
        """A TokenRequest: a token of the service account that ends after a while.

        :raises ApiError: 404, 422.
        """
        account = self._store.record("serviceaccounts", request.name, request.info.namespace).object
        asked = await request.object()
        spec = asked.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _TOKEN_SECONDS
        if not isinstance(seconds, int) or seconds < _SHORTEST_TOKEN_SECONDS:
            told = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            cause = ("spec.expirationSeconds", "FieldValueInvalid", told)
            raise ApiError.invalid("TokenRequest", "authentication.k8s.io", request.name, [cause])
        metadata = account["metadata"]
        token = self._authenticator.service_account_token(
            metadata["namespace"], metadata["name"], expiration_seconds=seconds
        )
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "spec": {**spec, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": timestamp(ends)},
        }
        return json_response(answer, 201)

    def _access(self, user: User, spec: JsonObject) -> JsonObject:
        grant = self._authorizer.grant_for(user, _asked_action(spec))
        return {"allowed": False} if grant is None else {"allowed": True, "reason": grant.source}

    def _rules(self, user: User, namespace: str) -> JsonObject:
        grants = [*self._authorizer.grants(user, None)]
        if namespace:
            grants += self._authorizer.grants(user, namespace)
        rules = [grant.rule for grant in grants]
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }


def _asked_action(spec: JsonObject) -> Action:
    if path := spec.get("nonResourceAttributes"):
        return Action(path.get("verb", ""), path=path.get("path", ""))
    asked = spec.get("resourceAttributes")
    if not asked:
        raise ApiError.bad_request("spec.resourceAttributes or spec.nonResourceAttributes has to be set")
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    return Action(
        asked.get("verb", ""),
        asked.get("group", ""),
        resource,
        asked.get("namespace") or None,
        asked.get("name") or None,
    )

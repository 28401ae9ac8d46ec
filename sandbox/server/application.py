"""The API server: from an HTTP request to its answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.server.access.authentication import AUTHENTICATED, TokenAuthenticator, User
from sandbox.server.access.escalation import EscalationCheck
from sandbox.server.access.policy import create_default_policy
from sandbox.server.access.rbac import Action, Authorizer
from sandbox.server.administration import ROOT as ADMINISTRATION
from sandbox.server.administration import Administration
from sandbox.server.backends import PodBackend
from sandbox.server.errors import ApiError
from sandbox.server.faults import ApiFaults, FaultRequest, FaultRule
from sandbox.server.kubectl import discovery, openapi
from sandbox.server.objects.store import Store
from sandbox.server.request_counts import RequestCounts, RequestKind
from sandbox.server.request_info import RequestInfo, request_info
from sandbox.server.responses import cut_connection, error_response, json_response
from sandbox.server.verbs.api_request import ApiRequest
from sandbox.server.verbs.paging import Pager
from sandbox.server.verbs.patching import Patcher
from sandbox.server.verbs.pod_access import PodAccess
from sandbox.server.verbs.reading import Reader
from sandbox.server.verbs.reviews import Reviewer
from sandbox.server.verbs.scaling import Scaler
from sandbox.server.verbs.watching import Watcher
from sandbox.server.verbs.writing import Writer

Handler = Callable[[ApiRequest], Awaitable[web.StreamResponse]]
LONGEST_BODY_BYTES = 3 * 1024 * 1024
_HEALTH_PATHS = ("/healthz", "/livez", "/readyz")
_PUBLIC_PATHS = (*_HEALTH_PATHS, "/version")
_SERVICE_ACCOUNT = "system:serviceaccount:"
_CUT = 0
"""The status under which a request is counted that got no answer."""
_INFO = web.RequestKey("info", RequestInfo)
_USER = web.RequestKey("user", User)
_COUNTED = web.RequestKey("counted", bool)
_log = logging.getLogger(__name__)


def build_application(
    store: Store,
    authenticator: TokenAuthenticator,
    *,
    pods: PodBackend,
    faults: ApiFaults | None = None,
    counts: RequestCounts | None = None,
    pager: Pager | None = None,
) -> web.Application:
    """The API server as an aiohttp application, to be served with TLS.

    Creates the default namespaces and roles in the store where they are missing. When the application shuts
    down it ends all watches.

    :param faults: to order faults in this process; requests to ``/sandbox/faults`` work on the same.
    :param counts: to see in this process what was requested.
    """
    create_default_policy(store)
    server = ApiServer(
        store,
        authenticator,
        pods,
        faults or ApiFaults(),
        counts or RequestCounts(),
        pager or Pager(store),
    )
    application = web.Application(client_max_size=LONGEST_BODY_BYTES)
    application.router.add_route("*", "/{path:.*}", server.handle)
    application.on_response_prepare.append(server.count)
    application.on_shutdown.append(server.stop)
    return application


class ApiServer:
    """Authenticates, plays faults, authorizes, and finds who answers."""

    def __init__(
        self,
        store: Store,
        authenticator: TokenAuthenticator,
        pods: PodBackend,
        faults: ApiFaults,
        counts: RequestCounts,
        pager: Pager,
    ) -> None:
        self._authenticator = authenticator
        self._faults = faults
        self._counts = counts
        self._authorizer = Authorizer(store)
        writer = Writer(store, EscalationCheck(store, self._authorizer))
        reader, scaler = Reader(store, pager), Scaler(store)
        patcher = Patcher(store, writer)
        reviewer = Reviewer(store, authenticator, self._authorizer)
        pod_access = PodAccess(store, self._authorizer, pods)
        self._watcher = Watcher(store)
        self._administration = Administration(self._faults, self._counts)
        self._review = reviewer.review
        self._handlers: dict[tuple[str | None, str], Handler] = {
            (None, "get"): reader.get,
            (None, "list"): reader.list,
            (None, "watch"): self._watcher.watch,
            (None, "create"): writer.create,
            (None, "update"): writer.update,
            (None, "patch"): patcher.patch,
            (None, "delete"): writer.delete,
            (None, "deletecollection"): writer.delete_collection,
            ("status", "get"): reader.get,
            ("status", "update"): writer.update,
            ("status", "patch"): patcher.patch,
            ("scale", "get"): scaler.get,
            ("scale", "update"): scaler.update,
            ("scale", "patch"): scaler.patch,
            ("log", "get"): pod_access.log,
            ("exec", "get"): pod_access.exec,
            ("exec", "create"): pod_access.exec,
            ("eviction", "create"): writer.evict,
            ("token", "create"): reviewer.token,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; errors become a Status."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return error_response(error)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {LONGEST_BODY_BYTES}"
            return error_response(ApiError(413, "RequestEntityTooLarge", message))
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as problem:
            _log.exception("%s %s could not be answered", request.method, request.path_qs)
            return error_response(ApiError(500, "InternalError", f"Internal error occurred: {problem}"))

    async def stop(self, _: web.Application) -> None:
        """The server shuts down."""
        self._watcher.close()

    async def count(self, request: web.Request, response: web.StreamResponse) -> None:
        """An answer begins."""
        self._count(request, response.status)

    def _count(self, request: web.Request, status: int) -> None:
        user, info = request.get(_USER), request.get(_INFO)
        if info is None or request.get(_COUNTED):
            return
        request[_COUNTED] = True
        name = user.name if user else ""
        resource = info.resource or "/" + info.path.split("/")[1]
        self._counts.add(RequestKind(name, info.verb, resource, status))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        info = request_info(request.method, request.rel_url.raw_path, request.query)
        request[_INFO] = info
        if info.path in _PUBLIC_PATHS:
            return _public(info.path)
        user = self._authenticate(request)
        request[_USER] = user
        if info.path.startswith(ADMINISTRATION):
            self._authorizer.check(user, Action.of(info))
            return await self._administration.answer(ApiRequest(request, user, info))
        body = (await request.read()).decode(errors="replace") if info.verb in ("patch", "update") else ""
        fault = self._faults.take(
            FaultRequest(request.method, request.path_qs, user.name, info.verb, info.resource, body)
        )
        if fault is None:
            return await self._carry_out(ApiRequest(request, user, info))
        return await self._with_fault(ApiRequest(request, user, info, fault), fault)

    def _authenticate(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = self._authenticator.authenticate(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError.unauthorized()
        return _effective_user(request, user, self._authorizer)

    async def _with_fault(self, request: ApiRequest, fault: FaultRule) -> web.StreamResponse:
        await asyncio.sleep(fault.delay_before_seconds)
        if fault.drop_before:
            self._count(request.http, _CUT)
            return cut_connection(request.http)
        if (error := fault.error(request.info.resource)) is not None:
            raise error
        if not fault.drop_after:
            response = await self._carry_out(request)
            await asyncio.sleep(fault.delay_after_seconds)
            return response
        self._count(request.http, _CUT)
        try:
            await self._carry_out(request)
        finally:
            await asyncio.sleep(fault.delay_after_seconds)
            cut_connection(request.http)
        return web.Response()

    async def _carry_out(self, request: ApiRequest) -> web.StreamResponse:
        info = request.info
        self._authorizer.check(request.user, Action.of(info))
        if info.resource_type is None:
            return _document(request)
        if not info.resource_type.stored:
            if info.verb != "create" or info.name is not None:
                raise ApiError.method_not_allowed()
            return await self._review(request)
        if info.subresource and info.subresource not in info.resource_type.subresources:
            raise ApiError.no_such_path()
        handler = self._handlers.get((info.subresource, info.verb))
        if handler is None or (info.verb == "create" and not info.subresource and info.name):
            raise ApiError.method_not_allowed()
        if info.resource_type.namespaced and info.name and not info.namespace:
            raise ApiError.no_such_path()
        return await handler(request)


def _effective_user(request: web.Request, user: User, authorizer: Authorizer) -> User:
    """Whom the request acts as (``kubectl --as``).

    :returns: the one of the headers ``Impersonate-User`` and ``Impersonate-Group``, else ``user``.
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


def _public(path: str) -> web.Response:
    if path == "/version":
        return json_response(discovery.VERSION)
    return web.Response(text="ok")


def _document(request: ApiRequest) -> web.Response:
    """Discovery and OpenAPI."""
    if request.http.method not in ("GET", "HEAD"):
        raise ApiError.no_such_path()
    path = request.info.path
    accepted = request.http.headers.get("Accept", "")
    aggregated = "as=APIGroupDiscoveryList" in accepted and "v=v2" in accepted.replace("v=v2beta1", "")
    found = discovery.document(path, aggregated=aggregated)
    if found is not None:
        aggregated_kind = found["kind"] == "APIGroupDiscoveryList"
        return json_response(found, content_type=discovery.AGGREGATED_TYPE if aggregated_kind else "application/json")
    found = openapi.document(path)
    if found is None:
        raise ApiError.no_such_path()
    return json_response(found)

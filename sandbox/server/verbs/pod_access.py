"""What leads into a pod: ``pods/exec`` and ``pods/log``, up to the kubelet's door."""

from __future__ import annotations

from aiohttp import web

from sandbox.server.access.rbac import Action, Authorizer
from sandbox.server.backends import ExecCommand, KubeletRefusedError, KubeletUnreachableError, PodBackend
from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import copy_of, encode
from sandbox.server.objects.store import Store
from sandbox.server.request_info import is_true
from sandbox.server.responses import json_response
from sandbox.server.verbs.api_request import ApiRequest

V5 = "v5.channel.k8s.io"
_ERROR_CHANNEL = b"\x03"


class PodAccess:
    """Answers exec and log requests, as far as it is not the kubelet's to do."""

    def __init__(self, store: Store, authorizer: Authorizer, backend: PodBackend) -> None:
        self._store = store
        self._authorizer = authorizer
        self._backend = backend

    async def exec(self, request: ApiRequest) -> web.StreamResponse:
        """Run a command in a container, over WebSocket.

        :raises ApiError: 400, 403, 404.
        """
        # Since Kubernetes 1.35 a WebSocket exec, which is a GET, needs the right to create as well.
        self._authorizer.check(request.user, Action.of(request.info, "create"))
        pod = self._pod(request)
        query = request.http.query
        words = query.getall("command", [])
        if not words:
            raise ApiError.bad_request("you must specify at least one command for the container")
        container = _container(pod, query.get("container"))
        if request.http.method == "POST":
            raise ApiError.bad_request(
                "exec over SPDY is not offered by this server: use a client that speaks WebSocket "
                "(kubectl 1.31 or newer)"
            )
        if request.http.headers.get("Upgrade", "").lower() != "websocket":
            raise ApiError.bad_request("Upgrade request required")
        streams = {name: is_true(query.get(name)) for name in ("stdin", "stdout", "stderr", "tty")}
        if "running" not in _container_status(pod, container).get("state", {}):
            return await _refused(request.http, f'container not found ("{container}")')
        try:
            return await self._backend.exec(request.http, pod, container, ExecCommand(words, **streams))
        except KubeletRefusedError as refusal:
            return await _refused(request.http, str(refusal))
        except KubeletUnreachableError as problem:
            return await _unreachable(request.http, pod, container, str(problem))

    async def log(self, request: ApiRequest) -> web.StreamResponse:
        """Show a container's log.

        :raises ApiError: 400, 404, 500.
        """
        pod, query = self._pod(request), request.http.query
        container = _container(pod, query.get("container"))
        status = _container_status(pod, container)
        if not status.get("state", {}).keys() & {"running", "terminated"} and not status.get("lastState"):
            reason = status.get("state", {}).get("waiting", {}).get("reason", "ContainerCreating")
            name = pod["metadata"]["name"]
            raise ApiError.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        tail = query.get("tailLines")
        if tail is not None and not tail.isdecimal():
            raise ApiError.bad_request(f"tailLines: Invalid value: {tail!r}: has to be a number, 0 or more")
        follow = is_true(query.get("follow"))
        try:
            return await self._backend.logs(request.http, pod, container, follow, None if tail is None else int(tail))
        except KubeletRefusedError as refusal:
            raise ApiError(500, "InternalError", f"Internal error occurred: {refusal}") from refusal
        except KubeletUnreachableError as problem:
            raise _dial_error(str(problem)) from problem

    def _pod(self, request: ApiRequest) -> JsonObject:
        return copy_of(self._store.record("pods", request.name, request.info.namespace).object)


def _container(pod: JsonObject, asked: str | None) -> str:
    """The container that is meant; the words are those of pkg/registry/core/pod/strategy.go."""
    names = [container["name"] for container in pod["spec"].get("containers") or []]
    pod_name = pod["metadata"]["name"]
    if asked:
        if asked not in names:
            raise ApiError.bad_request(f"container {asked} is not valid for pod {pod_name}")
        return asked
    if len(names) != 1:
        raise ApiError.bad_request(
            f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
        )
    return str(names[0])


def _container_status(pod: JsonObject, container: str) -> JsonObject:
    statuses: list[JsonObject] = (pod.get("status") or {}).get("containerStatuses") or []
    return next((status for status in statuses if status.get("name") == container), {})


def _offers_v5(request: web.Request) -> bool:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return V5 in [protocol.strip() for protocol in offered.split(",")]


async def _refused(request: web.Request, message: str) -> web.StreamResponse:
    """A v4 WebSocket goes straight to the kubelet, whose answer is plain text; of a v5 one the API server itself
    is the other end, and tells in the error channel."""
    if _offers_v5(request):
        return await _tell_in_error_channel(request, f"unable to upgrade connection: {message}")
    return web.Response(text=message, status=500)


async def _unreachable(request: web.Request, pod: JsonObject, container: str, cause: str) -> web.StreamResponse:
    if _offers_v5(request):
        place = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}/{container}"
        message = f'error sending request: Post "https://kubelet/exec/{place}": {cause}'
        return await _tell_in_error_channel(request, message)
    return json_response(_dial_error(cause).status(), 500)


def _dial_error(cause: str) -> ApiError:
    return ApiError(500, "InternalError", f"error dialing backend: {cause}")


async def _tell_in_error_channel(request: web.Request, message: str) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=(V5,))
    await socket.prepare(request)
    error = ApiError(500, "InternalError", f"Internal error occurred: {message}")
    error.details = {"causes": [{"message": message}]}
    await socket.send_bytes(_ERROR_CHANNEL + encode(error.status()))
    await socket.close()
    return socket

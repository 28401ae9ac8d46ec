"""The sandbox's own paths for what the Kubernetes API has no word for. For cluster-admins.

* ``GET /sandbox/status``: operator, nodes, addresses of the registries, pruner processes, faults in
  force.
* ``POST /sandbox/operator`` ``{"running": bool}``.
* ``POST /sandbox/api-server`` ``{"seconds": float}``: how long it is gone, beginning right after the answer.
* ``POST /sandbox/exec-faults`` with the fields of :class:`~sandbox.kubelet.exec_faults.ExecFault`; ``DELETE`` clears.
* ``POST /sandbox/nodes/NAME`` ``{"alive": bool, "power_off": bool}``.
* ``POST /sandbox/pods/NAMESPACE/NAME/evict`` ``{"message": str}``.
* ``POST /sandbox/pods/NAMESPACE/NAME/restart`` ``{"container": str}``: out of memory; default is its first one.
* ``POST /sandbox/readiness`` ``{"allowed": bool}``.
* ``POST /sandbox/cluster-version`` ``{"version": str, "completed": bool}``.

Faults of the API itself are at ``/sandbox/faults`` (:mod:`sandbox.server.administration`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.assembly.composition import Cluster
from sandbox.controllers.operator.cluster_version import set_cluster_version
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.registry.journal import most_at_once, read_journal
from sandbox.registry.verify.pruners import pruner_processes
from sandbox.server.access.authentication import MASTERS
from sandbox.server.errors import ApiError
from sandbox.server.responses import error_response, json_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request], Awaitable[Any]]

_ANSWER_SECONDS = 0.2
"""For the answer to the order itself to get through."""
EVICTION_MESSAGE = "The node was low on resource: ephemeral-storage."


class Control:
    """Answers requests to the paths above."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._absence: asyncio.Task[None] | None = None

    def add_routes(self, application: web.Application) -> None:
        """Serve the paths."""
        routes: list[tuple[str, str, Answer]] = [
            ("GET", "/sandbox/status", self._status),
            ("POST", "/sandbox/operator", self._operator),
            ("POST", "/sandbox/api-server", self._api_server),
            ("POST", "/sandbox/exec-faults", self._add_exec_fault),
            ("DELETE", "/sandbox/exec-faults", self._clear_exec_faults),
            ("POST", "/sandbox/nodes/{name}", self._node),
            ("POST", "/sandbox/pods/{namespace}/{name}/evict", self._evict),
            ("POST", "/sandbox/pods/{namespace}/{name}/restart", self._restart),
            ("POST", "/sandbox/readiness", self._readiness),
            ("POST", "/sandbox/cluster-version", self._cluster_version),
        ]
        for method, path, answer in routes:
            application.router.add_route(method, path, self._guarded(answer))

    def _guarded(self, answer: Answer) -> Handler:
        """Let cluster-admins in, and turn what is wrong into a Status."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
                return json_response(await answer(request))
            except ApiError as error:
                return error_response(error)
            except KeyError as error:
                return error_response(ApiError(404, "NotFound", str(error.args[0])))
            except (TypeError, ValueError) as error:
                return error_response(ApiError.bad_request(str(error)))

        return handle

    def _check(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self._cluster.authenticator.authenticate(token)
        if user is None:
            raise ApiError.unauthorized()
        if MASTERS not in user.groups:
            raise ApiError(403, "Forbidden", f'User "{user.name}" is no cluster-admin')

    async def _status(self, _: web.Request) -> dict[str, Any]:
        kubelet = self._cluster.kubelet
        return {
            "operatorRunning": self._cluster.operator_running,
            "settled": self._cluster.settled(),
            "readinessAllowed": kubelet.readiness_allowed.is_set(),
            "nodes": {node.name: node.alive for node in kubelet.nodes.values()},
            "registryServer": self._cluster.registry_server,
            "registries": kubelet.registry_addresses(),
            "pruners": pruner_processes(self._cluster.state.root),
            "mostPrunersAtOnce": most_at_once(read_journal(self._cluster.state.pruner_journal)),
            "execFaults": kubelet.exec_faults.listed(),
        }

    async def _operator(self, request: web.Request) -> dict[str, Any]:
        if (await _body(request))["running"]:
            self._cluster.start_operator()
        else:
            await self._cluster.stop_operator()
        return {"operatorRunning": self._cluster.operator_running}

    async def _api_server(self, request: web.Request) -> dict[str, Any]:
        seconds = float((await _body(request))["seconds"])
        self._absence = asyncio.create_task(self._be_away(seconds))
        return {"seconds": seconds}

    async def _be_away(self, seconds: float) -> None:
        await asyncio.sleep(_ANSWER_SECONDS)
        await self._cluster.stop_api_server()
        await asyncio.sleep(seconds)
        await self._cluster.start_api_server()

    async def _add_exec_fault(self, request: web.Request) -> dict[str, Any]:
        self._cluster.kubelet.exec_faults.add(ExecFault(**await _body(request)))
        return {"execFaults": self._cluster.kubelet.exec_faults.listed()}

    async def _clear_exec_faults(self, _: web.Request) -> dict[str, Any]:
        self._cluster.kubelet.exec_faults.clear()
        return {"execFaults": []}

    async def _node(self, request: web.Request) -> dict[str, Any]:
        name, body = request.match_info["name"], await _body(request)
        if name not in self._cluster.kubelet.nodes:
            raise KeyError(f"no node {name}; there are: {', '.join(self._cluster.kubelet.nodes)}")
        if body["alive"]:
            self._cluster.kubelet.return_node(name)
        else:
            await self._cluster.kubelet.lose_node(name, power_off=bool(body.get("power_off")))
        return {"name": name, "alive": body["alive"]}

    async def _evict(self, request: web.Request) -> dict[str, Any]:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        self._cluster.kubelet.evict(namespace, name, (await _body(request)).get("message", EVICTION_MESSAGE))
        return {"evicted": f"{namespace}/{name}"}

    async def _restart(self, request: web.Request) -> dict[str, Any]:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        await self._cluster.kubelet.restart_container(namespace, name, (await _body(request)).get("container"))
        return {"restarted": f"{namespace}/{name}"}

    async def _cluster_version(self, request: web.Request) -> dict[str, Any]:
        body = await _body(request)
        found = set_cluster_version(
            self._cluster.store, str(body["version"]), completed=bool(body.get("completed", True))
        )
        return {"desired": found["status"]["desired"]}

    async def _readiness(self, request: web.Request) -> dict[str, Any]:
        allowed = self._cluster.kubelet.readiness_allowed
        if (await _body(request))["allowed"]:
            allowed.set()
        else:
            allowed.clear()
        return {"allowed": allowed.is_set()}


async def _body(request: web.Request) -> dict[str, Any]:
    content = await request.text()
    found = json.loads(content) if content else {}
    if not isinstance(found, dict):
        raise TypeError("the body has to be a JSON object")
    return found

"""The registry as the Kubernetes API shows it; the only place that calls the API (execs: ``pod_exec.py``).

Objects come and go as JSON, so that pure modules can read them without the client's models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import urllib3
from kubernetes import client
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader

from include.registry_prune.names import (
    DEPLOYMENT,
    IMAGE_PRUNER_CRON_JOB,
    NAMESPACE,
    REGISTRY_CONTAINER,
    REGISTRY_POD_LABELS,
)
from include.registry_prune.registry_state import PodState, RegistryState, is_read_only

CONFIGS = "/apis/imageregistry.operator.openshift.io/v1/configs"
CONFIG = f"{CONFIGS}/cluster"
IMAGE_PRUNER = "/apis/imageregistry.operator.openshift.io/v1/imagepruners/cluster"
IMAGES = "/apis/image.openshift.io/v1/images"
IMAGE_STREAMS = "/apis/image.openshift.io/v1/imagestreams"
BUILDS = "/apis/build.openshift.io/v1/builds"
CLUSTER_VERSION = "/apis/config.openshift.io/v1/clusterversions/version"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"

IMAGES_PER_PAGE = 250
"""An Image or image stream is about 10 KiB of JSON: a page of 250 stays near 2.5 MiB."""
BUILDS_PER_PAGE = 500
"""A Build is about 5 KiB of JSON."""
_CONNECT_AND_READ_SECONDS = (5, 30)
# Only what may be repeated without a thought is repeated here; writes are repeated by those who know what they mean.
_RETRIES = urllib3.Retry(
    total=4,
    backoff_factor=0.3,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=True,
    raise_on_status=False,
)


class ClusterError(Exception):
    """A request to the cluster failed; the message says which, why, and what to do.

    :param status: HTTP status, 0 when the API server was not reached.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def permanent(self) -> bool:
        """Whether asking again is of no use (the request itself is refused)."""
        return self.status in (400, 401, 403, 404, 405, 422)


def status_message(body: str) -> str:
    """The message in a refusal of the API server; its body as it is if it is no Status."""
    try:
        message = json.loads(body).get("message") or body
    except (ValueError, AttributeError):
        message = body
    return str(message).strip()[:1000]


def explain(method: str, path: str, server: str, status: int, body: str) -> str:
    """What the API server refused, in words, with what to do about it."""
    what = f"{method} {path} at {server}: {status}: {status_message(body)}"
    hints = {
        401: "The credentials of the Airflow connection are not accepted: renew its token or kubeconfig.",
        403: "The connection's account lacks this permission: deploy/rbac.yaml has every rule that a run needs.",
        404: "Is this an OpenShift cluster with the integrated image registry?",
        409: "Somebody changed the object at the same time.",
    }
    if status == 503 and path.startswith("/apis/image.openshift.io/"):
        return (
            f"{what}. The API server forwards this to the OpenShift API server, which does not answer: usually it "
            "passes; else look at `oc get apiservice v1.image.openshift.io` and at `oc get clusteroperator "
            "openshift-apiserver`."
        )
    return f"{what}. {hints[status]}" if status in hints else what


class Cluster:
    """One OpenShift cluster, as far as its image registry goes.

    :param api_client: a configured client; its configuration (server, credentials, proxy, TLS) is used.
    """

    def __init__(self, api_client: client.ApiClient) -> None:
        self.configuration = api_client.configuration
        self.configuration.retries = _RETRIES
        self._api = client.ApiClient(configuration=self.configuration)

    @classmethod
    def of_service_account(cls, directory: Path) -> Self:
        """The cluster that this process runs in, by its pod's service account.

        :param directory: where the account's ``token`` and ``ca.crt`` are mounted.
        :raises ClusterError: if this is no pod of a cluster.
        """
        configuration = client.Configuration()
        loader = InClusterConfigLoader(token_filename=str(directory / "token"), cert_filename=str(directory / "ca.crt"))
        try:
            loader.load_and_set(configuration)
        except ConfigException as error:
            raise ClusterError(f"This is no pod of a cluster: {error}") from error
        return cls(client.ApiClient(configuration=configuration))

    @property
    def server(self) -> str:
        """URL of the API server."""
        return str(self.configuration.host)

    def new_api_client(self) -> client.ApiClient:
        """A client for one exec alone: ``kubernetes.stream`` replaces its ``request`` while it works."""
        return client.ApiClient(configuration=self.configuration)

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        read_seconds: float | None = None,
    ) -> Any:
        timeout = (_CONNECT_AND_READ_SECONDS[0], read_seconds or _CONNECT_AND_READ_SECONDS[1])
        try:
            return self._api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout,
            )
        except client.ApiException as error:
            body_text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
            message = explain(method, path, self.server, error.status or 0, body_text or str(error.reason))
            raise ClusterError(message, error.status or 0) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(
                f"{method} {path}: the API server {self.server} cannot be reached: {error}. "
                "Check the connection's server, network and proxy."
            ) from error

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = self._request(method, path, **arguments)
        try:
            value = json.loads(response.data)
        except ValueError as error:
            raise ClusterError(f"{method} {path} at {self.server}: the answer is no JSON") from error
        if not isinstance(value, dict):
            raise ClusterError(f"{method} {path} at {self.server}: the answer is no object")
        return value

    def _json_or_none(self, method: str, path: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            return self._json(method, path, **arguments)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def _merge(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        return self._json("PATCH", path, body=patch, content_type="application/merge-patch+json")

    def who_am_i(self) -> str:
        """The user name that the cluster knows the connection's account by."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._json("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        return str(answer["status"]["userInfo"]["username"])

    def may_i(self, attributes: Mapping[str, str]) -> bool:
        """Whether the account may do what the resource attributes of a SelfSubjectAccessReview say."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(attributes)},
        }
        answer = self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer["status"]["allowed"])

    def config(self) -> dict[str, Any]:
        """The Config CR ``cluster`` of the image registry's operator."""
        return self._json("GET", CONFIG)

    def patch_config(self, patch: Mapping[str, Any], *, resource_version: str | None = None) -> dict[str, Any]:
        """Merge into the Config CR.

        :param resource_version: if given, the patch fails with status 409 when the object has changed since.
        """
        if resource_version is not None:
            patch = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version}}
        return self._merge(CONFIG, patch)

    def image_pruner(self) -> dict[str, Any] | None:
        """The ImagePruner CR ``cluster``; None if the cluster has none."""
        return self._json_or_none("GET", IMAGE_PRUNER)

    def suspend_image_pruner(self, suspend: bool) -> None:
        """Set ``spec.suspend`` of the ImagePruner; the operator carries it on to the CronJob."""
        self._merge(IMAGE_PRUNER, {"spec": {"suspend": suspend}})

    def deployment(self) -> dict[str, Any] | None:
        """The registry's Deployment; None if there is none (managementState Removed)."""
        return self._json_or_none("GET", f"{DEPLOYMENTS}/{DEPLOYMENT}")

    def pods(self, labels: str = REGISTRY_POD_LABELS) -> list[dict[str, Any]]:
        """The pods with these labels in the registry's namespace, Terminating ones included."""
        return list(self._json("GET", PODS, query={"labelSelector": labels})["items"])

    def delete_pod(self, name: str, *, uid: str) -> None:
        """Delete one pod; one that is gone or has been replaced by another of its name is left alone."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            self._json("DELETE", f"{PODS}/{quote(name)}", body=body)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise

    def registry_state(self) -> RegistryState:
        """The registry at this moment: Config first, pods last, so that nothing looks newer than it is."""
        config = self.config()
        deployment = self.deployment()
        pods = self.pods()
        status = config.get("status") or {}
        state = RegistryState(
            read_only=bool(config["spec"].get("readOnly")),
            management_state=str(config["spec"].get("managementState", "")),
            config_generation=config["metadata"].get("generation", 0),
            config_observed_generation=status.get("observedGeneration", 0),
            conditions=tuple(
                f"{each['type']}={each['status']} {each.get('reason', '')}: {each.get('message', '')}"
                for each in status.get("conditions") or ()
            ),
            deployment_found=deployment is not None,
            pods=tuple(pod_state(pod) for pod in pods),
        )
        return state if deployment is None else state.model_copy(update=_deployment_fields(deployment))

    def watch(self, path: str, query: Mapping[str, Any], *, seconds: int) -> Iterator[dict[str, Any]]:
        """Events of a collection, beginning with its present state, until the API server ends the watch.

        :param path: of the collection, such as ``PODS``.
        :param seconds: how long the API server keeps the watch open.
        :raises ClusterError: if it is refused or breaks off.
        """
        options = {**query, "watch": "true", "timeoutSeconds": seconds}
        response = self._request("GET", path, query=options, read_seconds=seconds + 10)
        try:
            for line in _lines(response):
                yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(f"The watch of {path} broke off: {error}") from error
        finally:
            response.close()

    def role_bindings(self) -> list[dict[str, Any]]:
        """Every ClusterRoleBinding."""
        return list(self._json("GET", BINDINGS)["items"])

    def create_role_binding(self, binding: Mapping[str, Any]) -> None:
        """Create a ClusterRoleBinding."""
        self._json("POST", BINDINGS, body=binding)

    def delete_role_binding(self, name: str) -> bool:
        """Delete a ClusterRoleBinding; False if it was not there."""
        return self._json_or_none("DELETE", f"{BINDINGS}/{quote(name)}") is not None

    def cron_job(self) -> dict[str, Any] | None:
        """The CronJob ``image-pruner``; None if there is none."""
        return self._json_or_none("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/{IMAGE_PRUNER_CRON_JOB}")

    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs of the registry's namespace."""
        return list(self._json("GET", JOBS)["items"])

    def job(self, name: str) -> dict[str, Any] | None:
        """One Job; None if it is gone."""
        return self._json_or_none("GET", f"{JOBS}/{quote(name)}")

    def create_job(self, job: Mapping[str, Any]) -> None:
        """Create a Job in the registry's namespace."""
        self._json("POST", JOBS, body=job)

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods; it is gone when they are. One that is gone already is fine."""
        self._json_or_none("DELETE", f"{JOBS}/{quote(name)}", query={"propagationPolicy": "Foreground"})

    def pod_log(self, pod: str, *, since: str = "", follow: bool, silence_seconds: float) -> Iterator[tuple[str, str]]:
        """The lines of a pod's log as they come, each with the time at which it was written.

        :param since: begin with the lines of that time, as an earlier call gave it.
        :param follow: go on until the container ends.
        :param silence_seconds: how long nothing may come before it is an error.
        :raises ClusterError: if there is no log yet, or the connection breaks off.
        """
        query = {
            "timestamps": "true",
            **({"follow": "true"} if follow else {}),
            **({"sinceTime": since} if since else {}),
        }
        response = self._request("GET", f"{PODS}/{quote(pod)}/log", query=query, read_seconds=silence_seconds)
        try:
            for line in _lines(response):
                time, _, text = line.decode(errors="replace").partition(" ")
                yield time, text
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"The log of pod {pod} broke off: {error}") from error
        finally:
            response.close()

    def image_count(self) -> int:
        """How many Image objects there are; where the API server keeps the rest to itself, at least so many."""
        page = self._json("GET", IMAGES, query={"limit": 1})
        listed, metadata = len(page["items"]), page["metadata"]
        return listed + int(metadata.get("remainingItemCount") or bool(metadata.get("continue")))

    def images(self) -> Iterator[dict[str, Any]]:
        """Every Image object, page by page.

        :raises ClusterError: status 410 if the list took longer than the API server keeps its snapshot; begin again.
        """
        return self._pages(IMAGES, per_page=IMAGES_PER_PAGE)

    def image_streams(self) -> Iterator[dict[str, Any]]:
        """Every ImageStream object of every namespace, page by page.

        :raises ClusterError: as for :meth:`images`.
        """
        return self._pages(IMAGE_STREAMS, per_page=IMAGES_PER_PAGE)

    def builds(self) -> Iterator[dict[str, Any]]:
        """Every Build of the cluster, page by page; none where the cluster has no builds at all (since 4.14 they can be
        left out).
        """
        try:
            yield from self._pages(BUILDS, per_page=BUILDS_PER_PAGE)
        except ClusterError as error:
            if error.status != 404:
                raise

    def cluster_version(self) -> dict[str, Any] | None:
        """The ClusterVersion ``version``; None if the cluster has none."""
        return self._json_or_none("GET", CLUSTER_VERSION)

    def _pages(self, path: str, *, per_page: int) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"limit": per_page}
        while True:
            page = self._json("GET", path, query=query)
            yield from page["items"]
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]


def _lines(response: urllib3.HTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _serves_read_only(pod_spec: Mapping[str, Any]) -> bool:
    """Whether pods of this spec serve read-only, by the environment of their registry container."""
    containers = pod_spec["containers"]
    return is_read_only(next((each for each in containers if each["name"] == REGISTRY_CONTAINER), containers[0]))


def pod_state(pod: Mapping[str, Any]) -> PodState:
    """What counts of a registry pod, from its object."""
    status = pod.get("status") or {}
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    return PodState(
        name=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        read_only=_serves_read_only(pod["spec"]),
        ready=ready,
        terminating_since=pod["metadata"].get("deletionTimestamp"),
        ended=status.get("phase") in ("Failed", "Succeeded"),
        phase=status.get("phase", ""),
        created_at=pod["metadata"].get("creationTimestamp"),
    )


def _deployment_fields(deployment: Mapping[str, Any]) -> dict[str, Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return {
        "template_read_only": _serves_read_only(spec["template"]["spec"]),
        "generation": deployment["metadata"].get("generation", 0),
        "observed_generation": status.get("observedGeneration", 0),
        "replicas_wanted": spec.get("replicas", 1),
        "replicas": status.get("replicas") or 0,
        "updated_replicas": status.get("updatedReplicas") or 0,
        "available_replicas": status.get("availableReplicas") or 0,
    }

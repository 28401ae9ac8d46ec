"""What is asked of the API server, and what its answers mean (pure): the same for both clients, whatever sends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from include.registry_prune.cluster.error import CertificateError, ClusterError, not_trusted, status_message
from include.registry_prune.names import DEPLOYMENT, NAMESPACE, OPERATOR_GROUP, REGISTRY_POD_LABELS

CONFIGS = f"/apis/{OPERATOR_GROUP}/v1/configs"
CONFIG = f"{CONFIGS}/cluster"
IMAGES = "/apis/image.openshift.io/v1/images"
IMAGE_STREAMS = "/apis/image.openshift.io/v1/imagestreams"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_JSON, _MERGE_PATCH = "application/json", "application/merge-patch+json"
_HINTS = {
    401: "The credentials of the Airflow connection are not accepted: renew its token or kubeconfig.",
    403: "The connection's account lacks this permission: deploy/rbac.yaml has every rule that a run needs.",
    404: "Is this an OpenShift cluster with the integrated image registry?",
    409: "Somebody changed the object at the same time.",
}


@dataclass(frozen=True)
class Request:
    """One request to the API server.

    :param body: sent as JSON.
    :param missing: HTTP statuses that mean that there is nothing, or nothing left to do.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content_type: str = _JSON
    missing: tuple[int, ...] = (404,)

    def refused(self, server: str, status: int, body: str) -> ClusterError:
        """The error for an answer that is a refusal: what was refused, why, and what to do about it."""
        what = f"{self.method} {self.path} at {server}: {status}: {status_message(body)}"
        if status == 503 and self.path.startswith("/apis/image.openshift.io/"):
            hint = (
                "The API server forwards this to the OpenShift API server, which does not answer: usually it passes; "
                "else look at `oc get apiservice v1.image.openshift.io` and at `oc get clusteroperator "
                "openshift-apiserver`."
            )
        else:
            hint = _HINTS.get(status, "")
        return ClusterError(f"{what}. {hint}" if hint else what, status)

    def unreachable(self, server: str, error: Exception) -> ClusterError:
        """The error for a request without an answer, or with one that broke off."""
        untrusted = not_trusted(error)
        if untrusted is not None:
            return CertificateError(
                f"{self.method} {self.path}: the certificate of the API server {server} is not trusted: "
                f"{untrusted}. The kubeconfig of the Airflow connection has to hold the CA that issued it, "
                "as certificate-authority-data of its cluster, and the server by a name that the certificate has "
                "(docs/connection.md)."
            )
        return ClusterError(
            f"{self.method} {self.path}: the API server {server} cannot be reached, or its answer broke off: {error}. "
            "Check the connection's server, network and proxy."
        )

    def read(self, server: str, answer: bytes) -> dict[str, Any]:
        """The object that an answer is.

        :raises ClusterError: if it is none.
        """
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise ClusterError(f"{self.method} {self.path} at {server}: the answer is no JSON") from error
        if not isinstance(value, dict):
            raise ClusterError(f"{self.method} {self.path} at {server}: the answer is no object")
        return value


GET_CONFIG = Request("GET", CONFIG)


def merge(path: str, patch: Mapping[str, Any], *, resource_version: str | None = None) -> Request:
    """Merge a patch into an object.

    :param resource_version: if given, the answer is status 409 when the object has changed since.
    """
    if resource_version is not None:
        patch = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version}}
    return Request("PATCH", path, body=patch, content_type=_MERGE_PATCH)


def list_pods(labels: str = REGISTRY_POD_LABELS) -> Request:
    """The pods with these labels in the registry's namespace, Terminating ones included."""
    return Request("GET", PODS, query={"labelSelector": labels})


def delete_pod(name: str, *, uid: str, grace_seconds: int | None = None) -> Request:
    """Delete one pod; one that is gone or has been replaced by another of its name is left alone.

    :param grace_seconds: how long its processes may live on; None: what the pod itself says.
    """
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
    if grace_seconds is not None:
        body["gracePeriodSeconds"] = grace_seconds
    return Request("DELETE", f"{PODS}/{quote(name)}", body=body, missing=(404, 409))


def page(path: str, last: Mapping[str, Any] | None = None, *, per_page: int, **query: Any) -> Request:
    """The next page of a collection.

    :param last: the page before; None, or one that does not say how to go on: the first page is asked for.
    """
    token = (last or {}).get("metadata", {}).get("continue")
    return Request("GET", path, query={**query, "limit": per_page, **({"continue": token} if token else {})})


def watch(path: str, **query: Any) -> Request:
    """Watch a collection: its present state first, if no ``resourceVersion`` is given, then every change."""
    return Request("GET", path, query={**query, "watch": "true"})


WATCH_CONFIG = watch(CONFIGS, fieldSelector="metadata.name=cluster")
WATCH_DEPLOYMENT = watch(DEPLOYMENTS, fieldSelector=f"metadata.name={DEPLOYMENT}")
WATCH_PODS = watch(PODS, labelSelector=REGISTRY_POD_LABELS)

"""A request to a cluster that failed, in words (pure)."""

from __future__ import annotations

import json


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


def request_problem(method: str, path: str, server: str, status: int, body: str) -> str:
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

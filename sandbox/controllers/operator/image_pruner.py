"""The other half of the registry's operator: the ImagePruner becomes the CronJob ``image-pruner``.

After ``pkg/resource/prunercronjob.go`` and ``pkg/operator/controllerimagepruner.go`` of
cluster-image-registry-operator.
"""

from __future__ import annotations

from typing import Any

from sandbox.base.names import CLUSTER, IMAGE_PRUNERS, NAMESPACE, PRUNER_CRON_JOB, PRUNER_SERVICE_ACCOUNT
from sandbox.controllers.base import ClusterOperator, Key
from sandbox.controllers.operator import operator_conditions
from sandbox.controllers.workloads.job import JOBS
from sandbox.registry.base_pruner.go_flags import format_duration, parse_duration
from sandbox.server.objects.defaults import with_defaults
from sandbox.server.objects.resources import resource_type

CRON_JOBS = "cronjobs.batch"
_SERVICE_CA = "/var/run/configmaps/serviceca"
_REGISTRY_URL = f"https://image-registry.{NAMESPACE}.svc:5000"
_VERBOSITY = {"Normal": 1, "Debug": 4, "Trace": 6, "TraceAll": 8}
_SCRIPT = """\
set -eu
"$@" && exit
for i in 1 2 3 4 5; do
  echo "attempt #$i has failed (exit code $?), going to make another attempt..." >&2
  sleep $(($i * {seconds}))
  "$@" && break  # this is the last command of the script, so its last failure will be exit code of the script
done
"""


class ImagePrunerOperator(ClusterOperator):
    """Keeps the CronJob as the ImagePruner says; changes made to the CronJob itself are undone."""

    kind = "ImagePruner"
    watched = (IMAGE_PRUNERS, CRON_JOBS, JOBS)

    def reconcile(self, key: Key) -> float | None:
        """Apply the ImagePruner, then report."""
        if self.store.find(IMAGE_PRUNERS, CLUSTER) is None:
            return None
        image_pruner = self.store.get(IMAGE_PRUNERS, CLUSTER)
        self._apply(pruner_cron_job(image_pruner["spec"], self._settings.prune_retry))
        status = image_pruner.setdefault("status", {})
        suspended = bool(image_pruner["spec"].get("suspend", False))
        conditions = operator_conditions.pruner_conditions(suspended, True, self._last_finished_job())
        operator_conditions.apply(status, conditions)
        status["observedGeneration"] = image_pruner["metadata"]["generation"]
        self.store.modify(IMAGE_PRUNERS, CLUSTER, None, lambda obj: obj.update(status=status), subresource="status")
        return None

    def _apply(self, wanted: dict[str, Any]) -> None:
        if self.store.find(CRON_JOBS, PRUNER_CRON_JOB, NAMESPACE) is None:
            self.store.create(CRON_JOBS, wanted)
        else:
            self.store.modify(CRON_JOBS, PRUNER_CRON_JOB, NAMESPACE, lambda obj: obj.update(spec=wanted["spec"]))

    def _last_finished_job(self) -> dict[str, Any] | None:
        jobs = [job for job in self.store.list(JOBS, NAMESPACE) if job.get("status", {}).get("conditions")]
        return max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]), default=None)


def pruner_cron_job(spec: dict[str, Any], retry_seconds: int) -> dict[str, Any]:
    """The wanted CronJob, as the API would have it after a create (with defaults).

    :param spec: of the ImagePruner.
    :param retry_seconds: unit of the waits between attempts; 30 in a real cluster.
    """
    cron_job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": PRUNER_CRON_JOB, "namespace": NAMESPACE},
        "spec": {
            "suspend": bool(spec.get("suspend", False)),
            "schedule": spec.get("schedule") or "0 0 * * *",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "failedJobsHistoryLimit": spec.get("failedJobsHistoryLimit", 3),
            "successfulJobsHistoryLimit": spec.get("successfulJobsHistoryLimit", 3),
            "jobTemplate": {
                "metadata": {"labels": {"created-by": PRUNER_CRON_JOB}},
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "metadata": {
                            "labels": {"app": PRUNER_CRON_JOB},
                            "annotations": {"openshift.io/required-scc": "restricted-v2"},
                        },
                        "spec": _pod_spec(spec, retry_seconds),
                    },
                },
            },
        },
    }
    return with_defaults(resource_type(CRON_JOBS), cron_job)


def _pod_spec(spec: dict[str, Any], retry_seconds: int) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "serviceAccountName": PRUNER_SERVICE_ACCOUNT,
        "priorityClassName": "system-cluster-critical",
        "volumes": [{"name": "serviceca", "configMap": {"name": "serviceca"}}],
        "containers": [
            {
                "name": PRUNER_CRON_JOB,
                "image": "quay.io/openshift-release-dev/ocp-v4.0-art-dev:cli",
                "command": ["/bin/sh"],
                "args": ["-c", _SCRIPT.format(seconds=retry_seconds), "arg0", *_oc_words(spec)],
                "resources": spec.get("resources") or {"requests": {"cpu": "100m", "memory": "256Mi"}},
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {"readOnlyRootFilesystem": True},
                "volumeMounts": [{"name": "serviceca", "mountPath": _SERVICE_CA, "readOnly": True}],
            }
        ],
    }


def _oc_words(spec: dict[str, Any]) -> list[str]:
    return [
        "oc",
        "adm",
        "prune",
        "images",
        "--confirm=true",
        f"--certificate-authority={_SERVICE_CA}/service-ca.crt",
        f"--keep-tag-revisions={spec.get('keepTagRevisions', 3)}",
        f"--keep-younger-than={_keep_younger_than(spec)}",
        f"--ignore-invalid-refs={str(bool(spec.get('ignoreInvalidImageReferences', False))).lower()}",
        f"--loglevel={_VERBOSITY.get(spec.get('logLevel', 'Normal'), 1)}",
        "--prune-registry=true",
        f"--registry-url={_REGISTRY_URL}",
    ]


def _keep_younger_than(spec: dict[str, Any]) -> str:
    if spec.get("keepYoungerThanDuration"):
        return format_duration(parse_duration(spec["keepYoungerThanDuration"]))
    if spec.get("keepYoungerThan"):
        return format_duration(int(spec["keepYoungerThan"]) / 10**9)
    return "60m"

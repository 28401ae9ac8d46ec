"""What the objects of the registry, and ours, are called in every cluster (pure)."""

from __future__ import annotations

NAMESPACE = "openshift-image-registry"
DEPLOYMENT = "image-registry"
"""No setting. For one that has another name in one cluster: ``cluster/requests.py`` has it in its paths, and
``preflight/access.py`` in the rights that it asks for."""
REGISTRY_CONTAINER = "registry"
REGISTRY_POD_LABELS = "docker-registry=default"
OPERATOR_GROUP = "imageregistry.operator.openshift.io"
CONFIG = f"configs.{OPERATOR_GROUP}/cluster"
"""The Config CR, as ``oc`` takes it."""
IMAGE_PRUNER_CRON_JOB = "image-pruner"
IMAGE_PRUNER_APP = "image-pruner"
"""The label ``app`` of the base prune's Jobs and pods."""
IMAGE_PRUNER_ROLE = "system:image-pruner"

GUARD_NAMESPACE, GUARD_NAME = "registry-prune", "registry-guard"
"""Where the CronJob of the guard in the cluster is (deploy/guard.yaml)."""
ACCOUNT = "registry-prune"
"""The service account of deploy/rbac.yaml; the guard is in its namespace."""
OUR_BINDING = "registry-prune-image-pruner"
"""One fixed name: what a run that died left behind is found again, and taken away by the next."""
MANAGED_BY = {"app.kubernetes.io/managed-by": "registry-prune"}
"""Label of what this project makes in a cluster."""

EXACT_DELETE_POD = "registry-prune-exact-delete"
"""One fixed name, of whatever run, Airflow or entry: the API server itself keeps two from being at work."""
EXACT_DELETE_LABEL = "registry-prune/exact-delete"
"""What a pod of that name is for: ``delete``, ``undo``, ``remove``, ``look``, or ``placeholder``."""
WINDOW_ANNOTATION = "registry-prune/window"
"""Of such a pod: token of the window that it was made in."""

TAKE_PUSHES_COMMAND = f"""oc patch {CONFIG} --type=merge -p '{{"spec":{{"readOnly":false}}}}'"""
"""What a person types to make the registry read-write again."""
EXACT_DELETE_GRACE_SECONDS = 30
"""How long the exact delete's pod may take to end: for the batches that are at work; a request to an object storage may
take long."""

ALERT_RUN = "alert__"
"""What the id of a run begins with that an alert has begun."""

"""``clusters.yaml``, read (pure).

Each entry of the file is one cluster and makes one DAG. Without a file there is one cluster, ``default``, reached
through the Airflow connection ``kubernetes_default``.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import SettingsError

CLUSTERS_FILE_VARIABLE = "REGISTRY_PRUNE_CLUSTERS"
"""Environment variable with the path of ``clusters.yaml``; else the file beside the ``dags`` folder."""


def load_clusters(file: Path | None = None) -> list[ClusterSettings]:
    """The clusters, in the order of the file.

    :param file: default: ``REGISTRY_PRUNE_CLUSTERS``, else ``clusters.yaml`` in the project's root if it is there.
    :raises SettingsError: if the file is named but missing, is no mapping, or has a wrong value.
    """
    named = os.environ.get(CLUSTERS_FILE_VARIABLE)
    path = file or Path(named or Path(__file__).parents[3] / "clusters.yaml")
    if not path.exists():
        if file is not None or named:
            raise SettingsError(f"{path} is not there: {CLUSTERS_FILE_VARIABLE} names it")
        return [ClusterSettings()]
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError) as error:  # ValueError: no UTF-8, or a date that is none
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"{path}: it should have an entry for each cluster, such as 'default: {{}}'")
    for name, values in content.items():
        if not isinstance(values, dict | None):
            raise SettingsError(f"{path}, cluster {name!r}: its settings should be a mapping of names to values")
    return [ClusterSettings.from_mapping(name, values or {}) for name, values in content.items()]

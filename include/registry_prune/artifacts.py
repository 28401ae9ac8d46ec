"""The list of a dry run's candidates: kept as a compressed file, never in XCom.

Written through Airflow's object storage, so that it may be a local folder or a bucket.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import ObjectStoragePath

from include.registry_prune.dockerregistry import LineKind


def artifact_folder(configured: str) -> ObjectStoragePath:
    """The folder or bucket that artifacts go to.

    :param configured: the cluster's setting; empty: ``registry-prune`` below Airflow's home.
    """
    return ObjectStoragePath(configured or (Path(AIRFLOW_HOME) / "registry-prune").as_uri())


def artifact_path(configured: str, *, dag_id: str, run_id: str, task_id: str) -> ObjectStoragePath:
    """Where the list of one task's dry run goes; a second try overwrites the first."""
    run_folder = re.sub(r"[^A-Za-z0-9_.+-]", "_", run_id)
    return artifact_folder(configured) / dag_id / run_folder / f"{task_id}-candidates.jsonl.gz"


@contextmanager
def candidate_writer(path: ObjectStoragePath, head: dict[str, Any]) -> Iterator[TextIOWrapper]:
    """Opens an artifact for writing; its first line says whose it is.

    :param head: run, cluster and time, as JSON.
    :return: a text file; each further line is one candidate: its kind, a space, its subject.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3) as packed:
        text = TextIOWrapper(packed, encoding="utf-8", newline="\n")
        text.write(json.dumps({"version": 1, **head}) + "\n")
        yield text
        text.flush()
        text.detach()


def candidate_digests(url: str) -> set[bytes]:
    """The blobs among the candidates, as 32-byte digests: a million of them take about 150 MiB.

    :raises OSError: if the artifact is not there or damaged.
    """
    return {bytes.fromhex(digest.removeprefix("sha256:")) for digest in read_candidates(url, kind=LineKind.BLOB)}


def read_candidates(url: str, *, kind: LineKind) -> Iterator[str]:
    """The candidates of one kind in an artifact.

    :raises OSError: if it is not there or damaged.
    """
    prefix = f"{kind} "
    with ObjectStoragePath(url).open("rb") as raw, gzip.open(raw, mode="rt", encoding="utf-8") as text:
        next(text, None)
        yield from (line[len(prefix) :].rstrip("\n") for line in text if line.startswith(prefix))

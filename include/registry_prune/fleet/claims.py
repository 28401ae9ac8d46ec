"""The claims, where they are kept: a small file for each cluster, beside the reports. None of them is asked when a
window is closed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from airflow.sdk import ObjectStoragePath

from include.registry_prune.fleet.turn import Claim
from include.registry_prune.lists.artifacts import artifact_folder, write_whole
from include.registry_prune.settings.clusters import ClusterSettings

log = logging.getLogger(__name__)


def _path(settings: ClusterSettings) -> ObjectStoragePath:
    return artifact_folder(settings.artifacts) / "windows" / f"{settings.dag_id}.json"


def own_claim(settings: ClusterSettings) -> Claim | None:
    """What a cluster claimed last; None if nothing, or nothing that can be read.

    :raises OSError: if the place cannot be read.
    """
    return next(_read([_path(settings)]), None)


def claims_of(clusters: Iterable[ClusterSettings]) -> list[Claim]:
    """What these clusters have claimed.

    :raises OSError: if a place cannot be read.
    """
    return list(_read([_path(settings) for settings in clusters]))


def write_claim(claim: Claim, settings: ClusterSettings) -> None:
    """Keep a claim, in place of the cluster's last.

    :raises OSError: if it cannot be written.
    """
    try:
        write_whole(_path(settings), claim.model_dump_json().encode())
    except Exception as error:  # object storages raise errors of their own libraries
        raise OSError(f"The claim of a window cannot be kept at {_path(settings)}: {error}") from error


def release_claim(settings: ClusterSettings, run: str) -> None:
    """Take a run's claim away. It never raises: the claim ends by itself.

    :param run: nothing is done to another run's.
    """
    try:
        claim = own_claim(settings)
        if claim is not None and claim.run == run:
            _path(settings).unlink(missing_ok=True)
    except Exception as error:  # as above
        log.warning("The claim of a window stays until it ends by itself: %s", error)


def _read(paths: list[ObjectStoragePath]) -> Iterator[Claim]:
    by_store: dict[str, list[ObjectStoragePath]] = {}
    for path in paths:
        by_store.setdefault(str(path.parent), []).append(path)
    for each in by_store.values():
        # All of a store at once: from a bucket, one after another would take seconds.
        fs = each[0].fs
        fs.invalidate_cache()
        try:
            found = fs.cat([path.path for path in each], on_error="return")
        except Exception as error:  # as above
            raise OSError(f"The claims of windows at {each[0].parent} cannot be read: {error}") from error
        for where, content in found.items():
            if isinstance(content, FileNotFoundError):
                continue
            if isinstance(content, Exception):
                raise OSError(f"The claim of a window at {where} cannot be read: {content}") from content
            try:
                yield Claim.model_validate_json(content)
            except ValueError as error:
                log.warning("A claim of a window is passed over, as it cannot be read: %s: %s", where, error)

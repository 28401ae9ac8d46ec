"""What the registry's storage is, and whether it can be pruned (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_NO_DRIVERS = ("managementState",)
"""Keys of the Config's ``storage`` that name no driver."""


class StorageReview(NamedTuple):
    """What was found out about the storage.

    :param driver: as the Config names it, such as ``s3`` or ``pvc``; empty if there is none.
    :param problems: why it cannot be pruned, each with what to do.
    :param notes: what is worth knowing and stops nothing.
    """

    driver: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def review_storage(config: Mapping[str, Any], deployment: Mapping[str, Any] | None) -> StorageReview:
    """Judge the registry's storage.

    The Config's status tells what is in use, its spec what is wanted. Only the Deployment shows an ``emptyDir`` that
    somebody mounted by hand.

    :param config: the Config CR, as JSON.
    :param deployment: the registry's Deployment, as JSON; None if there is none.
    """
    used = _drivers((config.get("status") or {}).get("storage"))
    wanted = _drivers((config.get("spec") or {}).get("storage"))
    drivers = used or wanted
    driver = next(iter(drivers), "")
    if not drivers:
        return StorageReview(
            "", ("Config cluster: no storage is configured, so there is nothing to prune: set spec.storage.",)
        )
    if "emptyDir" in drivers or _mounts_empty_dir(deployment):
        return StorageReview(
            "emptyDir",
            (
                "The registry's storage is an emptyDir: every pod has its own, empty after each rollout, so a prune "
                "would see only one pod's, and opening the window would lose them all. Configure lasting storage in "
                "spec.storage of Config cluster.",
            ),
        )
    if used and wanted and set(used) != set(wanted):
        return StorageReview(
            driver,
            (
                f"Config cluster: the operator is changing the storage from {', '.join(used)} to "
                f"{', '.join(wanted)}: wait until it is done, and see that the images have moved.",
            ),
        )
    return StorageReview(driver, notes=_consistency(driver, drivers[driver]))


def _drivers(storage: Any) -> dict[str, Any]:
    return {name: value for name, value in (storage or {}).items() if name not in _NO_DRIVERS and value is not None}


def _mounts_empty_dir(deployment: Mapping[str, Any] | None) -> bool:
    """Whether the registry's storage, by the name that the operator gives it, is an emptyDir."""
    if deployment is None:
        return False
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or ()
    return any(volume["name"] == "registry-storage" and volume.get("emptyDir") is not None for volume in volumes)


def _consistency(driver: str, options: Any) -> tuple[str, ...]:
    consequence = (
        "what was deleted may still be listed for a while, and what was pushed last may not: a survey can be off, and "
        "a delete can stop at a blob that is gone already; the next run goes on from there"
    )
    if driver == "swift":
        return (f"Storage swift is eventually consistent: {consequence}.",)
    if driver == "s3" and isinstance(options, Mapping) and options.get("regionEndpoint"):
        return (
            f"Storage s3 at {options['regionEndpoint']} is not Amazon's. If it is eventually consistent, "
            f"{consequence}.",
        )
    return ()

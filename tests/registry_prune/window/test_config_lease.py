"""The Config is written only as it was read: what somebody else wrote in between is looked at first."""

from __future__ import annotations

from typing import Any, cast

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.window.config_lease import MAXIMUM_CONFLICTS, change_config


class ChangingConfig:
    """A Config that somebody else changes right after it was read.

    :param changes: how often.
    """

    def __init__(self, changes: int) -> None:
        self._changes, self._version = changes, 1
        self.written: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        read = {"metadata": {"resourceVersion": str(self._version)}}
        if self._changes:
            self._changes -= 1
            self._version += 1
        return read

    def patch_config(self, patch: dict[str, Any], *, resource_version: str | None = None) -> dict[str, Any]:
        if resource_version not in (None, str(self._version)):
            raise ClusterError("conflict", 409)
        self.written.append(patch)
        return patch


def test_a_decision_on_what_has_changed_since_is_made_anew_and_never_written() -> None:
    changing, seen = ChangingConfig(changes=2), []

    def decide(config: dict[str, Any]) -> dict[str, Any]:
        seen.append(config["metadata"]["resourceVersion"])
        return {"decided_on": seen[-1]}

    change_config(cast(Cluster, changing), decide)
    assert seen == ["1", "2", "3"]
    assert changing.written == [{"decided_on": "3"}]


def test_who_never_gets_to_write_says_so() -> None:
    changing = ChangingConfig(changes=MAXIMUM_CONFLICTS)
    with pytest.raises(ClusterError, match="somebody else changed it"):
        change_config(cast(Cluster, changing), lambda config: {})
    assert changing.written == []

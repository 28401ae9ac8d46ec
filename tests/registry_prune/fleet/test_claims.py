"""Claims as small files: read together, and harmless where they cannot be read or removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.registry_prune.fleet.claims import claims_of, own_claim, release_claim, write_claim
from include.registry_prune.fleet.turn import Claim
from include.registry_prune.settings.clusters import ClusterSettings

NOW = datetime.now(UTC)


def settings(name: str, folder: Path) -> ClusterSettings:
    return ClusterSettings.from_mapping(name, {"artifacts": str(folder)})


def claim(name: str) -> Claim:
    return Claim(cluster=name, run=f"{name}/run", claimed_at=NOW, good_until=NOW + timedelta(minutes=5))


def test_claims_are_found_in_each_clusters_own_place(tmp_path: Path) -> None:
    berlin, munich, hamburg = (settings(name, tmp_path / name[0]) for name in ("berlin", "munich", "hamburg"))
    write_claim(claim("berlin"), berlin)
    write_claim(claim("munich"), munich)
    assert claims_of([berlin, munich, hamburg]) == [claim("berlin"), claim("munich")]
    assert own_claim(hamburg) is None


def test_a_run_takes_its_own_claim_away_and_no_other(tmp_path: Path) -> None:
    berlin = settings("berlin", tmp_path)
    write_claim(claim("berlin"), berlin)
    release_claim(berlin, "berlin/another run")
    assert own_claim(berlin) is not None
    release_claim(berlin, "berlin/run")
    assert own_claim(berlin) is None
    release_claim(berlin, "berlin/run")


def test_a_damaged_claim_is_passed_over_and_a_place_that_is_none_is_an_error(tmp_path: Path) -> None:
    berlin = settings("berlin", tmp_path / "store")
    write_claim(claim("berlin"), berlin)
    (tmp_path / "store" / "windows" / f"{berlin.dag_id}.json").write_text("{", encoding="utf-8")
    assert own_claim(berlin) is None
    (tmp_path / "file").write_text("", encoding="utf-8")
    nowhere = settings("berlin", tmp_path / "file")
    with pytest.raises(OSError, match="cannot be kept"):
        write_claim(claim("berlin"), nowhere)
    release_claim(nowhere, "berlin/run")

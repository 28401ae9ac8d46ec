"""docs/settings.md has every setting of a cluster, every ceiling and every parameter, with its default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from include.registry_prune.settings.clusters import CeilingSettings, ClusterSettings
from include.registry_prune.settings.parameters import RunParameters

PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
IN_WORDS = {
    "opening_hours": "always",
    "artifacts": "below `AIRFLOW_HOME`",
    "alert_connection": "none",
    "alert_endpoint": "none",
    "ceilings": "see there",
    "parameters": "see there",
    "keep_tag_revisions": "the ImagePruner's",
    "keep_younger_than": "the ImagePruner's",
    "pass_ceilings": "none",
}
"""Defaults that are no value to write down."""
WITHOUT_LIMIT = {"missing_storage", "other_cluster"}
"""Ceilings that no setting raises."""


def rows(heading: str) -> dict[str, str]:
    """Name and default of each row of the first table below a heading."""
    lines = PAGE.split(f"\n## {heading}\n")[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| ---"))
    table: dict[str, str] = {}
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        name, default = (cell.strip() for cell in line.split("|")[1:3])
        table[name.strip("`")] = default
    return table


def defaults(model: type[BaseModel]) -> Mapping[str, str]:
    """As the page writes them."""

    def written(name: str, value: Any) -> str:
        if name in IN_WORDS:
            return IN_WORDS[name]
        return (
            {True: "on", False: "off"}[value]
            if isinstance(value, bool)
            else f"{value:g}"
            if isinstance(value, float)
            else str(value)
        )

    fields = model.model_fields.items()
    return {name: written(name, field.default) for name, field in fields if name != "name"}


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("The settings of a cluster", ClusterSettings),
        ("Ceilings", CeilingSettings),
        ("Parameters of a run", RunParameters),
    ],
)
def test_every_setting_is_documented_with_its_default(heading: str, model: type[BaseModel]) -> None:
    documented = {name: default for name, default in rows(heading).items() if name not in WITHOUT_LIMIT}
    expected = defaults(model)
    assert {name: text if name in IN_WORDS else text.strip("`") for name, text in documented.items()} == expected

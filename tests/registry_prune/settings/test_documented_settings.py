"""docs/settings.md, the example and the schema of clusters.yaml have every setting, ceiling and parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from include.registry_prune.settings import document
from include.registry_prune.settings.ceilings import CeilingSettings
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import load_clusters
from include.registry_prune.settings.parameters import RunParameters

PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
IN_WORDS = {
    "opening_hours": "always",
    "artifacts": "below `AIRFLOW_HOME`",
    "alert_connection": "none",
    "alert_endpoint": "none",
    "alert_channels": "none",
    "ceilings": "see there",
    "parameters": "see there",
    "keep_tag_revisions": "the ImagePruner's",
    "keep_younger_than": "the ImagePruner's",
    "pass_ceilings": "none",
}
"""Defaults that are no value to write down."""
WITHOUT_LIMIT = {"missing_storage", "other_cluster", "renewed_images"}
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


def test_page_and_example_are_what_the_settings_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert document.main([]) == 0, capsys.readouterr().out


def test_a_page_that_is_out_of_date_is_named_with_what_is_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, example = tmp_path / "settings.md", tmp_path / "clusters.example.yaml"
    page.write_text(PAGE.replace("| `lease` | `15m` |", "| `lease` | `20m` |"), encoding="utf-8")
    monkeypatch.setattr(document, "PAGE", page)
    monkeypatch.setattr(document, "EXAMPLE", example)
    monkeypatch.setattr(document, "SCHEMA", tmp_path / "clusters.schema.json")
    assert document.main([]) == 1
    said = capsys.readouterr().out
    assert f"{page} is out of date: make docs" in said
    assert f"{example} is out of date: make docs" in said
    assert document.main(["--write"]) == 0
    assert (page.read_text(encoding="utf-8"), document.main([])) == (PAGE, 0)


@pytest.mark.parametrize("model", document.TABLES.values())
def test_every_setting_has_a_description_of_whole_sentences(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description[0].isupper() or name == "hard_prune", name
        assert field.description.endswith("."), name


def uncommented(tmp_path: Path) -> Path:
    file = tmp_path / "clusters.yaml"
    file.write_text(re.sub(r"^  # ", "  ", document.example(), flags=re.M), encoding="utf-8")
    return file


def test_the_example_is_a_file_of_one_cluster_with_the_defaults() -> None:
    assert load_clusters(document.EXAMPLE) == [ClusterSettings()]


def test_every_setting_of_the_example_can_be_taken_as_it_stands(tmp_path: Path) -> None:
    file = uncommented(tmp_path)
    assert load_clusters(file) == [ClusterSettings()]
    named = yaml.safe_load(file.read_text(encoding="utf-8"))["default"]
    assert set(named) == set(ClusterSettings.model_fields) - {"name"}
    assert set(named["ceilings"]) == set(CeilingSettings.model_fields)
    assert set(named["parameters"]) == set(RunParameters.model_fields)


SCHEMA = json.loads(document.SCHEMA.read_text(encoding="utf-8"))


def test_the_schema_takes_every_setting_of_the_example(tmp_path: Path) -> None:
    jsonschema.validate(yaml.safe_load(uncommented(tmp_path).read_text(encoding="utf-8")), SCHEMA)
    jsonschema.validate({"defaults": {"lease": "20m"}, "default": None, "berlin": {"connection": "x"}}, SCHEMA)


@pytest.mark.parametrize(
    "content",
    [
        {"Berlin": {}},
        {"berlin": {"conection": "x"}},
        {"berlin": {"name": "x"}},
        {"berlin": {"lease": "soon"}},
        {"berlin": {"delete_attempts": 0}},
        {"berlin": {"parameters": {"hard_prune": "sometimes"}}},
        {"defaults": {"ceilings": {"orphan_share": 2}}},
    ],
)
def test_the_schema_marks_what_is_wrong(content: Mapping[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)
